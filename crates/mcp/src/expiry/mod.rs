//! The task that tells the store of uses of sessions, and ends those whose time is over.
//!
//! | each beat | limit |
//! |---|---|
//! | uses that are due to be told go to the store in batches | [`BATCH`], [`BATCHES_MAX`] |
//! | sessions whose end is due are claimed; whoever gets one ends it | [`ENDINGS_MAX`] at once |
//!
//! One task for a process, beside its workers. What it could not tell stays with the sessions; what it has claimed and not ended when the
//! process dies, the server's own expiry ends.

#[cfg(test)]
mod tests;

use crate::{
    legacy::{Reach, expire},
    state::{McpState, Note, USES_MAX, Used, Uses},
    token::SessionUid,
};
use futures_util::future::{BoxFuture, FutureExt as _};
use holdfast_store::{Due, Touch};
use holdfast_telemetry::metrics::{ExpiryMetrics, SessionEnd, Touched};
use holdfast_upstream::clock;
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::{JoinError, JoinHandle, JoinSet},
    time::{Interval, MissedTickBehavior},
};

/// Uses told with one operation.
const BATCH: usize = 512;
/// Batches of one beat. The rest waits for the next.
const BATCHES_MAX: usize = 64;
/// Longest time for one batch, or for one look at what is due.
const STORE_WAIT: Duration = Duration::from_secs(1);
/// Sessions being ended at once.
const ENDINGS_MAX: usize = 64;

/// Runs until it is finished or dropped.
#[must_use]
pub struct Expiry {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Expiry {
    /// Begins, on `control`. `reach` finds the way to a server of the snapshot that serves now. One per state.
    pub fn start(
        control: &Handle,
        state: &Arc<McpState>,
        metrics: ExpiryMetrics,
        reach: impl Fn(&str) -> Option<Reach> + Send + Sync + 'static,
    ) -> Self {
        let metrics = Arc::new(metrics);
        state.uses.count(&metrics);
        let world = Replica { state: Arc::downgrade(state), reach: Arc::new(reach) };
        let (stop, stopped) = watch::channel(false);
        let driver = Driver { uses: Arc::clone(&state.uses), metrics, world };
        Self { stop, task: control.spawn(driver.run(stopped)) }
    }

    /// Ends it: nothing is claimed any more, the endings under way go on, and what is owed is told, for `limit` at the longest. Call it
    /// when nothing uses a session here any more.
    pub async fn finish(mut self, limit: Duration) {
        self.stop.send_replace(true);
        if tokio::time::timeout(limit, &mut self.task).await.is_err() {
            tracing::warn!("some sessions' last uses were not told, or their servers not told of their end");
        }
    }
}

impl Drop for Expiry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What lies beyond the store.
trait World: Send + Sync + 'static {
    /// The store has been told of these.
    fn told(&self, touches: &[Touch]);

    /// Ends a session. Bounded in time.
    fn end(&self, due: Due) -> BoxFuture<'static, SessionEnd>;
}

struct Replica<F> {
    state: Weak<McpState>,
    reach: Arc<F>,
}

impl<F: Fn(&str) -> Option<Reach> + Send + Sync + 'static> World for Replica<F> {
    fn told(&self, touches: &[Touch]) {
        let Some(state) = self.state.upgrade() else { return };
        if state.store().is_some() {
            // Where the others look.
            return;
        }
        for part in touches.chunks(USES_MAX) {
            let used = |touch: &Touch| Used {
                session: SessionUid(touch.session.0),
                idle: touch.idle,
                due: touch.due,
            };
            state.tell_peers(&Note::Used(part.iter().map(used).collect()));
        }
    }

    fn end(&self, due: Due) -> BoxFuture<'static, SessionEnd> {
        let (state, reach) = (Weak::clone(&self.state), Arc::clone(&self.reach));
        async move {
            match state.upgrade() {
                Some(state) => expire(&state, due, &*reach).await,
                None => SessionEnd::Gone,
            }
        }
        .boxed()
    }
}

struct Driver<W> {
    uses: Arc<Uses>,
    metrics: Arc<ExpiryMetrics>,
    world: W,
}

impl<W: World> Driver<W> {
    async fn run(self, stop: watch::Receiver<bool>) {
        tokio::join!(self.telling(stop.clone()), self.ending(stop));
        while self.tell(self.uses.last(BATCH)).await == Some(true) {}
    }

    async fn telling(&self, mut stop: watch::Receiver<bool>) {
        let mut beat = beat(self.uses.beat());
        while next(&mut beat, &mut stop).await {
            for _ in 0..BATCHES_MAX {
                if self.tell(self.uses.flush(BATCH)).await != Some(true) {
                    break;
                }
            }
            self.metrics.known.set(i64::try_from(self.uses.len()).unwrap_or(i64::MAX));
        }
    }

    /// Tells the store. Whether it heard it; none if there was nothing to tell.
    async fn tell(&self, touches: Vec<Touch>) -> Option<bool> {
        if touches.is_empty() {
            return None;
        }
        let until = clock::after(clock::now(), STORE_WAIT);
        let count = touches.len() as u64;
        match self.uses.store().activity().touch(&touches, until).await {
            Ok(()) => {
                self.metrics.touches.get(Touched::Ok).inc_by(count);
                self.world.told(&touches);
                Some(true)
            }
            Err(error) => {
                tracing::debug!(%error, "uses of sessions were not stored");
                self.metrics.touches.get(Touched::Failed).inc_by(count);
                self.uses.failed(touches);
                Some(false)
            }
        }
    }

    async fn ending(&self, mut stop: watch::Receiver<bool>) {
        let mut beat = beat(self.uses.beat());
        let mut endings = JoinSet::new();
        'beats: while next(&mut beat, &mut stop).await {
            // Until nothing is due any more.
            while self.claim(&mut endings).await {
                while endings.len() > ENDINGS_MAX / 2 {
                    tokio::select! {
                        _ = stop.wait_for(|stopped| *stopped) => break 'beats,
                        Some(ended) = endings.join_next() => self.count(&ended),
                    }
                }
            }
            while let Some(ended) = endings.try_join_next() {
                self.count(&ended);
            }
        }
        while let Some(ended) = endings.join_next().await {
            self.count(&ended);
        }
    }

    /// Takes sessions whose end is due, as many as there is room for. `false` if there was none.
    async fn claim(&self, endings: &mut JoinSet<SessionEnd>) -> bool {
        let until = clock::after(clock::now(), STORE_WAIT);
        let room = ENDINGS_MAX.saturating_sub(endings.len());
        match self.uses.store().activity().due(room, until).await {
            Ok(claimed) => {
                let any = !claimed.is_empty();
                for due in claimed {
                    endings.spawn(self.world.end(due));
                }
                any
            }
            Err(error) => {
                tracing::debug!(%error, "what is due was not read");
                false
            }
        }
    }

    fn count(&self, ended: &Result<SessionEnd, JoinError>) {
        if let Ok(end) = ended {
            self.metrics.ends.inc(*end);
        }
    }
}

fn beat(every: Duration) -> Interval {
    let mut beat = tokio::time::interval(every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

/// Waits for the next beat. `false` if there is none, because it is over.
async fn next(beat: &mut Interval, stop: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        // An error says that nobody is left who could say so.
        _ = stop.wait_for(|stopped| *stopped) => false,
        _ = beat.tick() => true,
    }
}
