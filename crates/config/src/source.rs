//! Where configuration text comes from, and places in it.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    hash::BuildHasher,
    io::Read,
    path::PathBuf,
    sync::Arc,
};

/// Largest configuration file. A file beyond it is refused before it is parsed.
pub const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Most files of one configuration.
pub const MAX_SOURCES: usize = 64;

/// One document of a configuration.
#[derive(Clone, Debug)]
pub enum Source {
    /// A YAML file.
    File(PathBuf),
    /// YAML text, for example what the command line stands for.
    Text {
        /// Name in messages.
        name: String,
        /// The YAML.
        text: String,
    },
}

/// Where `${NAME}` and `*_env` keys look. The process environment, or a map in tests.
pub trait Env {
    /// The value, if the variable is set and is UTF-8.
    fn var(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnv;

impl Env for ProcessEnv {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl Env for BTreeMap<String, String> {
    fn var(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }
}

impl<S: BuildHasher> Env for HashMap<String, String, S> {
    fn var(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }
}

/// A place: byte range in one source. [`MAX_FILE_BYTES`] keeps it in 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) source: u16,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl At {
    /// Whether `other` lies in it, at least with its start.
    pub(crate) fn holds(self, other: Self) -> bool {
        self.source == other.source && (self.start..self.end.max(self.start + 1)).contains(&other.start)
    }
}

/// A source after reading.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) name: String,
    pub(crate) text: Arc<str>,
}

impl Source {
    /// Reads the text, at most [`MAX_FILE_BYTES`].
    pub(crate) fn read(&self) -> Result<Text, (String, String)> {
        match self {
            Self::Text { name, text } if text.len() as u64 > MAX_FILE_BYTES => {
                Err((name.clone(), too_large()))
            }
            Self::Text { name, text } => Ok(Text { name: name.clone(), text: text.as_str().into() }),
            Self::File(path) => {
                let name = path.display().to_string();
                match read_file(path) {
                    Ok(text) => Ok(Text { name, text: text.into() }),
                    Err(message) => Err((name, message)),
                }
            }
        }
    }
}

fn read_file(path: &std::path::Path) -> Result<String, String> {
    let file = File::open(path).map_err(|e| format!("cannot be opened: {e}"))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|e| format!("cannot be read: {e}"))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|e| format!("is not UTF-8 (byte {})", e.utf8_error().valid_up_to()))
}

fn too_large() -> String {
    format!("is larger than {} MiB", MAX_FILE_BYTES >> 20)
}

/// Line and column, both from 1; the column counts characters.
pub(crate) fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
