//! What this replica still has to tell the others. Pure.

use crate::memory::Expiring;
use crate::seam::{Epoch, SessionId};
use parking_lot::Mutex;
use std::{
    collections::{HashSet, VecDeque},
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

/// Re-bindings that wait to be told. One that finds no room is not told: others learn it where the session's old endpoint answers 404.
const MOVED_MAX: usize = 10_000;

/// Own revocations, each until its token expires, and re-bindings that have not been told yet.
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    begin_again: AtomicBool,
}

struct Inner {
    revoked: Expiring<SessionId, u64>,
    /// Revoked sessions that the store does not have, as far as is known.
    untold: HashSet<SessionId>,
    moved: VecDeque<(SessionId, Epoch)>,
}

impl Outbox {
    /// For at most `sessions` own revocations.
    pub(crate) fn new(sessions: usize) -> Self {
        let inner =
            Inner { revoked: Expiring::new(sessions), untold: HashSet::new(), moved: VecDeque::new() };
        Self { inner: Mutex::new(inner), begin_again: AtomicBool::new(false) }
    }

    /// Keeps an own revocation until it does not matter any more. `false` if there is no room.
    pub(crate) fn revoked(&self, session: SessionId, expires: u64, until: Instant, now: Instant) -> bool {
        let mut inner = self.inner.lock();
        let kept = inner.revoked.insert(session, expires, until, now).is_ok();
        if kept {
            inner.untold.insert(session);
        }
        kept
    }

    /// Keeps a re-binding until it has been told. `false` if there is no room.
    pub(crate) fn moved(&self, session: SessionId, epoch: Epoch) -> bool {
        let mut inner = self.inner.lock();
        let room = inner.moved.len() < MOVED_MAX;
        if room {
            inner.moved.push_back((session, epoch));
        }
        room
    }

    /// Revocations that have not been told, at most `limit`.
    pub(crate) fn untold(&self, limit: usize, now: Instant) -> Vec<(SessionId, u64)> {
        let mut inner = self.inner.lock();
        inner.revoked.sweep(now);
        let Inner { revoked, untold, .. } = &mut *inner;
        untold.retain(|session| revoked.get(*session, now).is_some());
        let expires = |session: &SessionId| revoked.get(*session, now).map(|expires| (*session, *expires));
        untold.iter().filter_map(expires).take(limit).collect()
    }

    /// The store has these.
    pub(crate) fn told(&self, sessions: impl IntoIterator<Item = SessionId>) {
        let mut inner = self.inner.lock();
        for session in sessions {
            inner.untold.remove(&session);
        }
    }

    /// Takes re-bindings out, at most `limit`.
    pub(crate) fn take_moved(&self, limit: usize) -> Vec<(SessionId, Epoch)> {
        let mut inner = self.inner.lock();
        let count = inner.moved.len().min(limit);
        inner.moved.drain(..count).collect()
    }

    /// Puts re-bindings back that could not be told.
    pub(crate) fn put_back(&self, moved: Vec<(SessionId, Epoch)>) {
        let mut inner = self.inner.lock();
        for one in moved.into_iter().rev() {
            if inner.moved.len() < MOVED_MAX {
                inner.moved.push_front(one);
            }
        }
    }

    /// The store may have lost anything: own revocations that it does not tell us again are repeated.
    pub(crate) fn doubt_all(&self) {
        let mut inner = self.inner.lock();
        let all: Vec<_> = inner.revoked.iter(Instant::now()).map(|(session, _)| session).collect();
        inner.untold.extend(all);
    }

    /// Changes that wait to be told.
    pub(crate) fn len(&self) -> usize {
        let inner = self.inner.lock();
        inner.untold.len() + inner.moved.len()
    }

    /// Somebody new listens: everything is read once more.
    pub(crate) fn begin_again(&self) {
        self.begin_again.store(true, Ordering::Release);
    }

    /// Whether that was asked for since the last call.
    pub(crate) fn take_begin_again(&self) -> bool {
        self.begin_again.swap(false, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn id(number: u8) -> SessionId {
        SessionId([number; 16])
    }

    #[test]
    fn what_was_told_is_told_again_when_in_doubt_and_not_after_its_end() {
        let now = Instant::now();
        let outbox = Outbox::new(2);
        assert!(outbox.revoked(id(1), 100, now + Duration::from_mins(1), now));
        assert!(outbox.revoked(id(2), 200, now + Duration::from_mins(2), now));
        assert!(!outbox.revoked(id(3), 300, now + Duration::from_mins(2), now), "full");
        assert_eq!(outbox.untold(9, now).len(), 2);
        outbox.told([id(1), id(2)]);
        assert!(outbox.untold(9, now).is_empty());
        outbox.doubt_all();
        outbox.told([id(2)]);
        assert_eq!(outbox.untold(9, now), [(id(1), 100)]);
        assert!(outbox.untold(9, now + Duration::from_mins(1)).is_empty());
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    fn what_could_not_be_told_comes_first_the_next_time() {
        let outbox = Outbox::new(2);
        for number in 0..4 {
            assert!(outbox.moved(id(number), Epoch(1)));
        }
        let taken = outbox.take_moved(2);
        outbox.put_back(taken.clone());
        assert_eq!(outbox.take_moved(2), taken);
        assert_eq!(outbox.take_moved(9).len(), 2);
    }
}
