//! A child process, killed by its id when dropped.

use crate::Result;
use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use std::{
    fs::File,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    pid_file: PathBuf,
}

impl Process {
    /// `pid_file`: the program writes its id there. The child may be a wrapper around it, such as `faketime`.
    pub(crate) fn start(command: &mut Command, log: PathBuf, pid_file: PathBuf) -> Result<Self> {
        // One of an earlier run would name somebody else.
        let _ = std::fs::remove_file(&pid_file);
        let out = File::options().create(true).append(true).open(&log)?;
        let error = out.try_clone()?;
        let child = command.stdin(Stdio::null()).stdout(out).stderr(error).spawn();
        Ok(Self { child: child.map_err(|why| format!("cannot start {command:?}: {why}"))?, log, pid_file })
    }

    /// Id of the program itself.
    pub(crate) fn id(&self) -> u32 {
        let written = std::fs::read_to_string(&self.pid_file).ok();
        written.and_then(|text| text.trim().parse().ok()).unwrap_or_else(|| self.child.id())
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result {
        let id = self.id();
        signal::kill(Pid::from_raw(id.cast_signed()), signal)
            .map_err(|why| format!("cannot send {signal} to process {id}: {why}").into())
    }

    /// SIGKILL, and waits until the kernel has taken the process away.
    pub(crate) fn kill(&mut self) -> Result {
        // After its end the id may be somebody else's.
        if !self.has_ended() && self.id() != self.child.id() {
            self.signal(Signal::SIGKILL)?;
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already is as good as killed.
        let _ = self.kill();
    }
}

/// A program of a Debian package, or an error that says how to get it.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = folders.map(|folder| folder.join(name)).find(|file| Path::is_file(file));
    found.ok_or_else(|| format!("{name} is missing: run `./test setup` first").into())
}

/// A port that nobody listens on right now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
