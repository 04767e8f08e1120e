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
}

impl Process {
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> Result<Self> {
        let out = File::options().create(true).append(true).open(&log)?;
        let error = out.try_clone()?;
        let child = command.stdin(Stdio::null()).stdout(out).stderr(error).spawn();
        Ok(Self { child: child.map_err(|why| format!("cannot start {command:?}: {why}"))?, log })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result {
        signal::kill(Pid::from_raw(self.child.id().cast_signed()), signal)
            .map_err(|why| format!("cannot send {signal} to process {}: {why}", self.child.id()).into())
    }

    /// SIGKILL, and waits until the kernel has taken the process away.
    pub(crate) fn kill(&mut self) -> Result {
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
