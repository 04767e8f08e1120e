//! The conformance suite against the fixture alone, and against the fixture behind the gateway: what passes directly
//! must pass through, check by check, with one endpoint and with two that do not know each other's state.

#![allow(clippy::print_stdout, reason = "prints the table that people read")]

mod chains;

use holdfast_tests::{
    Result,
    conformance::Run,
    fixture::{Fixture, Options},
    gateway::{Config, Gateway},
};

/// Routes `/mcp/conformance` to these replicas.
fn config(replicas: &[&Fixture]) -> Config {
    let endpoints: Vec<String> = replicas.iter().map(|replica| replica.mcp()).collect();
    Config::default().root(&format!(
        "mcp:\n  servers:\n    - name: conformance\n      endpoints: [{}]\n",
        endpoints.join(", ")
    ))
}

async fn through(replicas: &[&Fixture], version: &str) -> Result<Run> {
    let gateway = Gateway::start(&config(replicas)).await?;
    let run = Run::server(&gateway.url("/mcp/conformance"), version).await;
    run.map_err(|why| format!("{why}\nthe gateway's log:\n{}", gateway.log()).into())
}

/// Runs the suite three times and compares. `floor` is how many checks must pass directly.
async fn parity(version: &str, floor: usize) -> Result {
    let (one, two) = tokio::try_join!(
        Fixture::start(Options::named("one")), //
        Fixture::start(Options::named("two"))
    )?;
    let direct = Run::server(&one.mcp(), version).await?;
    assert!(direct.failures().is_empty(), "the fixture itself fails: {:#?}", direct.failures());
    assert!(direct.count("SUCCESS") >= floor, "only {} checks passed directly", direct.count("SUCCESS"));

    let single = through(&[&one], version).await?;
    let double = through(&[&one, &two], version).await?;
    print(version, &[("direct", &direct), ("one endpoint", &single), ("two endpoints", &double)]);
    for (name, run) in [("one endpoint", &single), ("two endpoints", &double)] {
        let differences = direct.differences(run);
        assert!(differences.is_empty(), "through the gateway with {name}:\n{}", differences.join("\n"));
    }
    Ok(())
}

fn print(version: &str, runs: &[(&str, &Run)]) {
    let mut table = comfy_table::Table::new();
    table.set_header(std::iter::once("scenario").chain(runs.iter().map(|(name, _)| *name)));
    for scenario in runs[0].1.scenarios() {
        table.add_row(
            std::iter::once(scenario.to_owned()).chain(runs.iter().map(|(_, run)| run.cell(scenario))),
        );
    }
    let total = |run: &Run| format!("{} passed, {} failed", run.count("SUCCESS"), run.count("FAILURE"));
    table.add_row(std::iter::once("all".to_owned()).chain(runs.iter().map(|(_, run)| total(run))));
    println!("\nMCP conformance, requirements of {version}\n{table}");
}

#[tokio::test]
async fn legacy_scenarios_pass_through_as_they_pass_directly() -> Result {
    parity("2025-11-25", 83).await
}

#[tokio::test]
async fn modern_scenarios_pass_through_as_they_pass_directly() -> Result {
    parity("2026-07-28", 197).await
}
