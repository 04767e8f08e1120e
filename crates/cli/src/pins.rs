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
        // A JSON string is a YAML string, whatever is in it.
        let tool = Value::from(&**tool);
        let _ = match digest {
            Some(digest) => writeln!(text, "  - {{tool: {tool}, sha256: {digest}}}"),
            None => writeln!(text, "  # {tool}: no digest, see below"),
        };
    }
    text
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
