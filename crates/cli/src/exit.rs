//! Exit codes, in one place: the same table stands in `holdfast --help`.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command ran and its answer is "no": a call failed, a process could not be reached. Exit code 1.
    Failed(String),
    /// The configuration or the arguments are wrong; the text was already rendered for a person. Exit code 2.
    Invalid(String),
    /// An address could not be bound, or a resource of this machine is missing. Exit code 3.
    Environment(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(text) | Self::Invalid(text) | Self::Environment(text) => {
                f.write_str(text.trim_end())
            }
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // A closed pipe (`holdfast schema | head`) is the reader's choice, not a failure of ours.
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::Failed(String::new());
        }
        Self::Environment(error.to_string())
    }
}

/// Prints a failure on standard error and turns it into the documented code.
pub(crate) fn report(outcome: Result<(), Failure>) -> ExitCode {
    let Err(failure) = outcome else { return ExitCode::SUCCESS };
    let code = match failure {
        Failure::Failed(_) => 1,
        Failure::Invalid(_) => 2,
        Failure::Environment(_) => 3,
    };
    let text = failure.to_string();
    if !text.is_empty() {
        let mut err = std::io::stderr();
        let prefix = if err.is_terminal() { "\u{1b}[1;31merror\u{1b}[0m" } else { "error" };
        let line = if text.starts_with("error") { text } else { format!("{prefix}: {text}") };
        // Nothing can be done about a standard error that is gone.
        let _ = writeln!(err, "{line}");
    }
    ExitCode::from(code)
}
