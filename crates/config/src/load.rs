//! Sources to a configuration, or to everything that is wrong with them.

use crate::{
    assemble, canonical,
    decode::{Decoder, unite},
    diagnostic::{Diagnostic, Draft, Report, finish},
    effective,
    model::Config,
    schema::ROOT,
    source::{Env, MAX_SOURCES, Source, Text},
    validate,
    value::BlockVal,
    yaml,
};

/// Names the shared servers when the root's `redis` does not (C6).
pub(crate) const REDIS_URL: &str = "REDIS_URL";

/// What the configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Every document that is right in itself.
    Any,
    /// Whatever `serve` needs must be there, and the files it names must be readable.
    Serve,
}

/// A configuration that was accepted.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What `serve` runs on.
    pub config: Config,
    /// Legal, and probably not what was meant; at most [`crate::MAX_DIAGNOSTICS`].
    pub warnings: Vec<Diagnostic>,
    pub(crate) tree: BlockVal,
}

/// Reads, merges in order, decodes and validates. Maps merge deep, a later file's list replaces an earlier one, and one
/// key with two different values is an error. All errors are collected. Reads files and `env`, nothing else; blocks.
pub fn load(sources: &[Source], env: &dyn Env, role: Role) -> Result<Loaded, Report> {
    let mut decoder = Decoder { env, drafts: Vec::new(), secrets: Vec::new() };
    let texts = read(sources, &mut decoder.drafts);
    let mut root = BlockVal::new(&ROOT, None);
    let mut readable = decoder.drafts.is_empty();
    for (index, text) in texts.iter().enumerate() {
        match yaml::parse(&text.text, index as u16) {
            Ok(None) => {}
            Ok(Some(node)) => {
                let document = decoder.document(&ROOT, &node);
                unite(&mut root, document, "", &mut decoder.drafts);
            }
            Err(draft) => {
                readable = false;
                decoder.drafts.push(*draft);
            }
        }
    }
    let Decoder { mut drafts, secrets, .. } = decoder;
    // A file that could not be read or parsed has said nothing: what the rest lacks or means is anybody's guess.
    let config = if readable { complete(&mut root, env, role, &mut drafts) } else { None };
    let (diagnostics, left_out) = finish(drafts, &texts, &secrets);
    match config {
        Some(config) => Ok(Loaded { config, warnings: diagnostics, tree: root }),
        None => Err(Report::new(diagnostics, left_out)),
    }
}

/// Fills in what was not said, validates the whole, and makes it plain data; `None` if there is any error.
fn complete(root: &mut BlockVal, env: &dyn Env, role: Role, drafts: &mut Vec<Draft>) -> Option<Config> {
    let url = env.var(REDIS_URL).filter(|url| !url.is_empty());
    effective::redis::from_environment(root, url.as_deref());
    canonical::canonical(root, drafts);
    let collector = env.var(effective::tracing::OTLP_ENDPOINT).filter(|url| !url.is_empty());
    effective::tracing::from_environment(root, collector.as_deref(), drafts);
    effective::effective(root, drafts);
    validate::validate(root, role, drafts);
    if let Some(url) = &url {
        validate::redis_url_differs(root, url, drafts);
    }
    if drafts.iter().any(|draft| draft.severity == crate::Severity::Error) {
        return None;
    }
    let missing = |missing: assemble::Missing| {
        drafts.push(Draft::error("", None, format!("`{}` has no value: a defect of Holdfast", missing.0)));
    };
    assemble::config(root).map_err(missing).ok()
}

fn read(sources: &[Source], drafts: &mut Vec<Draft>) -> Vec<Text> {
    if sources.len() > MAX_SOURCES {
        drafts.push(Draft::error("", None, format!("more than {MAX_SOURCES} files")));
        return Vec::new();
    }
    let mut texts = Vec::with_capacity(sources.len());
    for source in sources {
        match source.read() {
            Ok(text) => texts.push(text),
            Err((name, message)) => drafts.push(Draft::error("", None, format!("{name}: {message}"))),
        }
    }
    texts
}
