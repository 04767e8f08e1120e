//! When sessions were last used, as far as this replica knows, and what it tells the store of it.
//!
//! | where | what |
//! |---|---|
//! | here, bounded | sessions used lately ([`Table`]); noting a use is one short lock, and no round trip |
//! | in the store | last use, end and what is needed to end it, of all replicas or, without a shared one, of this |
//!
//! A session that is younger than `sessions.ttl`, or was used here within it, cannot be idle. Of any other the store is asked.

use crate::token::{SessionUid, refused_from};
use bytes::Bytes;
use futures_util::FutureExt as _;
use holdfast_config::Sessions;
use holdfast_seal::LEEWAY_SECONDS;
use holdfast_store::{
    LastUsed, SessionId, Store, Touch,
    activity::{Rhythm, Table},
};
use holdfast_telemetry::metrics::{ExpiryMetrics, LastUse};
use holdfast_upstream::clock;
use parking_lot::{Mutex, MutexGuard};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// Tables, so that workers seldom wait for each other, nor for the one who tells the store.
const SHARDS: usize = 16;
/// Longest wait for the store's word on a session.
const ASK_WAIT: Duration = Duration::from_millis(250);
/// Sessions that the store is asked about at once. Others wait in the order they came, within their time.
const ASKS_MAX: usize = 64;
/// A session that another replica used last is left to that one for so long.
const LEFT_TO_OTHERS: Duration = Duration::from_secs(5);

/// Last uses of sessions.
pub(crate) struct Uses {
    tables: Vec<Mutex<Table>>,
    rhythm: Rhythm,
    /// `sessions.absolute_ttl`.
    life: Duration,
    store: Store,
    asks: Semaphore,
    /// Other replicas are told of uses: one of theirs may be on its way.
    has_others: AtomicBool,
    /// Other regions may use the sessions, and this replica cannot hear of it: no idleness is certain.
    has_regions: AtomicBool,
    metrics: OnceLock<Arc<ExpiryMetrics>>,
}

impl Uses {
    /// For about `sessions.max_entries` sessions, each idle after `sessions.ttl`.
    pub(crate) fn new(sessions: &Sessions, store: &Store) -> Arc<Self> {
        let rhythm = if store.is_shared() { Rhythm::new } else { Rhythm::beside_memory }(sessions.ttl);
        let part = sessions.max_entries.div_ceil(SHARDS);
        Arc::new(Self {
            tables: (0..SHARDS).map(|_| Mutex::new(Table::new(rhythm, part, clock::now()))).collect(),
            rhythm,
            life: sessions.absolute_ttl,
            store: store.clone(),
            asks: Semaphore::new(ASKS_MAX),
            has_others: AtomicBool::new(store.is_shared()),
            has_regions: AtomicBool::new(false),
            metrics: OnceLock::new(),
        })
    }

    /// Counts from now on. The first metrics stay.
    pub(crate) fn count(&self, metrics: &Arc<ExpiryMetrics>) {
        let _ = self.metrics.set(Arc::clone(metrics));
    }

    /// There is a channel to other replicas, which are told of uses.
    pub(crate) fn join(&self) {
        self.has_others.store(true, Ordering::Relaxed);
    }

    /// Other regions, which share only the key ring, may use the sessions.
    pub(crate) fn span_regions(&self) {
        self.has_regions.store(true, Ordering::Relaxed);
    }

    /// Whether a session may be in use where nobody tells this replica of it.
    pub(crate) fn may_be_used_elsewhere(&self) -> bool {
        self.has_regions.load(Ordering::Relaxed)
    }

    /// Where uses are kept.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Pause between two looks: at what is to be told, and at what is due.
    pub(crate) fn beat(&self) -> Duration {
        self.rhythm.quiet
    }

    /// When a session whose token expires at `expires` is over, both in seconds since 1970. Where clocks of several replicas have a say it is
    /// over when no clock opens its token any more: by one that is ahead it would end while others still serve it.
    pub(crate) fn over_at(&self, expires: u64) -> u64 {
        let is_alone = !self.has_others.load(Ordering::Relaxed) && !self.may_be_used_elsewhere();
        if is_alone { expires } else { refused_from(expires) }
    }

    /// Longest life of a session, in seconds.
    pub(crate) fn life(&self) -> u64 {
        self.life.as_secs()
    }

    /// How much later than it is due a session ends: a use at another replica is told when that session has become quiet there,
    /// at its next beat.
    fn grace(&self) -> Duration {
        if self.has_others.load(Ordering::Relaxed) { 2 * self.rhythm.quiet } else { Duration::ZERO }
    }

    /// A session is used from now until the answer is dropped. `left` until its absolute end; `ending` is called if the store
    /// does not have it.
    pub(crate) fn begin(
        self: &Arc<Self>,
        session: SessionUid,
        left: Duration,
        ending: impl FnOnce() -> Option<Bytes>,
    ) -> Use {
        let (id, now) = (SessionId(session.0), clock::now());
        let noted = self.table(id).begin(id, clock::after(now, left), ending, now);
        if !noted && let Some(metrics) = self.metrics.get() {
            metrics.unnoted.inc();
        }
        Use { uses: Arc::clone(self), session: id, noted }
    }

    /// Whether only the store can say that a session is alive. `age` since its token was made, perhaps by a replica whose clock
    /// is behind: such a session may be new, and its use on its way to the store.
    pub(crate) fn must_ask(&self, session: SessionUid, age: Duration) -> bool {
        let id = SessionId(session.0);
        !self.may_be_used_elsewhere()
            && age >= self.rhythm.ttl + Duration::from_secs(LEEWAY_SECONDS)
            && !self.table(id).knows(id, clock::now())
    }

    /// Whether a session is idle, by the word of the store, at `until` at the latest. No word is no evidence.
    pub(crate) async fn is_idle(&self, session: SessionUid, until: Instant) -> bool {
        let until = until.min(clock::after(clock::now(), ASK_WAIT));
        let asking = async {
            // Never closed, so an error cannot come; it would ask out of turn.
            let _turn = self.asks.acquire().await;
            self.store.activity().last_used(SessionId(session.0), until).await.ok()
        };
        let answer = clock::timeout_at(until, asking).await.ok().flatten();
        let said = judge(answer, self.rhythm.ttl + self.grace(), self.store.is_shared());
        if let Some(metrics) = self.metrics.get() {
            metrics.last_uses.inc(said);
        }
        said == LastUse::Idle
    }

    /// What is to be told now, at most `limit`.
    pub(crate) fn flush(&self, limit: usize) -> Vec<Touch> {
        self.gather(limit, |table, part| table.flush(part, clock::now()))
    }

    /// What this replica owes before it leaves, at most `limit`.
    pub(crate) fn last(&self, limit: usize) -> Vec<Touch> {
        self.gather(limit, |table, part| table.last(part, clock::now()))
    }

    fn gather(&self, limit: usize, take: impl Fn(&mut Table, usize) -> Vec<Touch>) -> Vec<Touch> {
        // Little at a time from each, so that no lock is held for long.
        let part = (limit / SHARDS).max(1);
        let mut touches: Vec<Touch> =
            self.tables.iter().flat_map(|table| take(&mut table.lock(), part)).collect();
        let grace = self.grace();
        for touch in &mut touches {
            touch.due += grace;
        }
        touches
    }

    /// What was to be told did not arrive.
    pub(crate) fn failed(&self, touches: Vec<Touch>) {
        for touch in touches {
            self.table(touch.session).failed(vec![touch], clock::now());
        }
    }

    /// The shared store may have lost what was told.
    pub(crate) fn interrupted(&self) {
        for table in &self.tables {
            table.lock().interrupted(clock::now());
        }
    }

    /// The store gave a session out as due. If it is in use here it goes on, and the store is told anew.
    pub(crate) fn keep(&self, session: SessionUid, ending: Option<&Bytes>) -> bool {
        let id = SessionId(session.0);
        self.table(id).keep(id, ending, clock::now())
    }

    /// A session ended: this replica has nothing to tell of it any more.
    pub(crate) fn ended(&self, session: SessionUid) {
        let id = SessionId(session.0);
        self.table(id).ended(id);
        if !self.store.is_shared() {
            // In memory: there at once.
            let _ = self.store.activity().end(id, clock::now()).now_or_never();
        }
    }

    /// Another replica used a session: it ends later here too, and that one comes first. Only replicas without a shared store tell
    /// each other.
    pub(crate) fn heard(&self, session: SessionUid, idle: Duration, due: Duration) {
        // Its clock may differ, and it adds its grace.
        let most = self.life + Duration::from_secs(2 * LEEWAY_SECONDS);
        if self.store.is_shared() || idle > most || due > most {
            return;
        }
        let (id, now, activity) = (SessionId(session.0), clock::now(), self.store.activity());
        // Of one that this replica does not know it could not end anything.
        if let Some(Ok(LastUsed::Ago(_))) = activity.last_used(id, now).now_or_never() {
            let touch = Touch { session: id, idle, due: due.saturating_add(LEFT_TO_OTHERS), ending: None };
            let _ = activity.touch(&[touch], now).now_or_never();
        }
    }

    /// Sessions known here.
    pub(crate) fn len(&self) -> usize {
        self.tables.iter().map(|table| table.lock().len()).sum()
    }

    fn table(&self, session: SessionId) -> MutexGuard<'_, Table> {
        // The ids are random.
        self.tables[usize::from(session.0[0]) % SHARDS].lock()
    }
}

/// What the store's word means for a session. Without a shared store, absence says nothing: another replica that has only the key ring
/// in common with this one may have used the session, or this process may be younger than the session.
fn judge(answer: Option<LastUsed>, idle_after: Duration, is_shared: bool) -> LastUse {
    match answer {
        None => LastUse::Unanswered,
        Some(LastUsed::Ago(ago)) if ago >= idle_after => LastUse::Idle,
        Some(LastUsed::Ago(_)) => LastUse::Used,
        Some(LastUsed::Idle) if is_shared => LastUse::Idle,
        Some(LastUsed::Idle | LastUsed::Unknown) => LastUse::Unknown,
    }
}

/// A session in use. A request has one, and so has the stream that it leaves open.
#[must_use]
pub(crate) struct Use {
    uses: Arc<Uses>,
    session: SessionId,
    noted: bool,
}

impl Drop for Use {
    fn drop(&mut self) {
        if self.noted {
            self.uses.table(self.session).finish(self.session, clock::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_hours(1);

    #[test]
    fn only_the_word_of_a_store_that_knows_all_makes_a_session_idle() {
        let said = |answer, shared| judge(answer, TTL, shared);
        for shared in [false, true] {
            assert_eq!(said(None, shared), LastUse::Unanswered);
            assert_eq!(said(Some(LastUsed::Unknown), shared), LastUse::Unknown);
            assert_eq!(
                said(Some(LastUsed::Ago(TTL.saturating_sub(Duration::from_millis(1)))), shared),
                LastUse::Used
            );
            assert_eq!(said(Some(LastUsed::Ago(TTL)), shared), LastUse::Idle);
        }
        assert_eq!(said(Some(LastUsed::Idle), true), LastUse::Idle);
        assert_eq!(said(Some(LastUsed::Idle), false), LastUse::Unknown);
    }
}
