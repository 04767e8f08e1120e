//! The gateway that all clients speak to, and what it stands before.

use super::Server;
use crate::{
    Error, peers,
    process::{Process, free_address},
};
use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// Everything that runs for all clients.
pub(super) struct Site {
    gateway: Process,
    binary: PathBuf,
    folder: TempDir,
    _origin: Process,
}

impl Site {
    pub(super) fn start() -> Result<Self, Error> {
        let (binary, folder) = (peers::build_holdfast()?, tempfile::tempdir()?);
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("mcp-origin");
        let origin = Process::start_announcing(command)?;
        let (address, admin) = (free_address()?, free_address()?);
        let program = std::env::current_exe()?;
        let servers = format!(
            "mcp:
  servers:
    - {{name: bench, endpoints: ['http://{}/mcp']}}
    - {{name: program, command: ['{}', mcp-origin, --stdio], shared: true}}
connection_pool: {{max_idle: 128}}
sessions: {{ephemeral_key: true}}
",
            origin.address,
            program.display(),
        );
        for (name, server) in [("bench", Server::Http), ("program", Server::Program)] {
            let text = format!(
                "{servers}  \nobservability: {{access_log: {{path: {}}}}}\n",
                folder.path().join(format!("{name}.log")).display()
            );
            let text = text.replace("mcp:\n", &format!("mcp:\n  stdio: {{server: {name}}}\n"));
            std::fs::write(document(folder.path(), server), text)?;
        }
        let listening = format!(
            "server: {{host: 127.0.0.1, port: {}, workers: 2, drain_delay: 0s}}\nadmin: {{port: {}}}\n{servers}\
             observability: {{access_log: {{path: {}}}}}\n",
            address.port(),
            admin.port(),
            folder.path().join("access.log").display()
        );
        let file = folder.path().join("holdfast.yaml");
        std::fs::write(&file, listening)?;
        let mut command = Command::new(&binary);
        let log = File::create(folder.path().join("holdfast.log"))?;
        command.arg("serve").arg("--config").arg(file).stdout(Stdio::null()).stderr(log);
        Ok(Self { gateway: Process::start(command, address)?, binary, folder, _origin: origin })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.gateway.address
    }

    /// CPU time of the gateway, without its programs.
    pub(super) fn cpu(&self) -> Duration {
        self.gateway.cpu_alone()
    }

    /// `holdfast serve --stdio` before a server.
    pub(super) fn stdio(&self, server: Server) -> Result<Command, Error> {
        let mut command = Command::new(&self.binary);
        command.args(["serve", "--stdio", "--config"]).arg(document(self.folder.path(), server));
        command.stderr(File::create(self.folder.path().join("stdio.log"))?);
        Ok(command)
    }
}

impl Server {
    /// Where it is served.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Http => "/mcp/bench",
            Self::Program => "/mcp/program",
        }
    }
}

fn document(folder: &Path, server: Server) -> PathBuf {
    folder.join(match server {
        Server::Http => "bench.yaml",
        Server::Program => "program.yaml",
    })
}
