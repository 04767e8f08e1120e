//! `holdfast serve`.

use crate::args::ServeArgs;
use crate::exit::Failure;
use holdfast_config::{Source, config_from_flags};
use holdfast_gateway::{ServeError, ServeOptions};
use std::io::{IsTerminal as _, Write as _};

/// Runs the gateway until it has drained.
pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let sources = sources(args)?;
    if args.print_config {
        for source in &sources {
            if let Source::Text { text, .. } = source {
                std::io::stdout().write_all(text.as_bytes())?;
            }
        }
        return Ok(());
    }
    let options = ServeOptions { sources, ready_file: args.ready_file.clone(), stdio: args.stdio };
    holdfast_gateway::serve(options).map_err(|error| match error {
        ServeError::Invalid(report) => Failure::Invalid(report.render(std::io::stderr().is_terminal())),
        ServeError::Environment(text) => Failure::Environment(text),
    })
}

fn sources(args: &ServeArgs) -> Result<Vec<Source>, Failure> {
    let flags_given = !args.mcp.is_empty() || !args.http.is_empty();
    match (args.config.is_empty(), flags_given) {
        (false, false) if args.print_config => Err(Failure::Invalid(
            "--print-config shows what flags stand for; for files use 'holdfast check FILE'".to_owned(),
        )),
        (false, false) => Ok(args.config.iter().cloned().map(Source::File).collect()),
        (true, true) => Ok(vec![config_from_flags(&args.mcp, &args.http, Some(args.listen))]),
        (false, true) => Err(Failure::Invalid(
            "give either --config or --mcp/--http; 'holdfast serve --print-config --mcp ...' prints the flags as a file \
             to add to"
                .to_owned(),
        )),
        (true, false) => Err(Failure::Invalid(
            "nothing to serve: give --config FILE, or --mcp NAME=URL or --http /PREFIX=URL for a first try".to_owned(),
        )),
    }
}
