//! A crowd of clients that never retry: plain GETs, MCP lists in both eras, and calls that must not run twice.

use crate::{
    Error, Result,
    client::{Broken, Caller, Reply},
    fixture::Fixture,
    load::{Stop, Tally},
    mcp::{Client, Era, Failure},
    wait,
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::json;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Time the clients get to end the requests they are in.
const END: Duration = Duration::from_secs(90);

/// Where the crowd goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// The gateway, or what stands before it.
    pub address: SocketAddr,
    /// Path of an MCP server.
    pub mcp: String,
    /// Prefix of a plain route to the fixture's `/plain`.
    pub plain: String,
    /// Address that the clients come from; the system's choice if absent.
    pub source: Option<IpAddr>,
    /// Pause of a client between two requests.
    pub pause: Duration,
}

impl Target {
    /// A gateway with the MCP server `tools` and the route `/plain`, asked without a pause.
    pub fn gateway(address: SocketAddr) -> Self {
        let (mcp, plain) = ("/mcp/tools".to_owned(), "/plain".to_owned());
        Self { address, mcp, plain, source: None, pause: Duration::ZERO }
    }

    /// Configuration of a gateway that [`Target::gateway`] finds: both processes are behind both routes.
    pub fn routes([one, two]: [&Fixture; 2]) -> String {
        format!(
            "\
mcp:
  servers:
    - {{name: tools, session: replayable, endpoints: [{}, {}]}}
apis:
  - {{name: plain, path_prefix: /plain, endpoints: ['http://{}', 'http://{}']}}
",
            one.mcp(),
            two.mcp(),
            one.address(),
            two.address()
        )
    }

    /// The same, by clients that pause.
    #[must_use]
    pub fn at_leisure(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }
}

/// How many clients of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mix {
    /// Plain GETs.
    pub plain: usize,
    /// `tools/list` in a session.
    pub legacy: usize,
    /// `tools/list` without one.
    pub modern: usize,
    /// `tools/call` of `record`; half of them in a session.
    pub record: usize,
    /// How long `record` keeps each call in flight.
    pub record_ms: u64,
}

/// What the crowd counted.
#[derive(Debug)]
pub struct Tallies {
    /// Plain GETs.
    pub plain: Tally,
    /// Lists in sessions.
    pub legacy: Tally,
    /// Lists without sessions.
    pub modern: Tally,
    /// Calls of `record`; the id of a failure is its nonce.
    pub record: Tally,
}

impl Tallies {
    /// The requests that are safe to repeat.
    pub fn safe(&self) -> [&Tally; 3] {
        [&self.plain, &self.legacy, &self.modern]
    }

    /// All of them.
    pub fn all(&self) -> [&Tally; 4] {
        [&self.plain, &self.legacy, &self.modern, &self.record]
    }

    /// Safe requests with the right answer.
    pub fn safe_good(&self) -> u64 {
        self.safe().iter().map(|tally| tally.good()).sum()
    }

    /// Every failed safe request as a line.
    pub fn safe_failures(&self) -> Vec<String> {
        let of = |tally: &&Tally| {
            let name = tally.name();
            tally.failures().into_iter().map(move |failed| format!("{name} {}: {}", failed.id, failed.why))
        };
        self.safe().iter().flat_map(of).collect()
    }
}

/// A running crowd.
#[derive(Debug)]
pub struct Crowd {
    /// What it has counted so far.
    pub tallies: Arc<Tallies>,
    stop: Arc<Stop>,
    clients: JoinSet<Result>,
}

impl Crowd {
    /// Opens all sessions, then lets everybody run until [`Crowd::finish`].
    pub async fn start(target: &Target, mix: Mix) -> Result<Self> {
        let tallies = Arc::new(Tallies {
            plain: Tally::new("plain GET"),
            legacy: Tally::new("tools/list, session"),
            modern: Tally::new("tools/list, stateless"),
            record: Tally::new("tools/call record"),
        });
        let mut crowd = Self { tallies, stop: Arc::default(), clients: JoinSet::new() };
        for client in 0..mix.plain {
            crowd.plain(target, client);
        }
        for (era, count) in [(Era::Legacy, mix.legacy), (Era::Modern, mix.modern)] {
            for client in 0..count {
                crowd.lists(opened(target, era).await?, era, client, target.pause);
            }
        }
        for client in 0..mix.record {
            let era = if client % 2 == 0 { Era::Legacy } else { Era::Modern };
            crowd.records(opened(target, era).await?, client, mix.record_ms, target.pause);
        }
        Ok(crowd)
    }

    /// Waits until `count` safe requests were answered well.
    pub async fn safe_requests(&self, count: u64, limit: Duration) -> Result {
        let what = format!("{count} safe requests were answered");
        let enough = || std::future::ready((self.tallies.safe_good() >= count).then_some(()));
        wait::until(&what, limit, enough).await
    }

    /// Lets every client end the request it is in, and gives the counts.
    pub async fn finish(mut self) -> Result<Arc<Tallies>> {
        self.stop.set();
        wait::within("the crowd", END, async {
            while let Some(ended) = self.clients.join_next().await {
                ended??;
            }
            Ok(())
        })
        .await?;
        Ok(Arc::clone(&self.tallies))
    }

    fn plain(&mut self, target: &Target, client: usize) {
        let (tallies, stop, target) = (Arc::clone(&self.tallies), Arc::clone(&self.stop), target.clone());
        self.clients.spawn(async move {
            let mut caller = Caller::new(target.address).from(target.source);
            let host = target.address.to_string();
            let mut turn = 0_u64;
            while !stop.is_set() {
                turn += 1;
                let path = format!("{}/{client}/{turn}", target.plain);
                let request = Request::get(&path).header("host", &host).body(Full::<Bytes>::default())?;
                let began = Instant::now();
                let answer = caller.send(request).await;
                tallies.plain.count(began, || path.clone(), expect_echo(answer, &path));
                rest(target.pause).await;
            }
            Ok(())
        });
    }

    fn lists(&mut self, mut mcp: Client, era: Era, client: usize, pause: Duration) {
        let (tallies, stop) = (Arc::clone(&self.tallies), Arc::clone(&self.stop));
        self.clients.spawn(async move {
            let tally = if era == Era::Legacy { &tallies.legacy } else { &tallies.modern };
            let mut turn = 0_u64;
            while !stop.is_set() {
                turn += 1;
                let began = Instant::now();
                let answer = mcp.list_tools().await;
                let lost = lost_session(&answer);
                tally.count(began, || format!("{client}-{turn}"), answer);
                if lost {
                    // The loss is counted; go on as a client would.
                    mcp.open().await?;
                }
                rest(pause).await;
            }
            Ok(())
        });
    }

    fn records(&mut self, mut mcp: Client, client: usize, ms: u64, pause: Duration) {
        let (tallies, stop) = (Arc::clone(&self.tallies), Arc::clone(&self.stop));
        self.clients.spawn(async move {
            let mut turn = 0_u64;
            while !stop.is_set() {
                turn += 1;
                let nonce = format!("{client}-{turn}");
                let began = Instant::now();
                let answer = mcp.tool("record", json!({"nonce": nonce, "ms": ms})).await;
                let answer =
                    answer.and_then(|text| text.ends_with(&nonce).then_some(()).ok_or(Failure::Wrong(text)));
                let lost = lost_session(&answer);
                tallies.record.count(began, || nonce.clone(), answer);
                if lost {
                    mcp.open().await?;
                }
                rest(pause).await;
            }
            Ok(())
        });
    }
}

/// No pause costs nothing, not even a turn of the timer.
async fn rest(pause: Duration) {
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
}

async fn opened(target: &Target, era: Era) -> Result<Client> {
    let mut client = Client::new(target.address, &target.mcp, era).from(target.source);
    client.open().await.map_err(|why| -> Error { format!("cannot open an MCP client: {why}").into() })?;
    Ok(client)
}

/// 2025-11-25, transports: 404 means that the session is gone and the client must initialise anew.
fn lost_session<T>(answer: &std::result::Result<T, Failure>) -> bool {
    matches!(answer, Err(Failure::Status(404, _)))
}

/// The fixture repeats method and path, so that an answer to somebody else is noticed.
fn expect_echo(answer: std::result::Result<Reply, Broken>, path: &str) -> std::result::Result<(), String> {
    let reply = answer.map_err(|why| why.to_string())?;
    let body = String::from_utf8_lossy(&reply.body);
    if reply.status == 200 && body == format!("GET {path}\n") {
        return Ok(());
    }
    Err(format!("status {}: {body}", reply.status))
}
