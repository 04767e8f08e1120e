//! The operations of the store on Redis: keys, scripts, seals. How commands reach a server is the link's business.

mod activity;
mod cache;
mod events;
mod feed;
mod journal;
mod keys;
mod outbox;
mod peers;
mod quota;
mod reply;
mod sealer;

pub use keys::reference_page;

use self::{keys::Names, outbox::Outbox, sealer::Sealer};
use super::{Command, Link};
use crate::{
    StoreError, StoreErrorKind, StoreView,
    seam::{Answer, Limits, Sink},
    sinks::Sinks,
};
use holdfast_seal::KeyRing;
use holdfast_telemetry::{StoreMetrics, StorePart, StoreResult};
use redis::Value;
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, sync::Notify, task::AbortHandle};

/// The store on Redis. Its follower of changes ends with it.
pub(crate) struct Data {
    core: Arc<Core>,
    follower: AbortHandle,
}

/// What operations and the follower share.
pub(crate) struct Core {
    link: Link,
    names: Names,
    sealer: Sealer,
    limits: Limits,
    metrics: Arc<StoreMetrics>,
    sinks: Sinks,
    outbox: Outbox,
    /// All that still matters has been heard.
    feed_complete: AtomicBool,
    /// Wakes the follower: there is something to tell, or somebody new who listens.
    wake: Notify,
}

impl Data {
    /// Starts to follow the changes. `prefix` begins every key.
    pub(crate) fn start(
        link: Link,
        prefix: &str,
        ring: Arc<KeyRing>,
        metrics: &Arc<StoreMetrics>,
        control: &Handle,
        limits: Limits,
    ) -> Self {
        let core = Arc::new(Core {
            link,
            names: Names::new(prefix),
            sealer: Sealer::new(ring, Arc::clone(metrics)),
            limits,
            metrics: Arc::clone(metrics),
            sinks: Sinks::default(),
            outbox: Outbox::new(limits.sessions),
            feed_complete: AtomicBool::new(false),
            wake: Notify::new(),
        });
        let follower = control.spawn(feed::follow(Arc::clone(&core))).abort_handle();
        Self { core, follower }
    }

    /// A look at the link.
    pub(crate) fn view(&self) -> StoreView {
        StoreView {
            link: Some(self.core.link.view()),
            feed_complete: self.core.feed_complete.load(Ordering::Relaxed),
            changes_pending: self.core.outbox.len(),
        }
    }

    pub(crate) fn rekey(&self, ring: Arc<KeyRing>) {
        self.core.sealer.rekey(ring);
    }

    pub(crate) fn subscribe(&self, sink: &Sink) -> u64 {
        let number = self.core.sinks.add(Arc::clone(sink));
        self.core.outbox.begin_again();
        self.core.wake.notify_one();
        number
    }

    pub(crate) fn unsubscribe(&self, number: u64) {
        self.core.sinks.remove(number);
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl Core {
    /// One command on the server of `key`.
    async fn run(&self, key: &[u8], command: Command, until: Instant) -> Result<Value, StoreError> {
        self.link.run(key, command, until).await
    }

    /// Counts how an operation ended.
    fn counted<'a, T: Send + 'a>(
        &'a self,
        part: StorePart,
        operation: impl Future<Output = Result<T, StoreError>> + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            let answer = operation.await;
            self.metrics.operations.get(part).inc(result(answer.as_ref().err()));
            answer
        })
    }
}

/// Label of how an operation ended.
fn result(error: Option<&StoreError>) -> StoreResult {
    match error.map(StoreError::kind) {
        None => StoreResult::Ok,
        Some(StoreErrorKind::Refused) => StoreResult::Refused,
        Some(StoreErrorKind::Timeout) => StoreResult::Timeout,
        Some(StoreErrorKind::Connection) => StoreResult::Connection,
        Some(StoreErrorKind::Denied) => StoreResult::Denied,
        Some(StoreErrorKind::ReadOnly) => StoreResult::ReadOnly,
        Some(StoreErrorKind::Full) => StoreResult::Full,
        Some(StoreErrorKind::Corrupt) => StoreResult::Corrupt,
        Some(StoreErrorKind::Protocol) => StoreResult::Protocol,
        Some(StoreErrorKind::TooLarge) => StoreResult::TooLarge,
    }
}

/// A span for a script: whole milliseconds, at least one, at most about thirty thousand years.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 50)
}
