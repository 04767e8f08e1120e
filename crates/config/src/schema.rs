//! The one description of every key. Decoding, defaults, the JSON Schema, the reference page and the effective
//! print are all derived from the tables below; nothing else knows a key's aliases, unit, range or default.

mod auth;
mod ha;
mod listener;
mod mcp;
mod observability;
mod redis;
mod root;
mod routing;
mod rules;
#[cfg(test)]
mod tests;

pub(crate) use root::ROOT;
pub(crate) use routing::POLICY;
pub(crate) use rules::{Rule, dns_server, network};

/// A block of keys.
#[derive(Debug)]
pub(crate) struct Block {
    /// Name in the reference and in the JSON Schema.
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) keys: &'static [&'static [Key]],
    /// The key that a single value in place of the block stands for.
    pub(crate) scalar: Option<&'static str>,
    /// Documented keys that have no code behind them yet: unknown, with a message that says so.
    pub(crate) reserved: &'static [&'static str],
}

/// A key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) also: &'static [Also],
    pub(crate) kind: Kind,
    pub(crate) default: Def,
    pub(crate) doc: &'static str,
    /// `off` is legal and means that there is none.
    pub(crate) off: bool,
    /// Another spelling of the key at this path.
    pub(crate) moves: Option<&'static str>,
    /// `<name>_env` names a variable that holds it; a list is written with commas. A secret has this anyway.
    pub(crate) env: bool,
    /// A change takes effect after a restart only.
    pub(crate) restart: bool,
}

/// Another spelling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Also {
    pub(crate) name: &'static str,
    /// Unit of a bare number, where it differs from the key's own.
    pub(crate) bare: Option<Bare>,
    /// Added to a whole number (`max_retries` counts one less than `max_attempts`).
    pub(crate) plus: u64,
}

/// Unit of a bare number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bare {
    Seconds,
    Millis,
    /// 50 is 50 %.
    Percent,
    /// 0.5 is 50 %.
    Share,
}

/// The default.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Def {
    /// Absent unless given.
    None,
    /// This text, as it would stand in a file.
    Text(&'static str),
    /// The word `off`.
    Off,
    /// The list or map is empty, the block is there with its own defaults.
    Empty,
    /// It depends on other keys, as told.
    Rule(&'static str),
    /// The block is not legal without it.
    Required,
}

/// Type, and range where it has one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Bool,
    Int {
        min: u64,
        max: u64,
    },
    Float {
        min: f64,
        max: f64,
    },
    /// Bounds in milliseconds.
    Duration {
        bare: Bare,
        min: u64,
        max: u64,
    },
    Size {
        min: u64,
        max: u64,
    },
    Ratio {
        bare: Bare,
    },
    Text(Rule),
    /// Never shown. `<name>_env` names a variable that holds it. `min` bytes.
    Secret {
        min: usize,
    },
    Choice(&'static [Word]),
    /// `one`: a single value stands for a list of one.
    List {
        of: &'static Kind,
        max: usize,
        one: bool,
    },
    Labels,
    /// Names with values that are never shown.
    Secrets(Names),
    Block(&'static Block),
}

/// What the names of a map are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// Labels of metrics.
    Label,
    /// Variables of a process.
    Variable,
    /// Headers of HTTP (RFC 9110 section 5.1).
    Header,
}

impl Names {
    pub(crate) fn allows(self, name: &str) -> bool {
        match self {
            Self::Header => http::HeaderName::from_bytes(name.as_bytes()).is_ok(),
            Self::Label | Self::Variable => {
                !name.starts_with(|first: char| first.is_ascii_digit())
                    && !name.is_empty()
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            }
        }
    }

    /// What is wrong with a name that is not allowed, and what to do.
    pub(crate) fn expects(self) -> (&'static str, &'static str) {
        match self {
            Self::Label => ("a label name must be of `A-Za-z0-9_`", "it must not start with a digit"),
            Self::Variable => {
                ("the name of a variable must be of `A-Za-z0-9_`", "it must not start with a digit")
            }
            Self::Header => ("is no header name", "letters, digits and `!#$%&'*+-.^_`|~` make one"),
        }
    }
}

/// One word of a closed list, the canonical spelling first.
#[derive(Debug)]
pub(crate) struct Word(pub(crate) &'static [&'static str], pub(crate) &'static str);

impl Block {
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'static Key> + use<> {
        self.keys.iter().flat_map(|keys| keys.iter())
    }

    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys().find(|key| key.name == name)
    }

    /// The key that `name` spells, with the spelling; `true` for the `_env` form.
    pub(crate) fn spelled(&self, name: &str) -> Option<(&'static Key, Option<&'static Also>, bool)> {
        let named = |name: &str| {
            self.keys().find_map(|key| {
                if key.name == name {
                    return Some((key, None));
                }
                key.also.iter().find(|also| also.name == name).map(|also| (key, Some(also)))
            })
        };
        if let Some((key, also)) = named(name) {
            return Some((key, also, false));
        }
        let (key, also) = named(name.strip_suffix("_env")?)?;
        key.has_env().then_some((key, also, true))
    }

    /// Every legal spelling.
    pub(crate) fn spellings(&self) -> Vec<String> {
        let mut all = Vec::new();
        for key in self.keys() {
            for name in std::iter::once(key.name).chain(key.also.iter().map(|also| also.name)) {
                all.push(name.to_owned());
                if key.has_env() {
                    all.push(format!("{name}_env"));
                }
            }
        }
        all
    }
}

impl Key {
    /// Whether `<name>_env` is a spelling of it.
    pub(crate) fn has_env(&self) -> bool {
        self.env || matches!(self.kind, Kind::Secret { .. })
    }
    const fn alias(mut self, also: &'static [Also]) -> Self {
        self.also = also;
        self
    }
    const fn or_off(mut self) -> Self {
        self.off = true;
        self
    }
    const fn moves_to(mut self, path: &'static str) -> Self {
        self.moves = Some(path);
        self
    }
    const fn or_env(mut self) -> Self {
        self.env = true;
        self
    }
    const fn restart(mut self) -> Self {
        self.restart = true;
        self
    }
}

// === Words of the tables ===

const fn key(name: &'static str, kind: Kind, default: Def, doc: &'static str) -> Key {
    Key { name, also: &[], kind, default, doc, off: false, moves: None, env: false, restart: false }
}
const fn also(name: &'static str) -> Also {
    Also { name, bare: None, plus: 0 }
}
const fn also_in(name: &'static str, bare: Bare) -> Also {
    Also { name, bare: Some(bare), plus: 0 }
}
const fn int(min: u64, max: u64) -> Kind {
    Kind::Int { min, max }
}
const fn kib(n: u64) -> u64 {
    n << 10
}
const fn mib(n: u64) -> u64 {
    n << 20
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A duration whose bare numbers are seconds; bounds in milliseconds.
const fn seconds(min: u64, max: u64) -> Kind {
    Kind::Duration { bare: Bare::Seconds, min, max }
}
const fn millis(min: u64, max: u64) -> Kind {
    Kind::Duration { bare: Bare::Millis, min, max }
}
const SHARE: Kind = Kind::Ratio { bare: Bare::Share };
const PERCENT: Kind = Kind::Ratio { bare: Bare::Percent };
