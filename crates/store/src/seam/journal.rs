//! Where sessions live that have moved since their token was sealed.

use super::{Answer, Epoch, SessionId};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// What the journal knows of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Grows with each re-binding.
    pub epoch: Epoch,
    /// Opaque; at most [`ENTRY_BYTES_MAX`](super::ENTRY_BYTES_MAX).
    pub value: Bytes,
}

/// How a swap ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// The entry is the journal's now.
    Stored,
    /// Another entry with the same or a later epoch is: use it.
    Newer(Entry),
}

/// One entry a session, fenced by its epoch.
pub trait Journal: Send + Sync {
    /// The entry of `session`. An entry whose seal does not open is none.
    fn read(&self, session: SessionId, until: Instant) -> Answer<'_, Option<Entry>>;

    /// Replaces an older entry, for `ttl` (the rest of the session's life), and tells the change feeds `Rebound`. Of two entries with
    /// one epoch the first to arrive stays. Asked again with what it has stored already, it answers `Stored`.
    fn swap(&self, session: SessionId, entry: Entry, ttl: Duration, until: Instant) -> Answer<'_, Swapped>;

    /// Forgets a session that ended.
    fn forget(&self, session: SessionId, until: Instant) -> Answer<'_, ()>;
}
