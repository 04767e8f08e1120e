//! Journal and event log against a real Redis, through the store the gateway uses.

use super::figures::{Budget, Figures};
use crate::{
    Error,
    rounds::{Options, median},
};
use bytes::Bytes;
use hdrhistogram::Histogram;
use holdfast_config::{ProcessEnv, Role, Source};
use holdfast_store::{
    Append, Appended, Entry, Epoch, Limits, Opened, Owner, ReplicaId, Sequence, SessionId, Store, Stream,
};
use holdfast_telemetry::Registry;
use holdfast_test_servers::{Options as ServerOptions, Server, Value};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

/// Operations under way at once.
const AT_ONCE: u64 = 64;
/// Sessions that take turns: enough that none is in anybody's cache.
const SESSIONS: u64 = 20_000;
/// A binding as the gateway writes it: endpoint, the server's own session id.
const VALUE: &[u8] = &[b'b'; 60];
/// A progress notification.
const EVENT: &[u8] = &[b'e'; 160];
const TTL: Duration = Duration::from_hours(1);
/// Nothing takes so long; what does is an error.
const LONG: Duration = Duration::from_secs(5);

/// What the budget allows an event for being logged before it is sent.
const APPEND: Budget = Budget { most: 20_000.0, words: "<= 20 ms" };
const ENTRY: Budget = Budget { most: 1024.0, words: "<= 1 KiB" };

/// How operations went.
struct Seen {
    per_second: f64,
    times: Histogram<u64>,
}

/// Rates and round trips, medians over the rounds.
pub(crate) fn measure(options: &Options, figures: &mut Figures) -> Result<(), Error> {
    let server = Server::start(&ServerOptions::new())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let text = format!("redis: {{url: '{}'}}\nsessions: {{ephemeral_key: true}}", server.url());
    let source = Source::Text { name: "bench".into(), text };
    let config =
        holdfast_config::load(&[source], &ProcessEnv, Role::Any).map_err(|why| why.to_string())?.config;
    let redis = config.redis.ok_or("no Redis in the configuration")?;
    let ring = Arc::new(holdfast_mcp::seal::KeyRing::ephemeral()?);
    let limits = Limits::new(&config.sessions);
    let store = Store::redis(&redis, ring, &Registry::new(&BTreeMap::new())?, runtime.handle(), limits)?;
    runtime.block_on(connected(&store))?;
    let time = Duration::from_secs(options.seconds());
    let (mut swaps, mut reads, mut appends) = (Vec::new(), Vec::new(), Vec::new());
    let mut alone = Vec::new();
    for round in 0..u64::from(options.rounds()) {
        let epoch = Epoch(round + 1);
        swaps.push(runtime.block_on(crowd(time, async |n| swap(&store, n, epoch).await))?);
        reads.push(runtime.block_on(crowd(time, async |n| read(&store, n).await))?);
        appends.push(runtime.block_on(logs(&store, time, AT_ONCE))?);
        alone.push(runtime.block_on(logs(&store, time, 1))?);
    }
    rate(figures, "journal: swap", &swaps);
    rate(figures, "journal: read", &reads);
    rate(figures, "event log: append", &appends);
    let of = |seen: &[Seen], at| median(seen.iter().map(|seen| seen.times.value_at_quantile(at) as f64));
    figures.judge("event log: append of 64 streams at once, p50", of(&appends, 0.5), "us", APPEND);
    figures.judge("event log: append of 64 streams at once, p99", of(&appends, 0.99), "us", APPEND);
    figures.judge("event log: append round trip, p50", of(&alone, 0.5), "us", APPEND);
    figures.judge("event log: append round trip, p99", of(&alone, 0.99), "us", APPEND);
    let entry = entry_bytes(&server, &redis.key_prefix)?;
    figures.judge(
        "journal: an entry in Redis, its key and the server's own overhead included",
        entry,
        "bytes",
        ENTRY,
    );
    Ok(())
}

fn rate(figures: &mut Figures, name: &str, seen: &[Seen]) {
    let value = median(seen.iter().map(|seen| seen.per_second));
    figures.add(format!("{name}, 64 at once"), value, "per second");
}

async fn connected(store: &Store) -> Result<(), Error> {
    let end = Instant::now() + LONG;
    while let Err(why) = store.journal().read(SessionId([0; 16]), Instant::now() + LONG).await {
        if Instant::now() > end {
            return Err(why.into());
        }
    }
    Ok(())
}

/// [`AT_ONCE`] workers, each with one operation at a time, for `time`.
async fn crowd(time: Duration, operation: impl AsyncFn(u64) -> Result<(), Error>) -> Result<Seen, Error> {
    let times = RefCell::new(Histogram::new(3)?);
    let next = RefCell::new(0_u64);
    let began = Instant::now();
    let end = began + time;
    let worker = async || -> Result<(), Error> {
        while Instant::now() < end {
            let number = next.replace_with(|next| *next + 1);
            let before = Instant::now();
            operation(number).await?;
            times.borrow_mut().saturating_record(before.elapsed().as_micros() as u64);
        }
        Ok(())
    };
    futures_util::future::try_join_all((0..AT_ONCE).map(|_| worker())).await?;
    let times = times.into_inner();
    Ok(Seen { per_second: times.len() as f64 / began.elapsed().as_secs_f64(), times })
}

async fn swap(store: &Store, number: u64, epoch: Epoch) -> Result<(), Error> {
    // Higher each time the same session comes round.
    let epoch = Epoch(epoch.0 * 1_000_000 + number / SESSIONS);
    let entry = Entry { epoch, value: Bytes::from_static(VALUE) };
    store.journal().swap(session(number), entry, TTL, Instant::now() + LONG).await?;
    Ok(())
}

async fn read(store: &Store, number: u64) -> Result<(), Error> {
    store.journal().read(session(number), Instant::now() + LONG).await?;
    Ok(())
}

fn session(number: u64) -> SessionId {
    SessionId(u128::from(number % SESSIONS).to_be_bytes())
}

/// `streams` of one owner, each appending one event after the other.
async fn logs(store: &Store, time: Duration, streams: u64) -> Result<Seen, Error> {
    let times = Rc::new(RefCell::new(Histogram::new(3)?));
    let began = Instant::now();
    let end = began + time;
    let stream = async |number: u64| -> Result<(), Error> {
        let owner = Owner::first(ReplicaId::random());
        let stream = Stream { session: session(number), number: fastrand::u64(..) };
        let opened = store.events().open(stream, owner, Bytes::new(), TTL, Instant::now() + LONG).await?;
        if opened != Opened::Yours {
            return Err("a new stream belongs to somebody".into());
        }
        let mut follows = None;
        for sequence in (1..).map(Sequence) {
            if Instant::now() >= end {
                break;
            }
            let append = Append { stream, owner, sequence, follows, event: Bytes::from_static(EVENT) };
            let before = Instant::now();
            let appended = store.events().append(append, before + LONG).await?;
            times.borrow_mut().saturating_record(before.elapsed().as_micros() as u64);
            if appended != Appended::Done {
                return Err(format!("an append ended as {appended:?}").into());
            }
            follows = Some(sequence);
        }
        store.events().remove(stream, Instant::now() + LONG).await?;
        Ok(())
    };
    futures_util::future::try_join_all((0..streams).map(stream)).await?;
    let times = times.borrow().clone();
    Ok(Seen { per_second: times.len() as f64 / began.elapsed().as_secs_f64(), times })
}

/// What Redis says that one entry of the journal takes.
fn entry_bytes(server: &Server, prefix: &str) -> Result<f64, Error> {
    let key = format!("{prefix}:journal:{{{:032x}}}", 0);
    match server.command(&["MEMORY", "USAGE", &key])? {
        Value::Int(bytes) => Ok(bytes as f64),
        other => Err(format!("MEMORY USAGE {key}: {other:?}").into()),
    }
}
