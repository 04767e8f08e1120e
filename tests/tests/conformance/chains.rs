//! Chains of two gateways: what lies between them is the transport that the suite itself does not speak. Everything that passes directly
//! must pass through both, check by check.

use crate::config;
use holdfast_tests::{
    Result,
    conformance::Run,
    fixture::{Fixture, Options},
    gateway::{Config, Gateway},
    place,
};
use std::{collections::BTreeSet, path::Path};

/// What lies between the two gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    WebSocket,
    Sse,
    Stdio,
}

impl Between {
    const ALL: [Self; 3] = [Self::WebSocket, Self::Sse, Self::Stdio];

    fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
            Self::Stdio => "stdio",
        }
    }
}

/// What no chain can carry as it is, and why.
struct Exception {
    scenario: &'static str,
    /// All of its checks, if none is named.
    check: Option<&'static str>,
    why: &'static str,
}

impl Exception {
    fn is_of_all(&self, scenario: &str) -> bool {
        self.scenario == scenario && self.check.is_none()
    }
}

/// All of it. No such check may fail: the suite notes that there is nothing to judge.
const EXCEPTIONS: [Exception; 2] = [
    Exception {
        scenario: "server-sse-multiple-streams",
        check: Some("server-sse-streams-functional"),
        why: "whether an answer that stands alone is a JSON body or an event stream is a choice that Streamable HTTP alone can \
              express; the gateway makes it JSON",
    },
    Exception {
        scenario: "server-sse-polling",
        check: None,
        why: "a server that ends a response before its answer, to be resumed, can only be one of Streamable HTTP",
    },
];

/// Two gateways, the outer one first. The inner one of a chain over stdio is a child of the outer one.
struct Chain {
    outer: Gateway,
    inner: Option<Gateway>,
    _folder: tempfile::TempDir,
}

impl Chain {
    async fn start(between: Between, fixture: &Fixture) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let inner = match between {
            Between::Stdio => None,
            Between::WebSocket | Between::Sse => Some(Gateway::start(&config(&[fixture])).await?),
        };
        let link = match &inner {
            Some(inner) => match between {
                Between::WebSocket => format!("endpoints: 'ws://{}/mcp/conformance'", inner.address),
                _ => format!("transport: sse, endpoints: 'http://{}/mcp/conformance/sse'", inner.address),
            },
            None => command(folder.path(), fixture)?,
        };
        let servers = format!("mcp:\n  servers:\n    - {{name: conformance, {link}}}\n");
        let outer = Gateway::start(&Config::default().root(&servers)).await?;
        Ok(Self { outer, inner, _folder: folder })
    }

    async fn run(&self, version: &str) -> Result<Run> {
        let run = Run::server(&self.outer.url("/mcp/conformance"), version).await;
        let inner = self.inner.as_ref().map_or_else(String::new, Gateway::log);
        run.map_err(|why| format!("{why}\nouter log:\n{}\ninner log:\n{inner}", self.outer.log()).into())
    }
}

/// The inner gateway as a program.
fn command(folder: &Path, fixture: &Fixture) -> Result<String> {
    let file = folder.join("inner.yaml");
    let server = format!("    - {{name: conformance, endpoints: '{}'}}\n", fixture.mcp());
    std::fs::write(&file, format!("sessions: {{ephemeral_key: true}}\nmcp:\n  servers:\n{server}"))?;
    let binary = place::holdfast()?;
    Ok(format!("command: ['{}', serve, --stdio, --config, '{}']", binary.display(), file.display()))
}

/// What became of one scenario in a chain.
fn cell(scenario: &str, direct: &Run, through: &Run) -> String {
    let differences = direct.of_scenario(scenario).differences(&through.of_scenario(scenario));
    let excused = differences.iter().filter(|line| exception(line).is_some()).count();
    match (differences.len(), excused) {
        (0, _) => "equal".to_owned(),
        (all, some) if all == some && EXCEPTIONS.iter().any(|known| known.is_of_all(scenario)) => {
            "not carried".to_owned()
        }
        (all, some) if all == some => format!("equal, {some} not carried"),
        (all, some) => format!("{} differ", all - some),
    }
}

/// Why a difference had to be, if it had to.
fn exception(difference: &str) -> Option<&'static Exception> {
    let names = |known: &&Exception| {
        let check = known.check.map_or_else(String::new, |check| format!("{check}: "));
        difference.starts_with(&format!("{}: {check}", known.scenario))
    };
    let (_, became) = difference.split_once(" became ")?;
    let fails = became.contains("\"FAILURE\"") || became.contains("\"WARNING\"");
    EXCEPTIONS.iter().find(names).filter(|_| !fails)
}

/// Runs the suite directly and over every chain, prints chain by scenario, and compares.
async fn compare(version: &str, floor: usize) -> Result {
    let fixture = Fixture::start(Options::named("one")).await?;
    let direct = Run::server(&fixture.mcp(), version).await?;
    assert!(direct.count("SUCCESS") >= floor, "only {} checks passed directly", direct.count("SUCCESS"));
    let mut runs = Vec::new();
    for between in Between::ALL {
        let chain = Chain::start(between, &fixture).await?;
        runs.push((between, chain.run(version).await?));
    }
    let mut table = comfy_table::Table::new();
    let names = runs.iter().map(|(between, _)| between.name());
    table.set_header(["scenario", "direct"].into_iter().chain(names));
    for scenario in direct.scenarios() {
        let cells = runs.iter().map(|(_, run)| cell(scenario, &direct, run));
        table.add_row([scenario.to_owned(), direct.cell(scenario)].into_iter().chain(cells));
    }
    println!("\nMCP conformance through two gateways, requirements of {version}\n{table}");
    let differences = runs.iter().flat_map(|(between, run)| {
        let lines = direct.differences(run).into_iter();
        lines.map(move |line| (between.name(), line))
    });
    let (known, wrong): (Vec<_>, Vec<_>) = differences.partition(|(_, line)| exception(line).is_some());
    for exception in &EXCEPTIONS {
        let of = |(_, line): &&(&str, String)| line.starts_with(&format!("{}: ", exception.scenario));
        let chains: BTreeSet<_> = known.iter().filter(of).map(|(chain, _)| *chain).collect();
        if direct.scenarios().contains(exception.scenario) {
            assert_eq!(chains.len(), runs.len(), "only {chains:?} cannot carry {}", exception.scenario);
            println!("not carried by {chains:?}: {}: {}", exception.scenario, exception.why);
        }
    }
    assert!(wrong.is_empty(), "through two gateways: {wrong:#?}");
    Ok(())
}

#[tokio::test]
async fn legacy_scenarios_pass_through_two_gateways() -> Result {
    compare("2025-11-25", 83).await
}

#[tokio::test]
async fn modern_scenarios_pass_through_two_gateways() -> Result {
    compare("2026-07-28", 197).await
}
