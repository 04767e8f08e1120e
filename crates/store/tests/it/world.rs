//! A store under test, seen from two replicas.

use bytes::Bytes;
use holdfast_config::{Redis, RedisMode, RedisSentinel};
use holdfast_seal::KeyRing;
use holdfast_store::{Epoch, Limits, ReplicaId, Sequence, SessionId, Store, Stream};
use holdfast_telemetry::Registry;
use holdfast_test_servers::{Cluster, SENTINEL_NAME, Sentinel, Server};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// Longest wait for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Life of a session that nobody uses, short enough to be waited for.
pub(crate) const SESSION_TTL: Duration = Duration::from_millis(1500);

/// Two replicas' views of one store.
pub(crate) struct World {
    pub(crate) a: Store,
    pub(crate) b: Store,
    pub(crate) limits: Limits,
}

impl World {
    pub(crate) fn memory() -> Self {
        let limits = limits();
        let store = Store::memory(limits);
        Self { a: store.clone(), b: store, limits }
    }

    pub(crate) fn single(server: &Server) -> Self {
        Self::of(&redis(vec![server.address()], RedisMode::Single))
    }

    pub(crate) fn sentinel(sentinel: &Sentinel) -> Self {
        Self::of(&behind(sentinel))
    }

    pub(crate) fn cluster(cluster: &Cluster) -> Self {
        Self::of(&redis(cluster.addresses(), RedisMode::Cluster))
    }

    fn of(config: &Redis) -> Self {
        Self { a: open(config, ring(&["one"])), b: open(config, ring(&["one"])), limits: limits() }
    }
}

/// One replica's store, and what it counts.
pub(crate) struct Watched {
    pub(crate) store: Store,
    registry: Registry,
}

impl Watched {
    pub(crate) fn open(config: &Redis, ring: Arc<KeyRing>) -> Self {
        Self::with_limits(config, ring, limits())
    }

    pub(crate) fn with_limits(config: &Redis, ring: Arc<KeyRing>, limits: Limits) -> Self {
        let registry = Registry::new(&BTreeMap::new()).unwrap();
        let store = Store::redis(config, ring, &registry, &Handle::current(), limits).unwrap();
        Self { store, registry }
    }

    /// A series of the metrics page, by its name and labels.
    pub(crate) fn counter(&self, series: &str) -> u64 {
        let page = self.registry.render();
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(series)?.trim_start_matches("{}").strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series}")).parse().unwrap()
    }
}

/// The configuration of a master behind sentinels.
pub(crate) fn behind(sentinel: &Sentinel) -> Redis {
    let master = SENTINEL_NAME.to_owned();
    let addresses = sentinel.addresses();
    let sentinel = RedisSentinel { addresses, master, username: None, password: None, tls: false };
    Redis { sentinel: Some(sentinel), ..redis(Vec::new(), RedisMode::Sentinel) }
}

/// A replica's store.
pub(crate) fn open(config: &Redis, ring: Arc<KeyRing>) -> Store {
    Watched::open(config, ring).store
}

/// A ring of keys made from their ids.
pub(crate) fn ring(ids: &[&str]) -> Arc<KeyRing> {
    Arc::new(KeyRing::new(ids.iter().map(|id| (*id, [id.as_bytes()[0]; 32]))).unwrap())
}

pub(crate) fn redis(addresses: Vec<String>, mode: RedisMode) -> Redis {
    Redis {
        mode,
        addresses,
        sentinel: None,
        username: None,
        password: None,
        database: 0,
        tls: None,
        allow_plaintext: false,
        pool_size: 10,
        max_retries: 3,
        retry_delay: Duration::from_millis(100),
        connect_timeout: Duration::from_secs(1),
        command_timeout: Duration::from_millis(500),
        key_prefix: "holdfast".to_owned(),
    }
}

/// Small ones, so that they are reached.
pub(crate) fn limits() -> Limits {
    Limits {
        sessions: 20_000,
        session_life: Duration::from_hours(1),
        session_ttl: SESSION_TTL,
        streams: 1000,
        stream_events: 8,
        stream_bytes: 1000,
        stream_bytes_total: 1 << 20,
        cache_value_bytes: 4096,
        cache_entries: 100,
        cache_bytes: 1 << 20,
        quotas: 100,
        peers: 8,
    }
}

pub(crate) fn until() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

pub(crate) fn session() -> SessionId {
    SessionId(fastrand::u128(..).to_be_bytes())
}

pub(crate) fn stream() -> Stream {
    Stream { session: session(), number: fastrand::u64(..) }
}

pub(crate) fn replica() -> ReplicaId {
    ReplicaId::random()
}

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn sequences(numbers: impl IntoIterator<Item = u64>) -> Vec<Sequence> {
    numbers.into_iter().map(Sequence).collect()
}

pub(crate) fn epoch(number: u64) -> Epoch {
    Epoch(number)
}

/// Asks again and again until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
