//! Gateways with programs behind them.

use holdfast_tests::{
    Result,
    gateway::{Config, Gateway},
    place,
};
use serde_json::Value;
use std::{path::PathBuf, time::Duration};

/// Time for what happens soon.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The program that does what a method's name says, well or badly.
pub(crate) fn scripted() -> PathBuf {
    place::root().join("crates/links/tests/it/server.py")
}

/// The configuration of a program that is scripted, with more keys in YAML.
pub(crate) fn server(name: &str, keys: &str) -> String {
    format!("    - {{name: {name}, era: dual, command: [python3, '{}']{keys}}}\n", scripted().display())
}

/// A configuration with these servers.
pub(crate) fn config(servers: &[String]) -> Config {
    let quick = Config::default().server(&["drain_delay: 0s", "max_drain: 10s"]);
    quick.root(&format!("mcp:\n  public_url: https://gateway.example\n  servers:\n{}", servers.concat()))
}

/// A gateway with one scripted program, at `/mcp/run`.
pub(crate) async fn site(keys: &str) -> Result<Gateway> {
    Gateway::start(&config(&[server("run", keys)])).await
}

/// What `/status` says of a server.
pub(crate) async fn told(gateway: &Gateway, name: &str) -> Result<Value> {
    let status = gateway.status().await?;
    let all = status["upstreams"].as_array().into_iter().flatten();
    let found = all.clone().find(|upstream| upstream["name"] == name);
    found.cloned().ok_or_else(|| format!("no {name} in {status}").into())
}

/// Whether a process runs: one that has ended and is not waited for does not.
pub(crate) fn lives(pid: &Value) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}
