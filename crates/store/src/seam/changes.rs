//! What every replica must hear of: sessions that ended or moved.

use super::{Answer, Epoch, SessionId};
use std::{sync::Arc, time::Instant};

/// Something changed. Changes are repeated after every interruption: taking one in twice must do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// The session ended; its token expires at `expires` (seconds since 1970).
    Revoked {
        /// The session.
        session: SessionId,
        /// When its token expires, in seconds since 1970.
        expires: u64,
    },
    /// The session lives elsewhere: the journal has an entry of this epoch.
    Rebound {
        /// The session.
        session: SessionId,
        /// Of the journal's entry.
        epoch: Epoch,
    },
    /// Everything that still matters has been told since the feed began or was interrupted.
    Resync,
}

/// Takes changes in. Called from one task, in order; it must not wait, and it bounds what it keeps.
pub type Sink = Arc<dyn Fn(Change) + Send + Sync>;

/// Sessions that ended before their tokens expired.
pub trait Revocations: Send + Sync {
    /// Tells every replica that `session` ended; its token expires at `expires` (seconds since 1970). An error means that it is not
    /// known yet to all: the store tells them by itself as soon as it can, for as long as the token lives.
    fn revoke(&self, session: SessionId, expires: u64, until: Instant) -> Answer<'_, ()>;
}
