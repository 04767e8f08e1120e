//! The demo's processes: this very binary, started again. They end when their handle is dropped.

use crate::exit::Failure;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Time a process gets to say that it is ready.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause between two looks at the ready file.
const READY_POLL: Duration = Duration::from_millis(20);

/// A running replica of the demo server.
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Replica {
    /// Starts a replica on `port` (0 = any) and waits until it listens.
    pub(crate) async fn start(name: &str, port: u16) -> Result<Self, Failure> {
        let mut child = command()?
            .args(["demo-server", "--name", name, "--port", &port.to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout =
            child.stdout.take().ok_or_else(|| Failure::Environment("no pipe to a replica".into()))?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(START_TIMEOUT, lines.next_line())
            .await
            .map_err(|_| Failure::Environment(format!("{name} did not start within 20 s")))??;
        let address = line
            .as_deref()
            .and_then(|line| line.strip_prefix("listening on "))
            .and_then(|address| address.parse().ok())
            .ok_or_else(|| Failure::Environment(format!("{name} could not listen on port {port}")))?;
        Ok(Self { name: name.to_owned(), address, child })
    }

    /// Process id, for the story.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// SIGSTOP: its connections stay, nothing is answered any more. Only [`Replica::kill`] makes sense after it.
    pub(crate) fn freeze(&self) -> Result<(), Failure> {
        let failure = |why: &str| Failure::Environment(format!("cannot stop {}: {why}", self.name));
        let id = self.child.id().ok_or_else(|| failure("it has ended"))?;
        kill(Pid::from_raw(id.cast_signed()), Signal::SIGSTOP).map_err(|error| failure(error.desc()))
    }

    /// SIGKILL, and waits for the end.
    pub(crate) async fn kill(mut self) -> Result<(), Failure> {
        Ok(self.child.kill().await?)
    }
}

/// The running gateway.
pub(crate) struct Gateway {
    /// Its first listener.
    pub(crate) address: SocketAddr,
    /// Its admin port.
    pub(crate) admin: SocketAddr,
    child: Child,
    folder: PathBuf,
}

impl Gateway {
    /// Writes the configuration into a folder of its own, starts `serve` and waits until it is ready.
    pub(crate) async fn start(config: &str) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("holdfast-demo-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let (file, ready) = (folder.join("holdfast.yaml"), folder.join("ready.json"));
        std::fs::write(&file, config)?;
        let log = std::fs::File::create(folder.join("gateway.log"))?;
        let child = command()?
            .arg("serve")
            .arg("--config")
            .arg(&file)
            .arg("--ready-file")
            .arg(&ready)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let mut gateway = Self { address: unset(), admin: unset(), child, folder };
        let found = tokio::time::timeout(START_TIMEOUT, gateway.wait_ready(&ready)).await;
        let found = found.map_err(|_| gateway.failure("did not start within 20 s"))??;
        let address = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        gateway.address = address(&found["listeners"][0]["address"])
            .ok_or_else(|| gateway.failure("announced no listener"))?;
        gateway.admin = address(&found["admin"]).ok_or_else(|| gateway.failure("announced no admin port"))?;
        Ok(gateway)
    }

    /// Where the gateway writes its log and its access records.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    async fn wait_ready(&mut self, ready: &Path) -> Result<Value, Failure> {
        loop {
            if let Ok(text) = std::fs::read(ready) {
                return serde_json::from_slice(&text)
                    .map_err(|error| self.failure(&format!("wrote a broken ready file: {error}")));
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(self.failure(&format!("ended at start ({status})")));
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    fn failure(&self, what: &str) -> Failure {
        let log = std::fs::read_to_string(self.folder.join("gateway.log")).unwrap_or_default();
        Failure::Environment(format!("the gateway {what}\n{log}"))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // The process itself ends through `kill_on_drop`; the folder is only logs.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn unset() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 0))
}

fn command() -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}
