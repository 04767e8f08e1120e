//! Real SDK clients that run beside a test, each with one session or none, and what became of their calls.

use crate::{Error, Result, load::Tally, tools};
use serde_json::Value;
use std::{
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::process::Child;

/// Every SDK, in each way it negotiates: the script and its arguments behind the URL.
const CLIENTS: [(&str, &[&str]); 6] = [
    ("python 1", &[]),
    ("python 2, session", &["legacy"]),
    ("python 2, stateless", &["auto"]),
    ("typescript 1", &[]),
    ("typescript 2, session", &["default"]),
    ("typescript 2, stateless", &["auto"]),
];

fn command(name: &str) -> Result<Command> {
    match name.split(',').next() {
        Some("python 1") => tools::python("py-mcp1", "live1.py"),
        Some("python 2") => tools::python("py-mcp2", "live2.py"),
        Some("typescript 1") => tools::node("live1.mjs"),
        _ => tools::node("live2.mjs"),
    }
}

/// Running clients, killed when dropped.
#[derive(Debug)]
pub struct SdkClients {
    clients: Vec<(&'static str, Child)>,
    /// The same moment by both clocks.
    epoch: (Instant, SystemTime),
}

impl SdkClients {
    /// Starts one of each at `url`.
    pub fn start(url: &str) -> Result<Self> {
        let mut clients = Vec::new();
        for (name, arguments) in CLIENTS {
            let mut command = command(name)?;
            command
                .arg(url)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            clients.push((name, tokio::process::Command::from(command).kill_on_drop(true).spawn()?));
        }
        Ok(Self { clients, epoch: (Instant::now(), SystemTime::now()) })
    }

    /// Lets each client end its call, and gives what it counted. A client that ended by itself is an error with its output.
    pub async fn finish(self, limit: Duration) -> Result<Vec<Tally>> {
        let mut tallies = Vec::new();
        let epoch = self.epoch;
        for (name, mut client) in self.clients {
            drop(client.stdin.take());
            let output = tokio::time::timeout(limit, client.wait_with_output()).await;
            let output = output.map_err(|_| format!("{name} did not end within {limit:?}"))??;
            let (out, error) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            let told = out.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok());
            let told =
                told.ok_or_else(|| -> Error { format!("{name} ({}): {out}{error}", output.status).into() })?;
            tallies.push(tally(name, &told, epoch)?);
        }
        Ok(tallies)
    }
}

fn tally(name: &'static str, told: &Value, (instant, wall): (Instant, SystemTime)) -> Result<Tally> {
    let tally = Tally::new(name);
    for _ in 0..told["good"].as_u64().ok_or("no count")? {
        tally.good_one();
    }
    let started = wall.duration_since(UNIX_EPOCH)?.as_secs_f64();
    let moment = |value: &Value| {
        let seconds = value.as_f64().unwrap_or_default() - started;
        instant + Duration::from_secs_f64(seconds.max(0.0))
    };
    for failed in told["failed"].as_array().ok_or("no failures")? {
        let why = failed["why"].as_str().unwrap_or_default();
        tally.failed(moment(&failed["began"]), moment(&failed["ended"]), name, why);
    }
    Ok(tally)
}
