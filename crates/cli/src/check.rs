//! `holdfast check` and `holdfast schema`.

use crate::args::{CheckArgs, RoleArg};
use crate::exit::Failure;
use holdfast_config::{PrintOptions, ProcessEnv, Role, Source};
use std::io::{IsTerminal as _, Write as _};

/// Loads the files as `serve` would, and prints what they come to.
pub(crate) fn run(args: &CheckArgs) -> Result<(), Failure> {
    let sources: Vec<Source> = args.files.iter().cloned().map(Source::File).collect();
    let role = match args.role {
        Some(RoleArg::Serve) => Role::Serve,
        None => Role::Any,
    };
    let colour = std::io::stderr().is_terminal();
    let loaded = match holdfast_config::load(&sources, &ProcessEnv, role) {
        Ok(loaded) => loaded,
        Err(report) if args.json => {
            writeln!(std::io::stdout(), "{}", report.to_json())?;
            return Err(Failure::Invalid(report.to_string()));
        }
        Err(report) => return Err(Failure::Invalid(report.render(colour))),
    };
    let warnings = &loaded.warnings;
    let options = PrintOptions { defaults: !args.no_defaults, ..PrintOptions::default() };
    if args.json {
        let warnings: Vec<_> = warnings.iter().map(holdfast_config::Diagnostic::to_json).collect();
        let object = serde_json::json!({ "diagnostics": warnings, "effective": loaded.print(options) });
        writeln!(std::io::stdout(), "{object}")?;
    } else {
        write!(std::io::stderr(), "{}", holdfast_config::render(warnings, colour))?;
        if !args.quiet {
            std::io::stdout().write_all(loaded.print(options).as_bytes())?;
        }
    }
    if args.deny_warnings && !warnings.is_empty() {
        return Err(Failure::Invalid(format!("{} warnings, and --deny-warnings is given", warnings.len())));
    }
    Ok(())
}

/// Prints the JSON Schema.
pub(crate) fn print_schema() -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(&holdfast_config::json_schema())
        .map_err(|error| Failure::Environment(error.to_string()))?;
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
