//! `tools/call` with a session: through a gateway alone, through one with a Redis, and through a proxy that looks at nothing.

use super::gateway::PATH;
use crate::{
    Error,
    figures::{Budget, Figures},
    peers::{self, Peer},
    process::{Process, free_address},
    rounds::{self, Options, Row, median},
};
use comfy_table::Table;
use holdfast_test_servers::{Options as ServerOptions, Server};
use serde_json::json;
use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const BLIND: usize = 0;
const ALONE: usize = 1;
const WITH_REDIS: usize = 2;

/// DESIGN, section 5.
const CALL: Budget = Budget { most: 1.5, words: "<= 1.5" };
/// No look into Redis on the way of a request: what is told is told of many at once.
const COMMANDS: Budget = Budget { most: 0.1, words: "none on the way of a request" };
/// How long commands are counted that come without any request.
const QUIET: Duration = Duration::from_secs(3);

/// Everything that runs.
pub(crate) struct Setting {
    processes: Vec<Process>,
    redis: Server,
    folder: TempDir,
    _origin: Process,
}

/// The rows of the rounds, for people and for programs.
pub(crate) struct Rows {
    pub(crate) table: Table,
    pub(crate) objects: Vec<serde_json::Value>,
}

impl Setting {
    /// Starts the origin, Redis and what stands before the origin.
    pub(crate) fn start() -> Result<Self, Error> {
        let (binary, folder) = (peers::build_holdfast()?, tempfile::tempdir()?);
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("mcp-origin");
        let origin = Process::start_announcing(command)?;
        let redis = Server::start(&ServerOptions::new())?;
        let shared = format!("redis: {{url: '{}'}}\n", redis.url());
        let processes = vec![
            Peer::Blind.start(origin.address, folder.path(), &binary)?,
            gateway("alone", &binary, folder.path(), origin.address.port(), "")?,
            gateway("with-redis", &binary, folder.path(), origin.address.port(), &shared)?,
        ];
        Ok(Self { processes, redis, folder, _origin: origin })
    }

    /// Commands that Redis has processed so far.
    fn commands(&self) -> Result<f64, Error> {
        Ok(self.redis.info("total_commands_processed")?.parse()?)
    }

    /// Commands per second while nobody asks anything.
    fn quiet_commands(&self) -> Result<f64, Error> {
        let (before, began) = (self.commands()?, Instant::now());
        std::thread::sleep(QUIET);
        Ok((self.commands()? - before) / began.elapsed().as_secs_f64())
    }

    /// Measures all in alternating rounds.
    pub(crate) fn rounds(&mut self, options: &Options, figures: &mut Figures) -> Result<Rows, Error> {
        let labels = [("blind hyper", "/mcp"), ("holdfast", PATH), ("holdfast with Redis", PATH)];
        let mut rows = Vec::new();
        for (process, (label, path)) in labels.into_iter().enumerate() {
            let session = rounds::open_session(self.processes[process].address, path)?;
            rows.push(rounds::row(label, process, rounds::legacy(path, &session)));
        }
        let quiet = self.quiet_commands()?;
        let (before, began) = (self.commands()?, Instant::now());
        rounds::alternate(options, self.folder.path(), &self.processes, &mut rows)?;
        // What goes on without any request, such as looking whether the server lives, goes on meanwhile.
        let commands = self.commands()? - before - quiet * began.elapsed().as_secs_f64();
        let requests: u64 = rows[WITH_REDIS].samples.iter().map(|sample| sample.seen.requests).sum();
        figures.judge("CPU of a call without Redis, x blind hyper", ratio(&rows, ALONE, BLIND), "x", CALL);
        figures.judge("CPU of a call with Redis, x blind hyper", ratio(&rows, WITH_REDIS, BLIND), "x", CALL);
        figures.add("CPU of a call with Redis, x without", ratio(&rows, WITH_REDIS, ALONE), "x");
        figures.add("commands to Redis without any request", quiet, "per second");
        figures.judge(
            "commands to Redis beyond those",
            commands / requests.max(1) as f64,
            "per request",
            COMMANDS,
        );
        Ok(self.show(&rows))
    }

    fn show(&self, rows: &[Row]) -> Rows {
        let mut table = rounds::table(&["x blind"]);
        let mut objects = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let of = |get: fn(&rounds::Sample) -> f64| median(row.samples.iter().map(get));
            let (cpu, blind) = (of(|s| s.cpu_us), ratio(rows, index, BLIND));
            let (rate, p50, p99) = (of(|s| s.seen.per_second), of(|s| s.seen.p50_us), of(|s| s.seen.p99_us));
            let errors: u64 = row.samples.iter().map(|sample| sample.seen.errors).sum();
            let mib = self.processes[row.process].resident_kib() as f64 / 1024.0;
            table.add_row([
                row.label.clone(),
                format!("{cpu:.1}"),
                format!("{blind:.2}"),
                format!("{rate:.0}"),
                format!("{p50:.0}"),
                format!("{p99:.0}"),
                format!("{mib:.1}"),
                errors.to_string(),
            ]);
            objects.push(json!({ "proxy": row.label, "cpu_us": cpu, "x_blind": blind, "per_second": rate,
                "p50_us": p50, "p99_us": p99, "rss_mib": mib, "errors": errors }));
        }
        Rows { table, objects }
    }
}

/// CPU of one row over another's, each pair from the same round.
fn ratio(rows: &[Row], of: usize, to: usize) -> f64 {
    let pairs = rows[of].samples.iter().zip(&rows[to].samples);
    median(pairs.map(|(of, to)| of.cpu_us / to.cpu_us))
}

/// A gateway with all features on, and whatever it shares.
fn gateway(name: &str, binary: &Path, folder: &Path, origin: u16, shared: &str) -> Result<Process, Error> {
    let home = folder.join(name);
    std::fs::create_dir_all(&home)?;
    let (address, admin) = (free_address()?, free_address()?);
    let config = peers::holdfast_config(address, admin, ([127, 0, 0, 1], origin).into(), 2, &home);
    // Replicas that share a store share a key ring.
    let ring = "keys: [{id: bench, key: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=}]";
    let config = config.replace("ephemeral_key: true", ring) + shared;
    let file = home.join("holdfast.yaml");
    std::fs::write(&file, config)?;
    let log = std::fs::File::create(home.join("holdfast.log"))?;
    let mut command = Command::new(binary);
    command.arg("serve").arg("--config").arg(file).stdout(Stdio::null()).stderr(log);
    Process::start(command, address)
}
