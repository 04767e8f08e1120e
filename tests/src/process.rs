//! Processes that a test starts: their output goes to a file, and they are killed by id when the test ends.

use crate::{Result, wait};
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// One child process.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; standard output and error go to `<folder>/<name>.log`.
    pub fn start(name: &str, command: &mut Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let out = File::create(&log)?;
        let error = out.try_clone()?;
        let child = command.stdin(Stdio::null()).stdout(out).stderr(error).spawn();
        let child = child.map_err(|why| format!("cannot start {name} ({command:?}): {why}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `look` finds what it wants; a process that ends before that is an error with its log.
    pub async fn ready<T>(&mut self, limit: Duration, look: impl Fn() -> Option<T>) -> Result<T> {
        let name = self.name.clone();
        let what = format!("{name} is ready");
        let found = wait::until(&what, limit, || {
            let ended = self.child.try_wait().ok().flatten();
            let seen = look().map(Ok).or_else(|| ended.map(Err));
            std::future::ready(seen)
        });
        match found.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(status)) => Err(format!("{name} ended at its start ({status}):\n{}", self.log()).into()),
            Err(why) => Err(format!("{why}; its log:\n{}", self.log()).into()),
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result {
        signal::kill(Pid::from_raw(self.child.id().cast_signed()), signal)
            .map_err(|why| format!("cannot send {signal} to {}: {why}", self.name).into())
    }

    /// SIGKILL, and waits until the kernel has taken the process away.
    pub fn kill(&mut self) -> Result {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until the process ends by itself.
    pub async fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        let name = self.name.clone();
        wait::until(&format!("{name} ends"), limit, || {
            std::future::ready(self.child.try_wait().ok().flatten())
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already is as good as killed.
        let _ = self.kill();
    }
}

/// Runs a command to its end and gives its standard output; a failure carries both outputs.
pub fn run(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().map_err(|why| format!("cannot start {command:?}: {why}"))?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(out);
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?} failed ({}):\n{out}{error}", output.status).into())
}

/// The same, beside other work, and not longer than `limit`; the process is killed when the future is dropped.
pub async fn run_within(limit: Duration, command: Command) -> Result<String> {
    let story = format!("{command:?}");
    let mut command = tokio::process::Command::from(command);
    let child = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = match tokio::time::timeout(limit, child).await {
        Ok(output) => output.map_err(|why| format!("cannot start {story}: {why}"))?,
        Err(_) => return Err(format!("{story} did not end within {limit:?}").into()),
    };
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(out);
    }
    Err(format!("{story} failed ({}):\n{out}{}", output.status, String::from_utf8_lossy(&output.stderr))
        .into())
}
