//! `holdfast pins`: what to write under `mcp.servers[].pins`, as the servers are now.

use crate::args::PinsArgs;
use crate::exit::Failure;
use holdfast_config::{Source, config_from_flags};
use holdfast_gateway::{PinsError, PinsOptions, ServeError, ServerTools};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

/// Asks and prints. Fails if a server did not answer or a tool has no digest, after the others were printed.
pub(crate) fn run(args: &PinsArgs) -> Result<(), Failure> {
    let sources = match (args.config.is_empty(), args.mcp.is_empty()) {
        (false, true) => args.config.iter().cloned().map(Source::File).collect(),
        (true, false) => vec![config_from_flags(&args.mcp, &[], None)],
        (false, false) => {
            return Err(Failure::Invalid("give either --config or --mcp".to_owned()));
        }
        (true, true) => {
            return Err(Failure::Invalid("whom to ask: give --config FILE, or --mcp NAME=URL".to_owned()));
        }
    };
    let options = PinsOptions { sources, server: args.server.clone() };
    let found = holdfast_gateway::pins(&options).map_err(|error| match error {
        PinsError::NoServer(..) => Failure::Invalid(error.to_string()),
        PinsError::Serve(ServeError::Invalid(report)) => {
            Failure::Invalid(report.render(std::io::stderr().is_terminal()))
        }
        PinsError::Serve(ServeError::Environment(text)) => Failure::Environment(text),
    })?;
    let text = if args.json { as_json(&found) } else { found.iter().map(as_yaml).collect() };
    std::io::stdout().write_all(text.as_bytes())?;
    let wrong: Vec<String> = found.iter().flat_map(wrong).collect();
    if wrong.is_empty() { Ok(()) } else { Err(Failure::Failed(wrong.join("\n"))) }
}

/// The `pins` of one server, to be put into its block.
fn as_yaml(server: &ServerTools) -> String {
    let Ok(tools) = &server.tools else { return String::new() };
    let mut text = format!("# mcp.servers[] {}\npins:\n", server.server);
    for (tool, digest) in tools {
        let tool = quoted(tool);
        let _ = match digest {
            Some(digest) => writeln!(text, "  - {{tool: {tool}, sha256: {digest}}}"),
            None => writeln!(text, "  # {tool}: no digest, see below"),
        };
    }
    text
}

/// A name as a string of JSON and YAML on one line, whatever its server put into it.
fn quoted(name: &str) -> String {
    let quoted = Value::from(name).to_string();
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    quoted
        .chars()
        .map(|c| if breaks(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() })
        .collect()
}

fn as_json(found: &[ServerTools]) -> String {
    let server = |server: &ServerTools| match &server.tools {
        Ok(tools) => {
            let pins: Vec<Value> = tools
                .iter()
                .map(|(tool, digest)| json!({ "tool": tool, "sha256": digest.iter().collect::<Vec<_>>() }))
                .collect();
            json!({ "name": server.server, "pins": pins })
        }
        Err(why) => json!({ "name": server.server, "error": why }),
    };
    let servers: Vec<Value> = found.iter().map(server).collect();
    format!("{:#}\n", json!({ "servers": servers }))
}

/// What keeps the answer from being whole.
fn wrong(server: &ServerTools) -> Vec<String> {
    let name = &server.server;
    match &server.tools {
        Err(why) => vec![format!("{name}: {why}")],
        Ok(tools) => tools
            .iter()
            .filter(|(_, digest)| digest.is_none())
            .map(|(tool, _)| {
                format!("{name}: '{tool}' cannot be pinned: it is there twice, or readers could take its definition for two things, or it is too large")
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_name_stays_on_its_line_and_in_its_quotes() {
        assert_eq!(quoted("a b"), "\"a b\"");
        let evil = "x\"}\n  - {tool: \u{85}y\u{2028}#\u{7f}";
        let shown = quoted(evil);
        assert!(!shown.contains(['\n', '\u{85}', '\u{2028}', '\u{7f}']), "{shown}");
        assert_eq!(serde_json::from_str::<String>(&shown).ok().as_deref(), Some(evil));
    }
}
