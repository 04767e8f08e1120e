//! Callers that call again and again, and what they see.

use super::{Client, Era, Row, http, site::Site, sse, stdio::Program, websocket};
use crate::{Error, load::Seen, transports::Sample};
use hdrhistogram::Histogram;
use serde_json::json;
use std::time::{Duration, Instant};

/// For one step of a client.
pub(super) const STEP: Duration = Duration::from_secs(10);
/// Latencies are told apart to three digits, up to a minute.
const LONGEST_US: u64 = 60_000_000;

pub(super) const INITIALIZE: &str = crate::sessions::open::INITIALIZE;
pub(super) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// A call of the tool.
pub(super) fn call(id: usize, era: Era) -> String {
    let mut message = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": { "name": "add", "arguments": { "a": 2, "b": 40 } } });
    if era == Era::Modern {
        message["params"]["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {} });
    }
    message.to_string()
}

/// Whether a message is the good answer to a call.
pub(super) fn is_answer(text: &[u8]) -> bool {
    text.windows(ANSWER.len()).any(|window| window == ANSWER)
}

const ANSWER: &[u8] = b"\"isError\":false";

/// A client with a connection of its own and one call at a time.
pub(super) enum Caller {
    Http(http::Caller),
    Sse(sse::Caller),
    WebSocket(Box<websocket::Caller>),
}

impl Caller {
    pub(super) async fn open(site: &Site, row: &Row) -> Result<Self, Error> {
        let (address, path, era) = (site.address(), row.server.path(), row.era);
        Ok(match row.client {
            Client::Sse => Self::Sse(sse::Caller::open(address, path, era).await?),
            Client::WebSocket => {
                Self::WebSocket(Box::new(websocket::Caller::open(address, path, era).await?))
            }
            Client::Http | Client::Stdio => Self::Http(http::Caller::open(address, path, era).await?),
        })
    }

    /// Whether the answer was a good one.
    async fn call(&mut self) -> Result<bool, Error> {
        match self {
            Self::Http(caller) => caller.call().await,
            Self::Sse(caller) => caller.call().await,
            Self::WebSocket(caller) => caller.call().await,
        }
    }

    async fn call_until(&mut self, end: Instant) -> Result<Tally, Error> {
        let mut tally = Tally::new()?;
        while Instant::now() < end {
            let began = Instant::now();
            let good = tokio::time::timeout(STEP, self.call()).await.map_err(|_| "no answer in time")??;
            tally.add(began.elapsed(), good);
        }
        Ok(tally)
    }
}

/// Latencies of calls, and how many were no good.
pub(super) struct Tally {
    times: Histogram<u64>,
    bad: u64,
}

impl Tally {
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self { times: Histogram::new_with_max(LONGEST_US, 3)?, bad: 0 })
    }

    pub(super) fn add(&mut self, took: Duration, good: bool) {
        self.times.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST_US));
        self.bad += u64::from(!good);
    }

    fn join(&mut self, other: &Self) -> Result<(), Error> {
        self.times.add(&other.times)?;
        self.bad += other.bad;
        Ok(())
    }

    fn seen(&self, took: Duration) -> Seen {
        Seen {
            requests: self.times.len(),
            per_second: self.times.len() as f64 / took.as_secs_f64(),
            p50_us: self.times.value_at_quantile(0.5) as f64,
            p99_us: self.times.value_at_quantile(0.99) as f64,
            errors: self.bad,
        }
    }
}

/// Everything that calls at once in one measurement.
pub(super) enum Runner {
    Callers(Vec<Caller>),
    Program(Box<Program>),
}

impl Runner {
    /// Calls for `wanted`, and looks at the gateway's CPU time meanwhile.
    pub(super) async fn measure(mut self, site: &Site, wanted: Duration) -> Result<Sample, Error> {
        let cpu = |runner: &Self| match runner {
            Self::Callers(_) => site.cpu(),
            Self::Program(program) => program.cpu(),
        };
        let (before, began) = (cpu(&self), Instant::now());
        let tally = match &mut self {
            Self::Callers(callers) => {
                let end = began + wanted;
                let calling = callers.iter_mut().map(|caller| caller.call_until(end));
                let mut all = Tally::new()?;
                for tally in futures_util::future::try_join_all(calling).await? {
                    all.join(&tally)?;
                }
                all
            }
            Self::Program(program) => program.call_for(wanted).await?,
        };
        let (took, spent) = (began.elapsed(), cpu(&self).saturating_sub(before));
        if let Self::Program(program) = self {
            program.end().await?;
        }
        let seen = tally.seen(took);
        Ok(Sample { cpu_us: spent.as_secs_f64() * 1e6 / seen.requests.max(1) as f64, seen })
    }
}
