//! One replica of the MCP server behind the gateway; it can die and come back on the same port.

use crate::{Result, place, process::Process};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tempfile::TempDir;

/// Time a replica gets to start.
const START: Duration = Duration::from_secs(20);

/// What a replica is told.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Its name, as `whoami` and the header `x-replica` tell it.
    pub name: String,
    /// Key that signs `requestState`; the server's own if absent.
    pub state_key: Option<String>,
    /// File in which `record` leaves a line per execution.
    pub journal: Option<PathBuf>,
    /// Where it listens; port 0 is a free one.
    pub listen: Option<SocketAddr>,
    /// A DNS name by which it may be called.
    pub known_as: Option<String>,
}

impl Options {
    /// A replica called `name` with a `requestState` key of its own.
    pub fn named(name: &str) -> Self {
        let state_key = format!("a key of {name} alone, for tests, 32 bytes or more");
        Self { name: name.to_owned(), state_key: Some(state_key), ..Self::default() }
    }

    /// The same, at this address and under this DNS name.
    #[must_use]
    pub fn at(self, listen: SocketAddr, known_as: &str) -> Self {
        Self { listen: Some(listen), known_as: Some(known_as.to_owned()), ..self }
    }

    /// The same with a journal.
    #[must_use]
    pub fn with_journal(self, journal: &Path) -> Self {
        Self { journal: Some(journal.to_owned()), ..self }
    }
}

/// A running replica.
#[derive(Debug)]
pub struct Fixture {
    options: Options,
    address: SocketAddr,
    process: Process,
    folder: TempDir,
}

impl Fixture {
    /// Starts a replica on a free port and waits until it listens.
    pub async fn start(options: Options) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let listen = options.listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into());
        let (process, address) = spawn(&options, listen, folder.path()).await?;
        Ok(Self { options, address, process, folder })
    }

    /// Address it listens on; the same after a restart.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// URL of its MCP endpoint.
    pub fn mcp(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result {
        self.process.kill()
    }

    /// Starts it again on the port it had.
    pub async fn restart(&mut self) -> Result {
        let (process, address) = spawn(&self.options, self.address, self.folder.path()).await?;
        self.process = process;
        self.address = address;
        Ok(())
    }
}

async fn spawn(options: &Options, listen: SocketAddr, folder: &Path) -> Result<(Process, SocketAddr)> {
    let mut command = Command::new(place::fixture()?);
    command.arg("--host").arg(listen.ip().to_string()).arg("--port").arg(listen.port().to_string());
    command.arg("--name").arg(&options.name);
    if let Some(name) = &options.known_as {
        command.arg("--known-as").arg(name);
    }
    if let Some(key) = &options.state_key {
        command.arg("--state-key").arg(key);
    }
    if let Some(journal) = &options.journal {
        command.arg("--journal").arg(journal);
    }
    let mut process = Process::start("fixture", &mut command, folder)?;
    let log = folder.join("fixture.log");
    let address = process.ready(START, || {
        let text = std::fs::read_to_string(&log).ok()?;
        text.lines().find_map(|line| line.strip_prefix("listening on ")?.parse().ok())
    });
    let address = address.await?;
    Ok((process, address))
}
