//! What drivers ask of a real Redis.

use super::{
    gateway::{Gateway, Options, replayable},
    storms::{calls, from, sessions},
    upstream::{Upstream, legacy, named},
    wait::until,
};
use holdfast_config::{Config, ProcessEnv, Role, Source};
use holdfast_store::{Limits, SessionId, Store};
use holdfast_telemetry::{Registry, metrics::JournalRead};
use holdfast_test_servers::{Options as ServerOptions, Proxy, Server};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// A look into the journal takes at least this long.
const SLOW: Duration = Duration::from_millis(20);
const SESSIONS: usize = 60;
const AT_ONCE: f64 = 2.0;

/// A store on the Redis behind `address`, connected.
async fn connected(address: &str, first: &Gateway) -> Store {
    let text = format!("redis: {{url: 'redis://{address}'}}");
    let loaded = holdfast_config::load(&[Source::Text { name: "t".into(), text }], &ProcessEnv, Role::Any);
    let Config { redis, sessions, .. } = loaded.expect("a configuration").config;
    let registry = Registry::new(&BTreeMap::new()).unwrap();
    let handle = tokio::runtime::Handle::current();
    let ring = Arc::clone(&first.ring);
    let store = Store::redis(&redis.unwrap(), ring, &registry, &handle, Limits::new(&sessions)).unwrap();
    let began = Instant::now();
    while store.journal().read(SessionId([0; 16]), Instant::now() + Duration::from_secs(1)).await.is_err() {
        assert!(began.elapsed() < super::wait::PATIENCE, "no Redis");
    }
    store
}

#[tokio::test]
async fn looks_into_the_shared_journal_are_a_few_at_a_time_and_no_session_needs_one() {
    let redis = Server::start(&ServerOptions::new()).unwrap();
    let proxy = Proxy::start(redis.port()).unwrap();
    let mut dead = Upstream::start(legacy("dead", named("dead"))).await;
    let other = Upstream::start(legacy("other", named("other"))).await;
    let first = replayable(&[&dead]);
    let all = sessions(&first, SESSIONS).await;
    let options = Options {
        server: "session: replayable",
        sessions: "max_journal_reads: 2",
        ring: Some(Arc::clone(&first.ring)),
        store: Some(connected(&proxy.address(), &first).await),
        ..Options::default()
    };
    let gateway = Gateway::new(&[&dead, &other], options);
    dead.kill().await;
    proxy.delay(SLOW);

    let began = Instant::now();
    let storm = async {
        let answers = calls(&gateway, &all, 1).await;
        (answers, began.elapsed())
    };
    let waiting = until("some wait", || gateway.metrics.journal_reads_waiting.get() > 0);
    let ((answers, took), ()) = tokio::join!(storm, waiting);
    assert_eq!(from(answers).await, BTreeSet::from(["other".to_owned()]), "every session goes on");
    assert_eq!(other.saw("initialize"), SESSIONS, "one each");

    let read = |result| gateway.metrics.journal_reads.get(result).get();
    let answered = read(JournalRead::Found) + read(JournalRead::Nothing);
    let most = AT_ONCE * (took.as_secs_f64() / SLOW.as_secs_f64()).ceil();
    assert!(answered > 0 && answered as f64 <= most, "{answered} looks were answered in {took:?}");
    let without = read(JournalRead::Full) + read(JournalRead::Failed);
    assert!(without > 0, "those whose turn did not come went on without: {answered} answered in {took:?}");
    assert_eq!(gateway.metrics.journal_reads_waiting.get(), 0);
}
