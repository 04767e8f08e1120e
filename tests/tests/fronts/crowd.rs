//! Many open streams of every kind, and a process that is told to end: each hears so in its own words, none is cut, and they do not all
//! come back at once.

use crate::raw::{INITIALIZE, STEP, Sse, Ws, send};
use bytes::Bytes;
use holdfast_tests::{
    Error, Result,
    fixture::{Fixture, Options},
    gateway::{Config, Gateway},
    load, soak, wait,
};
use holdfast_websocket::{Close, CloseCode, Message};
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming};
use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    signal::Signal,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};

/// Opened at once.
const AT_ONCE: usize = 32;
/// For all of them to be open.
const OPENING: Duration = Duration::from_mins(10);
/// Of the window in which conversations end. No part may hold more than half of them, and none may be empty but the last.
const PARTS: usize = 4;

const LISTEN: &str = r#"{"jsonrpc":"2.0","id":5,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Nothing said yet: nothing open at the server.
    WebSocket,
    /// With a session and its listening stream.
    WebSocketSession,
    Sse,
    SseSession,
    /// The listening stream of Streamable HTTP.
    Get,
    Listen,
}

enum Open {
    Socket(Box<Ws>),
    Stream(Sse),
}

impl Kind {
    fn is_conversation(self) -> bool {
        !matches!(self, Self::Get | Self::Listen)
    }

    async fn open(self, address: SocketAddr) -> Result<Open> {
        match self {
            Self::WebSocket | Self::WebSocketSession => {
                let mut ws = Ws::open(address, "/mcp/open", None).await?;
                if self == Self::WebSocketSession {
                    ws.initialize().await?;
                }
                Ok(Open::Socket(Box::new(ws)))
            }
            Self::Sse | Self::SseSession => {
                let mut sse = Sse::open(address, "/mcp/open/sse", None).await?;
                if self == Self::SseSession {
                    sse.initialize(address).await?;
                }
                Ok(Open::Stream(sse))
            }
            Self::Get => {
                let session = message(address, INITIALIZE, &[]).await?;
                let session =
                    session.headers().get("mcp-session-id").ok_or("no session")?.to_str()?.to_owned();
                let request = Request::get("/mcp/open")
                    .header("host", address.to_string())
                    .header("accept", "text/event-stream")
                    .header("mcp-protocol-version", "2025-11-25")
                    .header("mcp-session-id", session);
                Ok(Open::Stream(stream(send(address, request.body(Full::default())?).await?)?))
            }
            Self::Listen => {
                let modern = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "subscriptions/listen")];
                let mut sse = stream(message(address, LISTEN, &modern).await?)?;
                assert_eq!(sse.message().await?["method"], "notifications/subscriptions/acknowledged");
                Ok(Open::Stream(sse))
            }
        }
    }

    /// Waits for the end, and says what was wrong with it.
    async fn end(self, open: Open, limit: Duration) -> Result {
        match open {
            Open::Socket(mut ws) => {
                let code = loop {
                    match timeout(limit, ws.0.next()).await?? {
                        Message::Close(close) => break close.code().map(CloseCode::get),
                        Message::Ping(_) | Message::Pong(_) => {}
                        other => return Err(format!("{other:?}").into()),
                    }
                };
                // The closing handshake to its last byte.
                ws.0.close(Close::new(CloseCode::NORMAL, ""), STEP).await?;
                if code == Some(1012) { Ok(()) } else { Err(format!("closed with {code:?}").into()) }
            }
            Open::Stream(mut sse) => {
                let mut last = None;
                while let Some(event) = sse.next_within(limit).await? {
                    last = Some(event);
                }
                let (name, data) = last.ok_or("ended without a word")?;
                let polite = if self == Self::Listen {
                    let result: Value = serde_json::from_str(&data)?;
                    result["id"] == 5 && result["result"]["resultType"] == "complete"
                } else {
                    name == "retry" && (1_000..10_000).contains(&data.parse::<u64>()?)
                };
                if polite { Ok(()) } else { Err(format!("the last word was {name}: {data}").into()) }
            }
        }
    }
}

async fn message(address: SocketAddr, text: &str, headers: &[(&str, &str)]) -> Result<Response<Incoming>> {
    let mut request = Request::post("/mcp/open")
        .header("host", address.to_string())
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(address, request.body(Full::new(Bytes::copy_from_slice(text.as_bytes())))?).await
}

fn stream(response: Response<Incoming>) -> Result<Sse> {
    if response.status() == 200 {
        return Ok(Sse::reading(response.into_body()));
    }
    Err(format!("no stream: {}", response.status()).into())
}

/// As many open files as this user may have; the processes that the test starts inherit it.
fn raise_open_files() -> Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// A gateway for a crowd, which drains for so long.
fn config(server: &Fixture, max_drain: Duration) -> Config {
    let drain = format!("max_drain: {}s", max_drain.as_secs());
    let config = Config::default().server(&["drain_delay: 0s", &drain, "max_connections_per_ip: 100000"]);
    config.root(&format!(
        "connection_pool: {{max_size: 100000}}\nmcp:\n  servers:\n    \
         - {{name: open, max_requests: 100000, endpoints: {}}}\n",
        server.mcp()
    ))
}

/// When each stream ended, or how it broke.
type Ends = JoinSet<(Kind, std::result::Result<Instant, String>)>;

/// Opens all of `crowd` and leaves each to its own task, which answers pings and waits for the end.
async fn open_all(address: SocketAddr, crowd: &[(Kind, usize)], limit: Duration) -> Result<Ends> {
    let (opened, mut news) = mpsc::unbounded_channel();
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut ends = JoinSet::new();
    for (kind, count) in crowd.iter().copied() {
        for _ in 0..count {
            let (turns, opened) = (Arc::clone(&turns), opened.clone());
            ends.spawn(async move {
                let turn = turns.acquire_owned().await;
                let open = kind.open(address).await.map_err(|why| why.to_string());
                drop(turn);
                let _ = opened.send(open.as_ref().map(drop).map_err(Clone::clone));
                let ended = match open {
                    Ok(open) => kind.end(open, limit).await.map_err(|why| why.to_string()),
                    Err(why) => Err(why),
                };
                (kind, ended.map(|()| Instant::now()))
            });
        }
    }
    drop(opened);
    let all = async {
        for _ in 0..ends.len() {
            let opened = news.recv().await.ok_or("a task is gone")?;
            opened.map_err(|why| -> Error { format!("not opened: {why}").into() })?;
        }
        Ok(())
    };
    wait::within("opening", OPENING, all).await?;
    Ok(ends)
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_a_crowd_of_streams_ends_politely_and_not_all_at_once() -> Result {
    let (tenth, max_drain) =
        if soak() { (1_000, Duration::from_mins(1)) } else { (100, Duration::from_secs(12)) };
    let crowd = [
        (Kind::WebSocket, 2 * tenth),
        (Kind::WebSocketSession, 3 * tenth),
        (Kind::Sse, 2 * tenth),
        (Kind::SseSession, 3 * tenth),
        (Kind::Get, tenth / 2),
        (Kind::Listen, tenth / 2),
    ];
    let total: usize = crowd.iter().map(|(_, count)| count).sum();
    let (listening, subscribed) = (6 * tenth + tenth / 2, tenth / 2);
    let files = raise_open_files()?;
    assert!(
        files > (total + listening + subscribed + 500) as u64,
        "{total} streams need more open files than {files}"
    );
    let server = Fixture::start(Options::named("one")).await?;
    let mut gateway = Gateway::start(&config(&server, max_drain)).await?;
    let mut ends = open_all(gateway.address, &crowd, OPENING + 2 * max_drain).await?;
    let counted = async || {
        let metrics = gateway.metrics().await.ok()?;
        let open = |kind: &str| metrics.sum("holdfast_mcp_streams_open", &[kind]);
        let there = open("kind=\"get\"") > listening as f64 - 0.5
            && open("kind=\"listen\"") > subscribed as f64 - 0.5
            && metrics.sum("holdfast_conversations_open", &[]) > (10 * tenth) as f64 - 0.5;
        there.then_some(())
    };
    wait::until("all streams are counted", OPENING, counted).await?;
    let memory = gateway.memory()?;
    gateway.signal(Signal::SIGTERM)?;
    let began = Instant::now();
    let mut moments: BTreeMap<Kind, Vec<Duration>> = BTreeMap::new();
    let mut broken = Vec::new();
    while let Some(ended) = ends.join_next().await {
        match ended? {
            (kind, Ok(at)) if at >= began => moments.entry(kind).or_default().push(at - began),
            (kind, Ok(_)) => broken.push(format!("{kind:?}: before the drain")),
            (kind, Err(why)) => broken.push(format!("{kind:?}: {why}")),
        }
    }
    assert!(
        broken.is_empty(),
        "{} of {total} broke: {:#?}\n{}",
        broken.len(),
        &broken[..broken.len().min(10)],
        gateway.log()
    );
    let status = gateway.ended(max_drain).await?;
    assert!(status.success(), "a drained gateway ended with {status}:\n{}", gateway.log());
    let last = moments.values().flatten().max().copied().unwrap_or_default();
    assert!(last < max_drain, "the last one ended after {last:?}");
    load::total(&format!(
        "{total} open streams ended politely, 0 broken, the last after {last:?}; {} MiB with all of them open",
        memory >> 10
    ));
    for (kind, moments) in moments.iter().filter(|(kind, _)| kind.is_conversation()) {
        let parts = parts(moments, max_drain / 2);
        let half = moments.len() / 2;
        assert!(parts.iter().all(|part| *part <= half), "{kind:?} ended nearly all at once: {parts:?}");
        assert!(parts[..PARTS - 1].iter().all(|part| *part > 0), "{kind:?} did not end over time: {parts:?}");
    }
    Ok(())
}

/// How many ended in each part of the window; the last one holds those after it, too.
fn parts(moments: &[Duration], window: Duration) -> [usize; PARTS] {
    let mut parts = [0; PARTS];
    for moment in moments {
        let part = moment.as_secs_f64() / window.as_secs_f64() * PARTS as f64;
        parts[(part as usize).min(PARTS - 1)] += 1;
    }
    parts
}
