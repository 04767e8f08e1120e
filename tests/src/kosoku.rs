//! kosoku: the Autobahn cases for WebSocket, run against a server or a client, and what they said.

use crate::{Result, place, process, process::Process, wait};
use comfy_table::Table;
use serde_json::Value;
use std::{
    collections::BTreeMap, fs::File, io::BufReader, net::SocketAddr, path::Path, process::Command,
    time::Duration,
};
use tempfile::TempDir;
use tokio::net::TcpStream;

/// Cases without those of performance (9) and of compression (12, 13), which is never negotiated.
pub const CASES: usize = 247;
/// What is left out of them.
const LEFT_OUT: [&str; 3] = ["9.*", "12.*", "13.*"];
/// Cases at once.
const PARALLEL: &str = "4";
/// Time for the program to listen.
const START: Duration = Duration::from_secs(20);

/// Which cases.
#[derive(Clone, Copy, Debug)]
pub enum Selection {
    /// [`CASES`].
    Protocol,
    /// Large messages and many of them: the smallest of each kind.
    Large,
    /// All of these, up to 16 MiB.
    Largest,
}

/// How each case ended: of the exchange, and of the close.
#[derive(Debug)]
pub struct Verdicts(BTreeMap<String, [String; 2]>);

/// The program as a server that waits for the client under test.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    process: Process,
    folder: TempDir,
}

impl Selection {
    fn arguments(self) -> Vec<&'static str> {
        match self {
            Self::Protocol => LEFT_OUT.iter().flat_map(|cases| ["-x", cases]).collect(),
            Self::Large => vec!["-i", "9.*.1"],
            Self::Largest => vec!["-i", "9.*"],
        }
    }
}

impl Verdicts {
    /// Runs the cases against the server at `address`.
    pub async fn of_server(address: SocketAddr, selection: Selection, limit: Duration) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = program()?;
        command.args(["-m", "fuzzingclient", "-p", PARALLEL]).args(selection.arguments());
        command.arg("-o").arg(folder.path()).arg(address.to_string());
        process::run_within(limit, command).await?;
        Self::read(folder.path())
    }

    /// What the one run in `folder` left behind.
    fn read(folder: &Path) -> Result<Self> {
        let file = File::open(folder.join("index.json")).map_err(|why| format!("no report: {why}"))?;
        let index: Value = serde_json::from_reader(BufReader::new(file))?;
        let agents = index.as_object().ok_or("the report is no object")?;
        let cases = agents.values().filter_map(Value::as_object).flatten();
        let text = |value: &Value| value.as_str().unwrap_or("MISSING").to_owned();
        let verdicts =
            cases.map(|(case, said)| (case.clone(), [text(&said["behavior"]), text(&said["behaviorClose"])]));
        Ok(Self(verdicts.collect()))
    }

    /// How many cases ran.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none ran.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many cases ended with this behaviour.
    pub fn count(&self, behavior: &str) -> usize {
        self.0.values().filter(|[exchange, _]| exchange == behavior).count()
    }

    /// Cases that broke a rule, or a choice of the standard's: everything but `OK` and `INFORMATIONAL`, also at the close.
    pub fn broken(&self) -> Vec<String> {
        let good = |said: &String| said == "OK" || said == "INFORMATIONAL";
        let broken = self.0.iter().filter(|(_, said)| !said.iter().all(good));
        broken.map(|(case, [exchange, close])| format!("{case}: {exchange}, close {close}")).collect()
    }

    /// Behaviours by group of cases, for a person.
    pub fn table(&self) -> String {
        let behaviors = ["OK", "NON-STRICT", "INFORMATIONAL"];
        let mut rows = BTreeMap::<u32, [usize; 4]>::new();
        for (case, [exchange, _]) in &self.0 {
            let group = case.split('.').next().and_then(|group| group.parse().ok()).unwrap_or_default();
            let column = behaviors.iter().position(|behavior| behavior == exchange);
            rows.entry(group).or_default()[column.unwrap_or(behaviors.len())] += 1;
        }
        let mut table = Table::new();
        table.set_header(["cases", "OK", "NON-STRICT", "INFORMATIONAL", "other"]);
        for (group, counts) in rows {
            let counts = counts.iter().map(ToString::to_string);
            table.add_row(std::iter::once(format!("{group}.*")).chain(counts));
        }
        table.to_string()
    }

    /// One line of figures.
    pub fn figures(&self) -> String {
        let (good, choice, told) = (self.count("OK"), self.count("NON-STRICT"), self.count("INFORMATIONAL"));
        let rest = self.len() - good - choice - told;
        format!("{} cases: {good} OK, {told} informational, {choice} non-strict, {rest} other", self.len())
    }
}

impl Server {
    /// Starts it on a free port, and waits until it listens.
    pub async fn start(selection: Selection) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = place::free_address()?;
        let mut command = program()?;
        command.args(["-m", "fuzzingserver"]).args(selection.arguments());
        command.arg("-o").arg(folder.path()).arg(address.to_string());
        let mut process = Process::start("kosoku", &mut command, folder.path())?;
        let log = folder.path().join("kosoku.log");
        let listens = || std::fs::read_to_string(&log).ok()?.contains("listening").then_some(());
        process.ready(START, listens).await?;
        let connected = || async { TcpStream::connect(address).await.ok().map(drop) };
        wait::until("kosoku takes connections", START, connected).await?;
        Ok(Self { address, process, folder })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The report, after the client has asked for it.
    pub async fn verdicts(mut self, limit: Duration) -> Result<Verdicts> {
        let folder = self.folder.path();
        let read = || std::future::ready(Verdicts::read(folder).ok());
        let verdicts = wait::until("kosoku has written its report", limit, read).await;
        let verdicts = verdicts.map_err(|why| format!("{why}; its log:\n{}", self.process.log()))?;
        self.process.kill()?;
        Ok(verdicts)
    }
}

fn program() -> Result<Command> {
    Ok(Command::new(place::installed("py-kosoku/bin/kosoku")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_and_what_is_not_good_stands_out() {
        let folder = tempfile::tempdir().unwrap();
        let report = r#"{"agent": {
            "1.1.1": {"behavior": "OK", "behaviorClose": "OK"},
            "6.4.1": {"behavior": "NON-STRICT", "behaviorClose": "OK"},
            "7.1.5": {"behavior": "OK", "behaviorClose": "FAILED"},
            "7.1.6": {"behavior": "INFORMATIONAL", "behaviorClose": "INFORMATIONAL"},
            "7.2.0": {}
        }}"#;
        assert!(Verdicts::read(folder.path()).is_err());
        std::fs::write(folder.path().join("index.json"), report).unwrap();
        let verdicts = Verdicts::read(folder.path()).unwrap();
        assert_eq!((verdicts.len(), verdicts.count("OK")), (5, 2));
        let broken =
            ["6.4.1: NON-STRICT, close OK", "7.1.5: OK, close FAILED", "7.2.0: MISSING, close MISSING"];
        assert_eq!(verdicts.broken(), broken);
        assert_eq!(verdicts.figures(), "5 cases: 2 OK, 1 informational, 1 non-strict, 1 other");
    }
}
