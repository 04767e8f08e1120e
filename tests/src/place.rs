//! Where things are: the checkout, its cache of test components, and the binaries under test.

use crate::{Result, process};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Root of the checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."))
}

/// Folder that `./test setup` fills.
pub fn cache() -> PathBuf {
    root().join(".cache")
}

/// A file that `./test setup` installs, or an error that says so.
pub fn installed(path: &str) -> Result<PathBuf> {
    let file = cache().join(path);
    if file.exists() {
        return Ok(file);
    }
    Err(format!("{} is missing: run `./test setup` first", file.display()).into())
}

/// A program of a Debian package, searched in `PATH` and in the folders of system programs.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| format!("{name} is missing: run `./test setup` first").into())
}

/// The library that shifts a process's clock: what `faketime` has its programs load. The wrapper itself would stand between a test and
/// the id of the process.
pub fn faketime() -> Result<String> {
    let mut command = Command::new(program("faketime")?);
    let loaded = process::run(command.args(["-f", "+1s", "sh", "-c", "echo $LD_PRELOAD"]))?;
    Ok(loaded.trim().to_owned())
}

/// An address that nobody listens on right now.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The gateway: `HOLDFAST_BIN`, or the development build of this checkout, built once if it is missing.
pub fn holdfast() -> Result<&'static Path> {
    static BINARY: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    binary(&BINARY, "HOLDFAST_BIN", "holdfast", "holdfast")
}

/// The MCP server: `HOLDFAST_FIXTURE_BIN`, or the development build of this checkout, built once if it is missing.
pub fn fixture() -> Result<&'static Path> {
    static BINARY: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    binary(&BINARY, "HOLDFAST_FIXTURE_BIN", "holdfast-mcp-fixture", "holdfast-mcp-fixture")
}

fn binary(
    cell: &'static OnceLock<std::result::Result<PathBuf, String>>,
    variable: &str,
    package: &str,
    name: &str,
) -> Result<&'static Path> {
    let found = cell.get_or_init(|| {
        if let Some(path) = std::env::var_os(variable) {
            return Ok(PathBuf::from(path));
        }
        let path = target()?.join(name);
        if !path.is_file() {
            build(package)?;
        }
        Ok(path)
    });
    found.as_deref().map_err(|why| why.clone().into())
}

/// The profile's folder: two above this test's own executable, which lives in `deps`.
fn target() -> std::result::Result<PathBuf, String> {
    let executable = std::env::current_exe().map_err(|why| format!("no path of this test: {why}"))?;
    let folder = executable.parent().and_then(Path::parent);
    folder.map(Path::to_owned).ok_or_else(|| "this test does not run from a target folder".to_owned())
}

fn build(package: &str) -> std::result::Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root()).args(["build", "--package", package]);
    process::run(&mut command).map(drop).map_err(|why| why.to_string())
}
