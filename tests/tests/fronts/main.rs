//! Clients that do not speak Streamable HTTP, through a real gateway to a real server: every SDK that has such a transport, and what
//! can go wrong with each.

mod clients;
mod comeback;
mod crowd;
mod faults;
mod params;
mod pins;
mod raw;
mod replicas;

use holdfast_tests::{
    Result,
    fixture::{Fixture, Options},
    gateway::{Config, Gateway},
};

/// The keys of the two callers of the guarded route.
const KEYS: [&str; 2] = ["a-key-for-tests-0123456789", "b-key-for-tests-0123456789"];

/// What a gateway before `endpoint` is told.
fn config(endpoint: &str, more: &str) -> Config {
    Config::default().server(&["drain_delay: 0s", "max_drain: 8s"]).root(&format!(
        "\
mcp:
  public_url: https://gateway.example
{more}  servers:
    - {{name: open, endpoints: {endpoint}}}
    - name: guarded
      endpoints: {endpoint}
      auth:
        type: api_key
        api_key: {{keys: [{{name: one, key: {}}}, {{name: two, key: {}}}]}}
",
        KEYS[0], KEYS[1]
    ))
}

/// A server behind an open route and a guarded one.
async fn site() -> Result<(Gateway, Fixture)> {
    site_with("").await
}

/// The same, with more keys of `mcp`, each line indented by two.
async fn site_with(more: &str) -> Result<(Gateway, Fixture)> {
    let server = Fixture::start(Options::named("one")).await?;
    let gateway = Gateway::start(&config(&server.mcp(), more)).await?;
    Ok((gateway, server))
}
