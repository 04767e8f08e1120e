//! Replicas of the gateway: they die under load, and tell each other of sessions.

#![allow(clippy::print_stdout, reason = "prints the tables that people read")]

mod ends;
mod kills;

use holdfast_tests::{fixture::Fixture, gateway::Config};
use std::time::Duration;

/// Time the sessions get to end the streams they are in.
const END: Duration = Duration::from_mins(2);

fn config(servers: &[&Fixture], extra: &str) -> Config {
    let endpoints: Vec<String> = servers.iter().map(|server| server.mcp()).collect();
    Config::default().root(&format!(
        "mcp:\n  servers:\n    - {{name: tools, session: replayable, endpoints: [{}]}}\n{extra}",
        endpoints.join(", ")
    ))
}
