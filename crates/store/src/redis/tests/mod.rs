//! The link against real servers and their faults.

mod answers;
mod cluster;
mod config;
mod faults;
mod sentinel;
mod single;
mod tls;

use super::{Command, Link, Script};
use crate::{BuildError, StoreError, StoreErrorKind};
use holdfast_config::{Redis, Role, Source};
use holdfast_telemetry::{Registry, StoreLinkMetrics};
use redis::Value;
use std::{
    collections::BTreeMap,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// Time that something which must happen gets.
const LONG: Duration = Duration::from_secs(20);
/// Time one operation of a test gets.
const OPERATION: Duration = Duration::from_secs(2);

/// A link, and the page on which its metrics stand.
struct World {
    link: Link,
    registry: Registry,
}

impl World {
    /// From the text of a `redis` block. Slow machines need more than the usual 50 ms.
    fn open(redis: &str) -> Self {
        Self::exact(&format!("{redis}, command_timeout: 1s, retry_delay: 20ms"))
    }

    fn exact(redis: &str) -> Self {
        Self::build(redis).unwrap()
    }

    fn build(redis: &str) -> Result<Self, BuildError> {
        let registry = Registry::new(&BTreeMap::new()).unwrap();
        let metrics = Arc::new(StoreLinkMetrics::new(&registry));
        let link = Link::open(&config(redis), metrics, &Handle::current())?;
        Ok(Self { link, registry })
    }

    async fn run(&self, key: &str, command: Command) -> Result<Value, StoreError> {
        self.link.run(key.as_bytes(), command, Instant::now() + OPERATION).await
    }

    async fn get(&self, key: &str) -> Result<Value, StoreError> {
        self.run(key, Command::new("GET").arg(key).repeatable()).await
    }

    async fn set(&self, key: &str, value: &str) -> Result<Value, StoreError> {
        self.run(key, Command::new("SET").arg(key).arg(value).repeatable()).await
    }

    /// The kind of the error that this is, or none.
    async fn set_kind(&self, key: &str) -> Option<StoreErrorKind> {
        self.set(key, "1").await.err().map(|error| error.kind())
    }

    /// Waits until writing to a key succeeds, and says how long that took.
    async fn writes(&self, key: &str) -> Duration {
        let began = Instant::now();
        until("a write succeeds", async || self.set(key, "1").await.ok()).await;
        began.elapsed()
    }

    /// The sum of the series whose line begins so.
    fn metric(&self, begins: &str) -> u64 {
        let page = self.registry.render();
        let values =
            page.lines().filter(|line| line.starts_with(begins)).filter_map(|line| line.rsplit(' ').next());
        values.map(|value| value.parse::<u64>().unwrap()).sum()
    }

    fn breaker(&self) -> &'static str {
        self.link.view().servers[0].breaker
    }
}

fn config(redis: &str) -> Redis {
    let text = format!("redis: {{{redis}}}");
    let sources = [Source::Text { name: "test".into(), text }];
    let loaded = holdfast_config::load(&sources, &BTreeMap::new(), Role::Any);
    loaded.map_err(|report| report.render(false)).unwrap().config.redis.unwrap()
}

/// Looks again and again until there is a value.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn bulk(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

static SET_AND_COUNT: Script =
    Script::new("redis.call('SET', KEYS[1], ARGV[1]) return redis.call('INCR', KEYS[2])");
