//! What happens on the wire: other people's load generators, slow clients, floods and malformed requests, through the
//! whole gateway, while ordinary clients must not notice.

#![allow(clippy::print_stdout, reason = "prints the tables that people read")]

mod floods;
/// The same frames break the same rules in the tests of the accept side by itself.
#[path = "../../../crates/edge/tests/wire/frames.rs"]
mod frames;
mod h2load;
mod raw;
mod slow;
mod smuggling;

use holdfast_tests::{
    Result,
    crowd::{Crowd, Mix, Target},
    fixture::{Fixture, Options},
    gateway::{Config, Gateway},
    load,
};
use std::net::{IpAddr, Ipv4Addr};

/// Ordinary clients come from another address than the bad ones.
const NEIGHBOUR: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// A gateway before one replica: `/plain` and `/bytes` are plain routes, `/mcp/tools` is an MCP server.
struct Site {
    gateway: Gateway,
    _replica: Fixture,
}

impl Site {
    /// Starts both, with these lines in the block `server`.
    async fn start(server: &[&str]) -> Result<Self> {
        let replica = Fixture::start(Options::named("one")).await?;
        let config = Config::default().server(server).root(&format!(
            "\
mcp:
  servers:
    - {{name: tools, endpoints: ['{}']}}
apis:
  - {{name: plain, path_prefix: /plain, endpoints: ['http://{address}']}}
  - {{name: bytes, path_prefix: /bytes, endpoints: ['http://{address}']}}
",
            replica.mcp(),
            address = replica.address()
        ));
        Ok(Self { gateway: Gateway::start(&config).await?, _replica: replica })
    }

    /// Ordinary clients that go on until they are told to finish.
    async fn neighbours(&self) -> Result<Crowd> {
        let target = Target { source: Some(NEIGHBOUR), ..Target::gateway(self.gateway.address) };
        Crowd::start(&target, Mix { plain: 4, legacy: 2, modern: 2, ..Mix::default() }).await
    }
}

/// Ends the crowd, prints what it saw, and fails if anything failed.
async fn unharmed(title: &str, crowd: Crowd, site: &Site) -> Result {
    let tallies = crowd.finish().await?;
    load::print(title, &tallies.safe());
    load::total_of(&format!("wire, neighbours of {title}"), &tallies.safe());
    let failed = tallies.safe_failures();
    assert!(failed.is_empty(), "neighbours were harmed:\n{}\n{}", failed.join("\n"), site.gateway.log());
    for tally in tallies.safe() {
        assert!(tally.good() > 0, "no {} went through", tally.name());
    }
    Ok(())
}
