//! Sessions that ended before their tokens expired.

use crate::token::SessionUid;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

/// A set of revoked sessions, each kept until its token would be refused anyway.
pub(crate) struct Revoked {
    max: usize,
    /// Kept beside the map, so that the usual case of an empty set costs no lock.
    count: AtomicUsize,
    expiries: Mutex<HashMap<SessionUid, u64>>,
}

/// `sessions.max_entries` sessions are revoked and none has expired. Forgetting one would bring it back to life, so the
/// newcomer is refused instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Revoked {
    /// An empty set of at most `max`.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, count: AtomicUsize::new(0), expiries: Mutex::new(HashMap::new()) }
    }

    /// Revokes `session`, whose token expires at `expires` (Unix seconds).
    pub(crate) fn insert(&self, session: SessionUid, expires: u64, unix_now: u64) -> Result<(), Full> {
        let mut expiries = self.expiries.lock();
        if expiries.len() >= self.max {
            expiries.retain(|_, at| *at > unix_now);
        }
        if expiries.len() >= self.max && !expiries.contains_key(&session) {
            return Err(Full);
        }
        expiries.insert(session, expires);
        self.count.store(expiries.len(), Ordering::Release);
        Ok(())
    }

    /// Whether `session` was revoked.
    pub(crate) fn contains(&self, session: SessionUid) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.expiries.lock().contains_key(&session)
    }

    /// Sessions in the set.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
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
}
