//! Changes in memory: whoever listens is told at once; who comes later hears of what still matters.

use super::{Memory, expiring::Expiring, ready};
use crate::seam::{Answer, Change, Revocations, SessionId, Sink};
use crate::{StoreError, StoreErrorKind, sinks::unix_now};
use std::{sync::Arc, time::Instant};

/// Revoked sessions with the expiry of their tokens.
pub(super) type Revoked = Expiring<SessionId, u64>;

impl Memory {
    /// Begins to tell `sink`.
    pub(super) fn listen(&self, sink: &Sink) -> u64 {
        let number = self.feeds.add(Arc::clone(sink));
        let known: Vec<_> =
            self.revoked.lock().iter(self.now()).map(|(id, expires)| (id, *expires)).collect();
        for (session, expires) in known {
            sink(Change::Revoked { session, expires });
        }
        sink(Change::Resync);
        number
    }
}

impl Revocations for Memory {
    fn revoke(&self, session: SessionId, expires: u64, _: Instant) -> Answer<'_, ()> {
        let now = self.now();
        let until = now + self.limits.revoked_for(expires, unix_now());
        let kept = self.revoked.lock().insert(session, expires, until, now);
        // Forgetting a revoked session would bring it back to life, so the newcomer is refused.
        let full = |_| StoreError::new(StoreErrorKind::Full, "sessions.max_entries sessions are revoked");
        let kept = kept.map_err(full);
        self.feeds.tell(Change::Revoked { session, expires });
        ready(kept)
    }
}
