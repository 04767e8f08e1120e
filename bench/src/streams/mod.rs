//! Streams that are open and quiet: what each further one costs the gateway, over plaintext on both sides.
//!
//! Of one kind at a time, each with a gateway of its own. A stream that holds one of the server's is two files of the gateway; the
//! others are one, so there can be more of them.

mod http;
mod websocket;

use crate::{
    Error,
    figures::{Budget, Figures},
    peers,
    sessions::{Gateway, Server, open},
};
use hyper_util::client::legacy::connect::HttpConnector;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{
    any::Any,
    cell::{Cell, RefCell},
    io::Write as _,
    path::Path,
    time::Duration,
};

/// Opened and left before memory is looked at: buffers, pools and what the allocator keeps are there then.
const WARM_UP: u32 = 500;
/// Opened at once.
const AT_ONCE: usize = 64;
/// Open files of this process and of the gateway that are no streams.
const FILES: u64 = 500;
/// For a stream to open.
const STEP: Duration = Duration::from_secs(30);
/// For all streams to be counted.
const PATIENCE: Duration = Duration::from_mins(1);
/// Quiet means quiet: no ping and no comment while it is measured.
const QUIET: &str = "keep_alive: 1h, websocket: {ping_interval: 1h}, conversations: {max: 1000000}, ";

/// DESIGN, section 5.
const STREAM: Budget = Budget { most: 16.0, words: "<= 16 KiB" };

/// What is opened.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Plan {
    /// Streams of each kind, or as many as there may be open files
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1_000..=100_000))]
    streams: u32,
    /// Only kinds whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Machine-readable result
    #[arg(long)]
    json: bool,
}

/// What stays open for as long as it lives.
type Held = Box<dyn Any>;
type Client = hyper_util::client::legacy::Client<HttpConnector, http_body_util::Full<bytes::Bytes>>;

/// What a client does before it falls silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One request, answered. No stream: what the connection alone costs.
    Connection,
    HttpGet,
    HttpListen,
    Sse,
    SseSession,
    SseListen,
    WebSocket,
    WebSocketSession,
    WebSocketListen,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Connection,
        Self::HttpGet,
        Self::HttpListen,
        Self::Sse,
        Self::SseSession,
        Self::SseListen,
        Self::WebSocket,
        Self::WebSocketSession,
        Self::WebSocketListen,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Connection => "no stream: a connection after one request",
            Self::HttpGet => "Streamable HTTP: GET of a session",
            Self::HttpListen => "Streamable HTTP: subscriptions/listen",
            Self::Sse => "HTTP+SSE: after one modern request",
            Self::SseSession => "HTTP+SSE: session, the server's GET stream open",
            Self::SseListen => "HTTP+SSE: subscriptions/listen",
            Self::WebSocket => "WebSocket: after one modern request",
            Self::WebSocketSession => "WebSocket: session, the server's GET stream open",
            Self::WebSocketListen => "WebSocket: subscriptions/listen",
        }
    }

    /// The gauge that counts the streams that it holds of the server, if it does.
    fn held(self) -> Option<&'static str> {
        match self {
            Self::Connection | Self::Sse | Self::WebSocket => None,
            Self::HttpGet | Self::SseSession | Self::WebSocketSession => Some("kind=\"get\""),
            Self::HttpListen | Self::SseListen | Self::WebSocketListen => Some("kind=\"listen\""),
        }
    }

    async fn open(self, client: &Client, gateway: &Gateway) -> Result<Held, Error> {
        let address = gateway.process.address;
        match self {
            Self::Connection => http::ask_once(address).await,
            Self::HttpGet => {
                let session = open::initialize(client, gateway).await?;
                http::get(address, &session).await
            }
            Self::HttpListen => http::listen(address).await,
            Self::Sse | Self::SseSession | Self::SseListen => http::sse(client, address, self).await,
            Self::WebSocket | Self::WebSocketSession | Self::WebSocketListen => {
                websocket::open(address, self).await
            }
        }
    }
}

/// Measures and prints.
pub(crate) fn run(plan: &Plan) -> Result<(), Error> {
    let binary = peers::build_holdfast()?;
    let mut figures = Figures::default();
    for kind in Kind::ALL.into_iter().filter(|kind| kind.name().contains(&plan.only)) {
        measure(&binary, kind, plan.streams, &mut figures)?;
    }
    let mut out = std::io::stdout();
    if plan.json {
        writeln!(out, "{}", serde_json::json!({ "title": "streams", "figures": figures.objects() }))?;
    } else {
        writeln!(out, "Memory of the gateway for each further stream, beyond the first {WARM_UP}")?;
        writeln!(out, "{}", figures.table())?;
    }
    Ok(())
}

fn measure(binary: &Path, kind: Kind, asked: u32, figures: &mut Figures) -> Result<(), Error> {
    let count = allowed(kind, asked)?;
    let (server, folder) = (Server::start()?, tempfile::tempdir()?);
    let gateway = Gateway::start(binary, folder.path(), &server, QUIET, "")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let first = runtime.block_on(open_many(kind, &gateway, WARM_UP))?;
    // They stay open: what is measured is what each further one costs.
    counted(kind, &gateway, WARM_UP)?;
    let before = gateway.quiet_bytes();
    let further = runtime.block_on(open_many(kind, &gateway, count))?;
    counted(kind, &gateway, WARM_UP + count)?;
    let after = gateway.quiet_bytes();
    gateway.lost_none()?;
    drop((first, further));
    let each = (after - before) / f64::from(count) / 1024.0;
    let name = format!("{}, {} at once", kind.name(), WARM_UP + count);
    if kind == Kind::Connection {
        figures.add(name, each, "KiB");
    } else {
        figures.judge(name, each, "KiB", STREAM);
    }
    Ok(())
}

async fn open_many(kind: Kind, gateway: &Gateway, count: u32) -> Result<Vec<Held>, Error> {
    let (left, held) = (Cell::new(count), RefCell::new(Vec::new()));
    let client = open::client(AT_ONCE);
    let worker = async || -> Result<(), Error> {
        while let Some(rest) = left.get().checked_sub(1) {
            left.set(rest);
            let opened = tokio::time::timeout(STEP, kind.open(&client, gateway)).await;
            let opened = opened.map_err(|_| format!("{} did not open in time", kind.name()))?;
            held.borrow_mut().push(opened?);
        }
        Ok(())
    };
    futures_util::future::try_join_all((0..AT_ONCE).map(|_| worker())).await?;
    Ok(held.into_inner())
}

/// Waits until the gateway counts them.
fn counted(kind: Kind, gateway: &Gateway, count: u32) -> Result<(), Error> {
    if let Some(label) = kind.held() {
        gateway.wait("holdfast_mcp_streams_open", label, f64::from(count), PATIENCE)?;
    }
    Ok(())
}

/// Files of this process, which is the client and the server, and of the gateway, which inherits the limit.
fn allowed(kind: Kind, asked: u32) -> Result<u32, Error> {
    let each = if kind.held().is_some() { 2 } else { 1 };
    let files = each * u64::from(asked + WARM_UP) + FILES;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= files || setrlimit(Resource::RLIMIT_NOFILE, files, hard.max(files)).is_ok() {
        return Ok(asked);
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let most = (hard.saturating_sub(FILES) / each).saturating_sub(u64::from(WARM_UP));
    let most = asked.min(u32::try_from(most).unwrap_or(u32::MAX));
    writeln!(
        std::io::stderr(),
        "{asked} of \"{}\" need more open files than this user may have (ulimit -Hn): {most}",
        kind.name()
    )?;
    Ok(most)
}
