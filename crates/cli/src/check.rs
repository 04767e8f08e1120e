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
            return Err(Failure::Invalid(report.summary()));
        }
        Err(report) => return Err(Failure::Invalid(report.render(colour))),
    };
    let warnings = loaded.warning_report();
    if args.json {
        writeln!(std::io::stdout(), "{}", loaded.to_json())?;
    } else {
        if let Some(warnings) = &warnings {
            write!(std::io::stderr(), "{}", warnings.render(colour))?;
        }
        if !args.quiet {
            let text = loaded.print(PrintOptions { defaults: !args.no_defaults });
            std::io::stdout().write_all(text.as_bytes())?;
        }
    }
    match warnings {
        Some(warnings) if args.deny_warnings => {
            Err(Failure::Invalid(format!("{} (--deny-warnings)", warnings.summary())))
        }
        _ => Ok(()),
    }
}

/// Prints the JSON Schema.
pub(crate) fn print_schema() -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(&holdfast_config::json_schema())
        .map_err(|error| Failure::Environment(error.to_string()))?;
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
