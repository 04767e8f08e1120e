//! Child processes of a benchmark: started on free ports, measured through procfs, ended by process id.

use crate::Error;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Time a process has to accept connections.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// A running process, killed when dropped.
pub(crate) struct Process {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts a command and waits until `address` accepts.
    pub(crate) fn start(mut command: Command, address: SocketAddr) -> Result<Self, Error> {
        let child = command.stdin(Stdio::null()).spawn().map_err(|e| describe(&command, &e))?;
        let mut process = Self { child, address };
        let end = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = process.child.try_wait()? {
                return Err(format!("{command:?} ended at start: {status}").into());
            }
            if Instant::now() > end {
                return Err(format!("{command:?} does not accept on {address}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(process)
    }

    /// Starts a command that prints `listening on ADDR` as its first line.
    pub(crate) fn start_announcing(mut command: Command) -> Result<Self, Error> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| describe(&command, &e))?;
        let stdout = child.stdout.take().ok_or("no pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address =
            line.trim().strip_prefix("listening on ").ok_or("the process did not announce itself")?;
        Ok(Self { child, address: address.parse()? })
    }

    /// CPU time of the process and its children so far, from the scheduler's nanosecond counters.
    pub(crate) fn cpu(&self) -> Duration {
        family(self.child.id()).into_iter().map(cpu_of).sum()
    }

    /// The same without its children.
    pub(crate) fn cpu_alone(&self) -> Duration {
        cpu_of(self.child.id())
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn end_politely(mut self) -> Result<(), Error> {
        let id = nix::unistd::Pid::from_raw(i32::try_from(self.child.id())?);
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM)?;
        let end = Instant::now() + START_TIMEOUT;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > end {
                return Err("the process did not end after SIGTERM".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Resident memory of the process and its children, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        family(self.child.id()).into_iter().map(resident_of).sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        for id in family(self.child.id()).into_iter().rev() {
            if let Ok(id) = i32::try_from(id) {
                let signal = nix::sys::signal::Signal::SIGTERM;
                // A process that is gone already is what we want.
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), signal);
            }
        }
        let end = Instant::now() + Duration::from_secs(2);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr, Error> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A process and everything it started: nginx and HAProxy work in children.
fn family(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let path = format!("/proc/{0}/task/{0}/children", found[next]);
        let children = fs::read_to_string(path).unwrap_or_default();
        found.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        next += 1;
    }
    found
}

/// CPU time of one process so far.
pub(crate) fn cpu_of(id: u32) -> Duration {
    let Ok(tasks) = fs::read_dir(format!("/proc/{id}/task")) else { return Duration::ZERO };
    let nanos = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .sum();
    Duration::from_nanos(nanos)
}

fn resident_of(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or_default()
}

fn describe(command: &Command, error: &std::io::Error) -> Error {
    let program = Path::new(command.get_program()).display();
    format!("cannot start {program}: {error}; './test setup' installs what is needed").into()
}
