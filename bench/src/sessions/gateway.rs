//! A gateway whose memory is looked at, and what it says of itself.

use super::server::Server;
use crate::{
    Error,
    process::{Process, free_address},
};
use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Where the server of the bench is served.
pub(crate) const PATH: &str = "/mcp/bench";
/// Shortest for which a sixteenth is as long as a session is remembered after its last use at the least, so that it is handed over early
/// while none ends.
const TTL: Duration = Duration::from_mins(4);
/// For all sessions to be handed over.
const HAND_OVER: Duration = Duration::from_mins(2);
/// A process whose memory did not change for this long is quiet; it gets [`PATIENCE`] for that.
const QUIET: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);
/// More than is ever reached: what is measured is memory, not limits.
const PLENTY: u32 = 1_000_000;

/// A process, and where it is asked.
pub(crate) struct Gateway {
    pub(crate) process: Process,
    admin: SocketAddr,
}

impl Gateway {
    /// Before `server`, with files in `folder`. `mcp` are further keys of that block, `shared` is what it shares: both as configuration.
    pub(crate) fn start(
        binary: &Path,
        folder: &Path,
        server: &Server,
        mcp: &str,
        shared: &str,
    ) -> Result<Self, Error> {
        let (address, admin) = (free_address()?, free_address()?);
        let config = format!(
            "server: {{host: 127.0.0.1, port: {}, workers: 2, drain_delay: 0s, max_connections_per_ip: {PLENTY}}}
admin: {{port: {}}}
sessions:
  keys: [{{id: bench, key: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=}}]
  ttl: {}s
  max_entries: {}
observability: {{access_log: {{path: {}}}}}
connection_pool: {{max_idle: 128, max_size: {PLENTY}}}
mcp: {{{mcp}servers: [{{name: bench, max_requests: {PLENTY}, endpoints: ['http://{}/mcp']}}]}}
{shared}",
            address.port(),
            admin.port(),
            TTL.as_secs(),
            20 * PLENTY,
            folder.join("access.log").display(),
            server.address,
        );
        let file = folder.join("holdfast.yaml");
        std::fs::write(&file, config)?;
        let log = File::create(folder.join("holdfast.log"))?;
        let mut command = Command::new(binary);
        command.arg("serve").arg("--config").arg(file).stdout(Stdio::null()).stderr(log);
        Ok(Self { process: Process::start(command, address)?, admin })
    }

    /// Sum of a metric's series whose labels contain `label`.
    pub(crate) fn metric(&self, name: &str, label: &str) -> Result<f64, Error> {
        let mut stream = TcpStream::connect(self.admin)?;
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.admin)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let series = |line: &str| {
            let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
            rest.contains(label).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
        };
        let values: Vec<f64> = answer.lines().filter_map(series).collect();
        if values.is_empty() {
            return Err(format!("the gateway tells no {name} with {label}").into());
        }
        Ok(values.iter().sum())
    }

    /// Waits until the process knows no session by its last use any more: the store has them.
    pub(crate) fn hand_over(&self) -> Result<(), Error> {
        self.wait("holdfast_mcp_sessions_known", "", 0.0, HAND_OVER)
    }

    /// Waits until a metric has a value.
    pub(crate) fn wait(&self, name: &str, label: &str, value: f64, patience: Duration) -> Result<(), Error> {
        let end = Instant::now() + patience;
        loop {
            let seen = self.metric(name, label)?;
            if (seen - value).abs() < 0.5 {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(format!("{name} is {seen} and not {value} after {patience:?}").into());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// What is measured are sessions that live, all of them: an error if the machine was too slow for that.
    pub(crate) fn lost_none(&self) -> Result<(), Error> {
        for name in ["holdfast_mcp_session_ends_total", "holdfast_mcp_session_uses_unnoted_total"] {
            let lost = self.metric(name, "")?;
            if lost > 0.0 {
                return Err(format!("{name} is {lost} while idle sessions are measured").into());
            }
        }
        Ok(())
    }

    /// Resident memory in bytes when it has stopped changing.
    pub(crate) fn quiet_bytes(&self) -> f64 {
        let end = Instant::now() + PATIENCE;
        let (mut seen, mut since) = (self.process.resident_kib(), Instant::now());
        while since.elapsed() < QUIET && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
            let now = self.process.resident_kib();
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
        }
        seen as f64 * 1024.0
    }
}
