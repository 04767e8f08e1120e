//! Journal and event log against a real Redis, through the store the gateway uses.

use crate::figures::{Budget, Figures};
use crate::{
    Error,
    rounds::{Options, median},
};
use bytes::Bytes;
use hdrhistogram::Histogram;
use holdfast_config::{ProcessEnv, Role, Source};
use holdfast_store::{
    Append, Appended, Entry, Epoch, Limits, Owner, ReplicaId, Sequence, SessionId, Store, Stream,
};
use holdfast_telemetry::Registry;
use holdfast_test_servers::{Options as ServerOptions, Server, Value};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
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

/// The longest time that is told from a longer one, in microseconds.
const MICROS_MAX: u64 = 10_000_000;
const _: () = assert!(LONG.as_micros() <= MICROS_MAX as u128);

/// What the budget allows an event for being logged before it is sent.
const APPEND: Budget = Budget { most: 20_000.0, words: "<= 20 ms" };
const ENTRY: Budget = Budget { most: 1024.0, words: "<= 1 KiB" };

/// After an operation that failed: on a machine that is busy with something else the breaker before the server may open.
const PAUSE: Duration = Duration::from_millis(10);

/// How operations went.
struct Seen {
    per_second: f64,
    times: Histogram<u64>,
    failed: u64,
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
    let failed: u64 = [&swaps, &reads, &appends, &alone].into_iter().flatten().map(|seen| seen.failed).sum();
    figures.add("journal and event log: operations that failed", failed as f64, "in all rounds");
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
    let times = RefCell::new(Histogram::new_with_bounds(1, MICROS_MAX, 3)?);
    let (next, failed) = (Cell::new(0_u64), Cell::new(0));
    let began = Instant::now();
    let end = began + time;
    let worker = async || -> Result<(), Error> {
        while Instant::now() < end {
            let number = next.replace(next.get() + 1);
            let before = Instant::now();
            if operation(number).await.is_ok() {
                times.borrow_mut().saturating_record(before.elapsed().as_micros() as u64);
            } else {
                failed.set(failed.get() + 1);
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    };
    futures_util::future::try_join_all((0..AT_ONCE).map(|_| worker())).await?;
    let times = times.into_inner();
    let per_second = times.len() as f64 / began.elapsed().as_secs_f64();
    Ok(Seen { per_second, times, failed: failed.get() })
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
    let times = RefCell::new(Histogram::new_with_bounds(1, MICROS_MAX, 3)?);
    let failed = Cell::new(0);
    let began = Instant::now();
    let end = began + time;
    let stream = async |number: u64| -> Result<(), Error> {
        let owner = Owner::first(ReplicaId::random());
        let stream = Stream { session: session(number), number: fastrand::u64(..) };
        while store.events().open(stream, owner, Bytes::new(), TTL, Instant::now() + LONG).await.is_err() {
            tokio::time::sleep(PAUSE).await;
            if Instant::now() > end {
                return Err("no stream can be opened".into());
            }
        }
        let (mut follows, mut sequence) = (None, Sequence(1));
        while Instant::now() < end {
            let append = Append { stream, owner, sequence, follows, event: Bytes::from_static(EVENT) };
            let before = Instant::now();
            // One that failed is sent again: the log takes it once.
            match store.events().append(append, before + LONG).await {
                Ok(Appended::Done) => {
                    times.borrow_mut().saturating_record(before.elapsed().as_micros() as u64);
                    (follows, sequence) = (Some(sequence), Sequence(sequence.0 + 1));
                }
                Ok(appended) => return Err(format!("an append ended as {appended:?}").into()),
                Err(_) => {
                    failed.set(failed.get() + 1);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        // What is left goes with the server.
        let _ = store.events().remove(stream, Instant::now() + LONG).await;
        Ok(())
    };
    futures_util::future::try_join_all((0..streams).map(stream)).await?;
    let times = times.into_inner();
    let per_second = times.len() as f64 / began.elapsed().as_secs_f64();
    Ok(Seen { per_second, times, failed: failed.get() })
}

/// What Redis says that one entry of the journal takes.
fn entry_bytes(server: &Server, prefix: &str) -> Result<f64, Error> {
    let key = format!("{prefix}:journal:{{{:032x}}}", 0);
    match server.command(&["MEMORY", "USAGE", &key])? {
        Value::Int(bytes) => Ok(bytes as f64),
        other => Err(format!("MEMORY USAGE {key}: {other:?}").into()),
    }
}
