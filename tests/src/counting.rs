//! An MCP server of the Python SDK whose events have no ids: a stream that is cut can be taken up from the gateway's log alone.

use crate::{Result, place, process::Process, tools};
use std::{net::SocketAddr, time::Duration};
use tempfile::TempDir;

/// Time it gets to start: Python reads a lot of files.
const START: Duration = Duration::from_mins(1);

/// A running server with the tool `count_up`.
#[derive(Debug)]
pub struct Counting {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl Counting {
    /// Starts it and waits until it listens.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = place::free_address()?;
        let mut command = tools::python("py-mcp2", "counting.py")?;
        command.arg(address.port().to_string());
        let mut process = Process::start("counting", &mut command, folder.path())?;
        process.ready(START, || std::net::TcpStream::connect(address).ok()).await?;
        Ok(Self { address, _process: process, _folder: folder })
    }

    /// URL of its MCP endpoint.
    pub fn mcp(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}
