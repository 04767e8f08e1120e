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
    for (index, text) in texts.iter().enumerate() {
        match yaml::parse(&text.text, index as u16) {
            Ok(None) => {}
            Ok(Some(node)) => {
                let document = decoder.document(&ROOT, &node);
                unite(&mut root, document, "", &mut decoder.drafts);
            }
            Err(draft) => decoder.drafts.push(*draft),
        }
    }
    let Decoder { mut drafts, secrets, .. } = decoder;
    canonical::canonical(&mut root, &mut drafts);
    effective::effective(&mut root, &mut drafts);
    validate::validate(&root, role, &mut drafts);
    let config = if drafts.iter().any(|draft| draft.severity == crate::Severity::Error) {
        None
    } else {
        assemble::config(&root)
            .map_err(|missing| {
                drafts.push(Draft::error(
                    "",
                    None,
                    format!("`{}` has no value: a defect of Holdfast", missing.0),
                ));
            })
            .ok()
    };
    let (diagnostics, left_out) = finish(drafts, &texts, &secrets);
    match config {
        Some(config) => Ok(Loaded { config, warnings: diagnostics, tree: root }),
        None => Err(Report::new(diagnostics, left_out)),
    }
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
