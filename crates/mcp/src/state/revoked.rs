//! Sessions that ended before their tokens expired.

use crate::token::SessionUid;
use parking_lot::Mutex;
use std::{
    collections::{BTreeSet, HashMap},
    sync::atomic::{AtomicUsize, Ordering},
};

/// A set of revoked sessions, each kept until its token would be refused anyway.
pub(crate) struct Revoked {
    max: usize,
    /// Kept beside the map, so that the usual case of an empty set costs no lock.
    count: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    expiries: HashMap<SessionUid, u64>,
    /// In the order in which they need not be known any more: idle sessions end all the time, so none is looked at twice.
    order: BTreeSet<(u64, SessionUid)>,
}

/// `sessions.max_entries` sessions are revoked and none has expired. Forgetting one would bring it back to life, so the
/// newcomer is refused instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Revoked {
    /// An empty set of at most `max`.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, count: AtomicUsize::new(0), inner: Mutex::default() }
    }

    /// Revokes `session`, whose token is refused from `expires` on (Unix seconds).
    pub(crate) fn insert(&self, session: SessionUid, expires: u64, unix_now: u64) -> Result<(), Full> {
        let mut inner = self.inner.lock();
        inner.sweep(unix_now);
        let full = inner.expiries.len() >= self.max && !inner.expiries.contains_key(&session);
        if !full {
            if let Some(before) = inner.expiries.insert(session, expires) {
                inner.order.remove(&(before, session));
            }
            inner.order.insert((expires, session));
        }
        self.count.store(inner.expiries.len(), Ordering::Release);
        if full { Err(Full) } else { Ok(()) }
    }

    /// Whether `session` was revoked.
    pub(crate) fn contains(&self, session: SessionUid) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.inner.lock().expiries.contains_key(&session)
    }

    /// Sessions in the set.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }
}

impl Inner {
    fn sweep(&mut self, unix_now: u64) {
        while let Some((expires, session)) = self.order.first().copied()
            && expires <= unix_now
        {
            self.order.pop_first();
            self.expiries.remove(&session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_set_forgets_only_what_has_expired() {
        let revoked = Revoked::new(2);
        revoked.insert(SessionUid([1; 16]), 100, 0).unwrap();
        revoked.insert(SessionUid([2; 16]), 200, 0).unwrap();
        assert_eq!(revoked.insert(SessionUid([3; 16]), 300, 50), Err(Full));
        revoked.insert(SessionUid([3; 16]), 300, 150).unwrap();
        assert!(!revoked.contains(SessionUid([1; 16])));
        assert!(revoked.contains(SessionUid([2; 16])) && revoked.contains(SessionUid([3; 16])));
    }

    #[test]
    fn what_has_expired_is_forgotten_with_the_next_newcomer() {
        let revoked = Revoked::new(8);
        revoked.insert(SessionUid([1; 16]), 100, 0).unwrap();
        revoked.insert(SessionUid([1; 16]), 120, 0).unwrap();
        revoked.insert(SessionUid([2; 16]), 300, 110).unwrap();
        assert_eq!(revoked.len(), 2, "it ends later than was said first");
        revoked.insert(SessionUid([3; 16]), 300, 120).unwrap();
        assert_eq!(revoked.len(), 2);
        assert!(!revoked.contains(SessionUid([1; 16])));
    }
}
