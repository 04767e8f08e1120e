//! Three replicas behind a balancer that never retries, two MCP servers behind them, and clients of every kind that go on the whole time:
//! sessions with streams, stateless calls, plain HTTP.

use crate::{
    Result,
    crowd::{Crowd, Mix, Tallies, Target},
    fixture::{Fixture, Options},
    gateway::Config,
    load,
    mcp::{Client, Era},
    replicas::Replicas,
    sessions::{Counts, Plan, Sessions, Streams, Told},
    soak, wait,
};
use serde_json::Value;
use std::time::{Duration, Instant};

/// MCP servers die more often here than in the world: one that is back is used again at once.
const FORGIVING: &str = "\
routing:
  circuit_breaker: {timeout: 500ms}
  outlier_detection: {base_ejection_time: 500ms}
  health_check: {interval: 500ms}
";
/// Time until every replica does so.
const USED_AGAIN: Duration = Duration::from_mins(1);
/// Clients without a session, beside the sessions.
const MIX: Mix = Mix { plain: 4, legacy: 0, modern: 6, record: 0, record_ms: 0 };
/// Their pause between two requests.
const PAUSE: Duration = Duration::from_millis(20);
/// A stream tells this many numbers.
const COUNT_TO: u64 = 20;
/// Time the sessions get to end the streams they are in.
const END: Duration = Duration::from_mins(2);

/// The SIGKILL of an MCP server.
#[derive(Clone, Copy, Debug)]
struct Death {
    before: Instant,
    after: Instant,
}

impl Death {
    /// Whether what took place from `began` to `ended` was under way when the server died.
    fn met(&self, began: Instant, ended: Instant) -> bool {
        began <= self.after && ended >= self.before
    }
}

/// What the clients have counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Right answers.
    pub good: u64,
    /// Everything else.
    pub bad: u64,
}

/// The whole arrangement.
#[derive(Debug)]
pub struct Trio {
    /// The gateways and their balancer.
    pub replicas: Replicas,
    /// The MCP servers behind each gateway.
    pub servers: [Fixture; 2],
    sessions: Sessions,
    crowd: Crowd,
    deaths: Vec<Death>,
    dead: Option<String>,
}

impl Trio {
    /// How many sessions there are.
    pub fn sessions() -> usize {
        if soak() { 1000 } else { 120 }
    }

    /// Starts all. `configs` makes the configuration of each replica out of one with the routes, which listens on any port.
    pub async fn start(configs: impl Fn(usize, Config) -> Config) -> Result<Self> {
        let (one, two) =
            tokio::try_join!(Fixture::start(Options::named("one")), Fixture::start(Options::named("two")))?;
        let routes = Config::default().root(FORGIVING).root(&Target::routes([&one, &two]));
        let replicas = Replicas::start((0..3).map(|index| configs(index, routes.clone())).collect()).await?;
        let plan = Plan {
            address: replicas.address(),
            path: "/mcp/tools".to_owned(),
            sessions: Self::sessions(),
            stream_every: 4,
            count_to: COUNT_TO,
            count_ms: 100,
            pause: Duration::from_millis(if soak() { 1000 } else { 400 }),
        };
        let target = Target::gateway(replicas.address()).at_leisure(PAUSE);
        let (sessions, crowd) = tokio::try_join!(Sessions::start(&plan), Crowd::start(&target, MIX))?;
        Ok(Self { replicas, servers: [one, two], sessions, crowd, deaths: Vec::new(), dead: None })
    }

    /// Another client with a session of its own, opened through the balancer.
    pub async fn open(&self) -> Result<Client> {
        let mut client = Client::new(self.replicas.address(), "/mcp/tools", Era::Legacy);
        client.open().await?;
        Ok(client)
    }

    /// The counts up to now.
    pub fn sum(&self) -> Sum {
        sum(&self.sessions.counts, &self.crowd.tallies)
    }

    /// SIGKILL to an MCP server, once every replica uses both. It stays away until [`Trio::server_returns`].
    pub async fn server_dies(&mut self, name: &str) -> Result {
        for gateway in self.replicas.gateways() {
            let used = async || all_used(&gateway.status().await.ok()?).then_some(());
            wait::until("both MCP servers are in use", USED_AGAIN, used).await?;
        }
        let server = self.servers.iter_mut().find(|server| server.name() == name);
        let server = server.ok_or_else(|| format!("no MCP server is called {name}"))?;
        let before = Instant::now();
        server.kill()?;
        self.deaths.push(Death { before, after: Instant::now() });
        self.dead = Some(name.to_owned());
        Ok(())
    }

    /// The other one's name.
    pub fn server_beside(&self, name: &str) -> Option<&str> {
        self.servers.iter().map(Fixture::name).find(|other| *other != name)
    }

    /// When that happened last.
    pub fn last_death(&self) -> Option<Instant> {
        self.deaths.last().map(|death| death.before)
    }

    /// Starts the MCP server again that died; it remembers nothing.
    pub async fn server_returns(&mut self) -> Result {
        let dead = self.dead.take();
        for server in self.servers.iter_mut().filter(|server| dead.as_deref() == Some(server.name())) {
            server.restart().await?;
        }
        Ok(())
    }

    /// Lets all clients come to an end, prints what they counted under `title`, and fails if a session was lost, an event came twice or
    /// never, or a request failed that was not in flight at an MCP server which died.
    pub async fn finish(self, title: &str) -> Result {
        let Self { replicas, sessions, crowd, deaths, servers: _servers, dead: _ } = self;
        let (counts, tallies) = (sessions.finish(END).await?, crowd.finish().await?);
        load::print(title, &[&counts.lists, &counts.lost, &tallies.modern, &tallies.plain]);
        let met = |told: &Told| deaths.iter().any(|death| death.met(told.began, told.ended));
        let streams = Streams::judge(&counts, COUNT_TO, met);
        let story = story(&replicas).await?;
        println!("{streams}");
        let Sum { good, bad } = sum(&counts, &tallies);
        load::total(&format!("{title}: {good} requests good, {bad} failed; {streams}"));
        assert_eq!(
            counts.lost.bad(),
            0,
            "sessions were lost: {:?}\n{}",
            counts.lost.failures(),
            replicas.logs()
        );
        let failed = [&counts.lists, &tallies.modern, &tallies.plain].map(load::Tally::failures).concat();
        assert!(bad == 0, "{bad} requests failed: {failed:#?}\n{story}");
        let innocent = streams.innocent();
        assert!(innocent.is_empty(), "{innocent:#?}\n{story}");
        assert_eq!((streams.repeated, streams.missing), (0, 0), "events came twice or never");
        assert!(good > 0 && streams.whole > 0, "nothing happened");
        Ok(())
    }
}

/// What the replicas have counted and logged.
async fn story(replicas: &Replicas) -> Result<String> {
    let mut story = replicas.logs();
    for gateway in replicas.gateways() {
        let metrics = gateway.metrics().await?;
        for prefix in ["holdfast_upstream_", "holdfast_endpoint_", "holdfast_mcp_rebindings"] {
            story.extend(["\n", &metrics.nonzero(prefix)]);
        }
    }
    Ok(story)
}

/// Whether a gateway sends requests to all its endpoints.
fn all_used(status: &Value) -> bool {
    let upstreams = status["upstreams"].as_array().into_iter().flatten();
    let mut endpoints = upstreams.flat_map(|upstream| upstream["endpoints"].as_array().into_iter().flatten());
    endpoints.all(|endpoint| endpoint["breaker"] == "closed" && endpoint["health"] == "healthy")
}

fn sum(counts: &Counts, tallies: &Tallies) -> Sum {
    let all = [&counts.lists, &tallies.modern, &tallies.plain];
    Sum { good: all.iter().map(|tally| tally.good()).sum(), bad: all.iter().map(|tally| tally.bad()).sum() }
}
