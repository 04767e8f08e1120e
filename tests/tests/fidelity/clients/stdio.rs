//! stdio: a gateway of its own, a message is a line.

use super::Told;
use holdfast_tests::{Result, place};
use hyper::body::Bytes;
use std::{fs::File, process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    task::AbortHandle,
};

/// See the module.
pub(super) struct Stdio {
    input: ChildStdin,
    reading: AbortHandle,
    /// Killed when it is dropped.
    _gateway: Child,
    _folder: TempDir,
}

impl Stdio {
    pub(super) fn open(mcp: &str, server: &str, told: Told) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("holdfast.yaml");
        let text = format!("sessions: {{ephemeral_key: true}}\nmcp:\n  stdio: {{server: {server}}}\n{mcp}");
        std::fs::write(&file, text)?;
        let mut command = Command::new(place::holdfast()?);
        command.args(["serve", "--stdio", "--config"]).arg(&file).kill_on_drop(true);
        let log = File::create(folder.path().join("log"))?;
        command.stdin(process::Stdio::piped()).stdout(process::Stdio::piped()).stderr(log);
        let mut gateway = command.spawn()?;
        let input = gateway.stdin.take().ok_or("no standard input")?;
        let output = gateway.stdout.take().ok_or("no standard output")?;
        let reading = tokio::spawn(async move {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while let Ok(1..) = output.read_until(b'\n', &mut line).await {
                let end = if line.last() == Some(&b'\n') { line.len() - 1 } else { line.len() };
                let _ = told.send(Bytes::copy_from_slice(&line[..end]));
                line.clear();
            }
        });
        Ok(Self { input, reading: reading.abort_handle(), _gateway: gateway, _folder: folder })
    }

    pub(super) async fn say(&mut self, message: Bytes) -> Result {
        self.input.write_all(&[&message[..], b"\n"].concat()).await?;
        Ok(self.input.flush().await?)
    }
}

impl Drop for Stdio {
    fn drop(&mut self) {
        self.reading.abort();
    }
}
