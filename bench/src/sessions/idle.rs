//! Sessions that are opened and left alone: what they cost the gateway, and what they cost Redis.

use super::{
    figures::{Budget, Figures},
    gateways::{PATH, Setting},
};
use crate::{Error, process::Process};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// Connections over which they are opened.
const CONNECTIONS: usize = 64;
/// Opened before memory is looked at for the first time: buffers, pools and what the allocator keeps are there then.
const WARM_UP: u32 = 20_000;
/// A process whose memory did not change for this long is quiet; it gets [`PATIENCE`] for that.
const QUIET: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);
/// Memory is measured in pages and the allocator keeps some for itself: what is below this per session is noise of that.
const NOISE_BYTES: f64 = 8.0;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;

/// DESIGN, section 5.
const IDLE: Budget = Budget { most: NOISE_BYTES, words: "0 (below 8 is noise)" };

/// Opens `sessions` through each gateway.
pub(crate) fn measure(setting: &Setting, sessions: u32, figures: &mut Figures) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (name, gateway) in setting.gateways() {
        runtime.block_on(open(gateway, WARM_UP))?;
        let (before, stored) = (quiet_kib(gateway), redis_bytes(setting)?);
        let began = Instant::now();
        let cpu = gateway.cpu();
        runtime.block_on(open(gateway, sessions))?;
        let (took, cpu) = (began.elapsed(), gateway.cpu().saturating_sub(cpu));
        let after = quiet_kib(gateway);
        let each = |more: f64| more / f64::from(sessions);
        figures.add(format!("{name}: RSS before {sessions} idle sessions"), before as f64 / 1024.0, "MiB");
        figures.add(format!("{name}: RSS after"), after as f64 / 1024.0, "MiB");
        let bytes = each((after as f64 - before as f64) * 1024.0);
        figures.judge(format!("{name}: memory of an idle session"), bytes, "bytes", IDLE);
        figures.add(
            format!("{name}: Redis' memory of an idle session"),
            each(redis_bytes(setting)? - stored),
            "bytes",
        );
        figures.add(format!("{name}: CPU of opening one"), each(cpu.as_secs_f64() * 1e6), "us");
        figures.add(
            format!("{name}: sessions opened"),
            f64::from(sessions) / took.as_secs_f64(),
            "per second",
        );
    }
    Ok(())
}

/// Initialises `count` sessions; every one must be given an id.
async fn open(gateway: &Process, count: u32) -> Result<(), Error> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(CONNECTIONS).build(connector);
    let left = Cell::new(count);
    let worker = async || -> Result<(), Error> {
        while let Some(rest) = left.get().checked_sub(1) {
            left.set(rest);
            initialize(&client, gateway).await?;
        }
        Ok(())
    };
    futures_util::future::try_join_all((0..CONNECTIONS).map(|_| worker())).await?;
    Ok(())
}

async fn initialize(client: &Client<HttpConnector, Full<Bytes>>, gateway: &Process) -> Result<(), Error> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{}{PATH}", gateway.address))
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"))
        .body(Full::new(Bytes::from_static(INITIALIZE.as_bytes())))?;
    let response = client.request(request).await?;
    let (status, named) = (response.status(), response.headers().contains_key("mcp-session-id"));
    let body = response.into_body().collect().await?.to_bytes();
    if status != StatusCode::OK || !named {
        return Err(format!("no session: {status} {}", String::from_utf8_lossy(&body)).into());
    }
    Ok(())
}

/// Resident memory when it has stopped changing.
fn quiet_kib(process: &Process) -> u64 {
    let end = Instant::now() + PATIENCE;
    let (mut seen, mut since) = (process.resident_kib(), Instant::now());
    while since.elapsed() < QUIET && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
        let now = process.resident_kib();
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
    seen
}

fn redis_bytes(setting: &Setting) -> Result<f64, Error> {
    Ok(setting.redis.info("used_memory")?.parse()?)
}
