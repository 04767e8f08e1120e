//! The MCP conformance suite: run it against a URL, read what it found, compare two runs check by check.

use crate::{Result, tools};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Stdio,
    time::Duration,
};

/// Time for all scenarios of one version.
const LIMIT: Duration = Duration::from_mins(5);
/// The suite's program inside its package.
const PROGRAM: &str = "node_modules/@modelcontextprotocol/conformance/dist/index.js";
/// Length of the time stamp and its hyphen at the end of a result folder's name.
const STAMP: usize = "-2026-01-01T00-00-00-000Z".len();

/// What one check said: its status, and the message of a failure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Verdict {
    /// `SUCCESS`, `FAILURE`, `WARNING`, `INFO` or `SKIPPED`.
    pub status: String,
    /// Why it failed.
    pub why: String,
}

/// All checks of one run, by scenario and check; a check that ran several times has several verdicts.
#[derive(Clone, Debug, Default)]
pub struct Run {
    checks: BTreeMap<(String, String), Vec<Verdict>>,
}

impl Run {
    /// Runs every scenario that `version` requires against the server at `url`.
    pub async fn server(url: &str, version: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = tools::node(PROGRAM)?;
        command.args(["server", "--url", url, "--requirements", version, "-o"]).arg(folder.path());
        let mut command = tokio::process::Command::from(command);
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(LIMIT, output).await;
        let output = output.map_err(|_| format!("the conformance suite did not end within {LIMIT:?}"))??;
        // Its exit code repeats what the result files say; they tell more.
        let run = Self::read(folder.path())?;
        if run.checks.is_empty() {
            let error = String::from_utf8_lossy(&output.stderr);
            return Err(format!("the conformance suite left no results ({}): {error}", output.status).into());
        }
        Ok(run)
    }

    fn read(folder: &Path) -> Result<Self> {
        let mut run = Self::default();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let scenario = name.strip_prefix("server-").unwrap_or(&name);
            let scenario = &scenario[..scenario.len().saturating_sub(STAMP)];
            let checks: Vec<Value> =
                serde_json::from_slice(&std::fs::read(entry.path().join("checks.json"))?)?;
            for check in checks {
                let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
                let verdict = Verdict { status: text("status"), why: text("errorMessage") };
                run.checks.entry((scenario.to_owned(), text("id"))).or_default().push(verdict);
            }
        }
        for verdicts in run.checks.values_mut() {
            verdicts.sort();
        }
        Ok(run)
    }

    /// How many checks have this status.
    pub fn count(&self, status: &str) -> usize {
        self.checks.values().flatten().filter(|verdict| verdict.status == status).count()
    }

    /// Names of the scenarios.
    pub fn scenarios(&self) -> BTreeSet<&str> {
        self.checks.keys().map(|(scenario, _)| scenario.as_str()).collect()
    }

    /// The checks of one scenario alone.
    #[must_use]
    pub fn of_scenario(&self, scenario: &str) -> Self {
        let of = |entry: &(&(String, String), &Vec<Verdict>)| entry.0.0 == scenario;
        let checks = self.checks.iter().filter(of).map(|(name, verdicts)| (name.clone(), verdicts.clone()));
        Self { checks: checks.collect() }
    }

    /// Passed, failed and other checks of one scenario, for a table.
    pub fn cell(&self, scenario: &str) -> String {
        let of = |status: &str| self.of(scenario).filter(|verdict| verdict.status == status).count();
        let (good, bad, warned) = (of("SUCCESS"), of("FAILURE"), of("WARNING"));
        let rest = self.of(scenario).count() - good - bad - warned;
        let more = [(bad, "failed"), (warned, "warned"), (rest, "noted")];
        let more =
            more.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!(", {count} {word}"));
        format!("{good} passed{}", more.collect::<String>())
    }

    /// Every check whose verdicts are not the same as in `other`, as a line for a person.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let names: BTreeSet<_> = self.checks.keys().chain(other.checks.keys()).collect();
        let differs = |name: &&&(String, String)| {
            statuses(self.checks.get(**name)) != statuses(other.checks.get(**name))
        };
        let told = names.iter().filter(differs).map(|name| {
            let whys = other.checks.get(*name).into_iter().flatten().map(|verdict| verdict.why.as_str());
            let whys: BTreeSet<_> = whys.filter(|why| !why.is_empty()).collect();
            format!(
                "{}: {}: {:?} became {:?} {whys:?}",
                name.0,
                name.1,
                statuses(self.checks.get(*name)),
                statuses(other.checks.get(*name))
            )
        });
        told.collect()
    }

    /// The failed checks with their reasons.
    pub fn failures(&self) -> Vec<String> {
        let all = self
            .checks
            .iter()
            .flat_map(|(name, verdicts)| verdicts.iter().map(move |verdict| (name, verdict)));
        let failed = all.filter(|(_, verdict)| verdict.status == "FAILURE");
        failed.map(|(name, verdict)| format!("{}: {}: {}", name.0, name.1, verdict.why)).collect()
    }

    fn of<'a>(&'a self, scenario: &'a str) -> impl Iterator<Item = &'a Verdict> {
        self.checks.iter().filter(move |((name, _), _)| name == scenario).flat_map(|(_, verdicts)| verdicts)
    }
}

fn statuses(verdicts: Option<&Vec<Verdict>>) -> Vec<&str> {
    verdicts.into_iter().flatten().map(|verdict| verdict.status.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(entries: &[(&str, &str, &str)]) -> Run {
        let mut run = Run::default();
        for (scenario, id, status) in entries {
            let verdict = Verdict { status: (*status).to_owned(), why: String::new() };
            run.checks.entry(((*scenario).to_owned(), (*id).to_owned())).or_default().push(verdict);
        }
        run
    }

    #[test]
    fn a_check_that_changed_or_vanished_is_a_difference() {
        let direct = run(&[("s", "a", "SUCCESS"), ("s", "b", "SUCCESS"), ("t", "c", "INFO")]);
        assert!(direct.differences(&direct).is_empty());
        let through = run(&[("s", "a", "WARNING"), ("t", "c", "INFO")]);
        let lines = direct.differences(&through);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(through.differences(&direct).len(), 2);
    }
}
