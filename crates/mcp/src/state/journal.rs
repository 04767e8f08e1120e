//! Sessions that live on another endpoint than their token says.

use crate::ids::Epoch;
use crate::token::{BindingRecord, SessionUid};
use holdfast_upstream::EndpointKey;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Entries looked at when room is needed: bounds the work of one re-binding.
const EVICTION_LOOKS: usize = 64;

/// Where a session's requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// The endpoint; `None` when the server gave no session id, so that any endpoint will do.
    pub(crate) endpoint: Option<EndpointKey>,
    /// The endpoint's own session id.
    pub(crate) upstream_session: Option<Arc<str>>,
    /// Grows with each re-binding; 0 is what the token says.
    pub(crate) epoch: Epoch,
}

/// Re-bindings of this replica. An entry that is lost costs one more re-initialisation, nothing else.
pub(crate) struct Journal {
    max: usize,
    idle: Duration,
    /// Kept beside the map, so that the usual case of an empty journal costs no lock.
    count: AtomicUsize,
    entries: Mutex<HashMap<SessionUid, Entry>>,
    flights: Mutex<HashMap<SessionUid, Arc<tokio::sync::Mutex<()>>>>,
}

struct Entry {
    known: Known,
    used: Instant,
}

/// What this replica knows of a session that has moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It lives there.
    To(Binding),
    /// Another replica has bound it anew, under this epoch: there, or where the shared journal says.
    Elsewhere(Epoch, Option<BindingRecord>),
}

impl Known {
    fn epoch(&self) -> Epoch {
        match self {
            Self::To(binding) => binding.epoch,
            Self::Elsewhere(epoch, _) => *epoch,
        }
    }
}

/// The right to re-bind one session; others of the same session wait for it.
pub(crate) struct Flight<'a> {
    journal: &'a Journal,
    session: SessionUid,
    _guard: tokio::sync::OwnedMutexGuard<()>,
}

impl Journal {
    /// An empty journal of at most `max` sessions, each forgotten when unused for `idle`.
    pub(crate) fn new(max: usize, idle: Duration) -> Self {
        Self { max, idle, count: AtomicUsize::new(0), entries: Mutex::default(), flights: Mutex::default() }
    }

    /// What is known of `session`, if its binding is not the token's.
    pub(crate) fn get(&self, session: SessionUid, now: Instant) -> Option<Known> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut entries = self.entries.lock();
        let entry = entries.get_mut(&session)?;
        if now.saturating_duration_since(entry.used) >= self.idle {
            entries.remove(&session);
            self.count.store(entries.len(), Ordering::Release);
            return None;
        }
        entry.used = now;
        Some(entry.known.clone())
    }

    /// Records a re-binding. An older epoch never replaces a newer one.
    pub(crate) fn put(&self, session: SessionUid, binding: Binding, now: Instant) {
        self.keep(session, Known::To(binding), now);
    }

    /// Another replica has bound `session` anew under `epoch`, and may have said where.
    pub(crate) fn elsewhere(
        &self,
        session: SessionUid,
        epoch: Epoch,
        place: Option<BindingRecord>,
        now: Instant,
    ) {
        self.keep(session, Known::Elsewhere(epoch, place), now);
    }

    fn keep(&self, session: SessionUid, known: Known, now: Instant) {
        let mut entries = self.entries.lock();
        let newer = |entry: &Entry| match known {
            Known::To(_) => entry.known.epoch() > known.epoch(),
            // What is known already needs no look at the shared journal.
            Known::Elsewhere(..) => entry.known.epoch() >= known.epoch(),
        };
        if entries.get(&session).is_some_and(newer) {
            return;
        }
        if entries.len() >= self.max && !entries.contains_key(&session) {
            let oldest = entries.iter().take(EVICTION_LOOKS).min_by_key(|(_, entry)| entry.used);
            if let Some(oldest) = oldest.map(|(session, _)| *session) {
                entries.remove(&oldest);
            }
        }
        entries.insert(session, Entry { known, used: now });
        self.count.store(entries.len(), Ordering::Release);
    }

    /// Forgets a session that ended.
    pub(crate) fn forget(&self, session: SessionUid) {
        let mut entries = self.entries.lock();
        entries.remove(&session);
        self.count.store(entries.len(), Ordering::Release);
    }

    /// Sessions in the journal.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Waits for the right to re-bind `session`. Whoever gets it looks at the journal again first. Cancel safe.
    pub(crate) async fn fly(&self, session: SessionUid) -> Flight<'_> {
        let lock = Arc::clone(self.flights.lock().entry(session).or_default());
        let guard = lock.lock_owned().await;
        Flight { journal: self, session, _guard: guard }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut flights = self.journal.flights.lock();
        // The map's, ours and nobody else's: the last one out takes the lock away.
        if flights.get(&self.session).is_some_and(|lock| Arc::strong_count(lock) <= 2) {
            flights.remove(&self.session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future as _;

    fn binding(epoch: u32) -> Binding {
        Binding { endpoint: None, upstream_session: None, epoch: Epoch(epoch) }
    }

    #[test]
    fn a_late_binding_never_replaces_a_newer_one() {
        let journal = Journal::new(8, Duration::from_mins(1));
        let now = Instant::now();
        journal.put(SessionUid([1; 16]), binding(2), now);
        journal.put(SessionUid([1; 16]), binding(1), now);
        assert_eq!(journal.get(SessionUid([1; 16]), now), Some(Known::To(binding(2))));
    }

    #[test]
    fn news_of_another_replica_replaces_only_what_is_older() {
        let (journal, now, session) =
            (Journal::new(8, Duration::from_mins(1)), Instant::now(), SessionUid([1; 16]));
        journal.put(session, binding(2), now);
        journal.elsewhere(session, Epoch(2), None, now);
        assert_eq!(journal.get(session, now), Some(Known::To(binding(2))), "it was this replica's own news");
        journal.elsewhere(session, Epoch(3), None, now);
        assert_eq!(journal.get(session, now), Some(Known::Elsewhere(Epoch(3), None)));
        journal.put(session, binding(3), now);
        assert_eq!(journal.get(session, now), Some(Known::To(binding(3))), "read from the shared journal");
    }

    #[test]
    fn unused_entries_are_forgotten_and_a_full_journal_drops_the_longest_unused() {
        let journal = Journal::new(2, Duration::from_mins(1));
        let start = Instant::now();
        journal.put(SessionUid([1; 16]), binding(1), start);
        journal.put(SessionUid([2; 16]), binding(1), start + Duration::from_secs(1));
        journal.put(SessionUid([3; 16]), binding(1), start + Duration::from_secs(2));
        assert_eq!(journal.len(), 2);
        assert!(journal.get(SessionUid([1; 16]), start + Duration::from_secs(2)).is_none());
        assert!(journal.get(SessionUid([2; 16]), start + Duration::from_mins(2)).is_none(), "idle");
    }

    #[tokio::test]
    async fn one_flight_per_session_and_no_trace_afterwards() {
        let journal = Journal::new(8, Duration::from_mins(1));
        let first = journal.fly(SessionUid([1; 16])).await;
        let mut second = std::pin::pin!(journal.fly(SessionUid([1; 16])));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        drop(journal.fly(SessionUid([2; 16])).await);
        drop(first);
        drop(second.await);
        assert!(journal.flights.lock().is_empty());
    }
}
