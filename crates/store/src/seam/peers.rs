//! Which replicas there are.

use super::{Answer, ReplicaId};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// Replicas that announce themselves.
pub trait PeerRegistry: Send + Sync {
    /// Keeps the record of `replica` (opaque, at most [`ENTRY_BYTES_MAX`](super::ENTRY_BYTES_MAX)) for `ttl`. More than
    /// [`Limits::peers`](super::Limits::peers) living replicas are refused.
    fn announce(&self, replica: ReplicaId, record: Bytes, ttl: Duration, until: Instant) -> Answer<'_, ()>;

    /// Every living replica with its record, those left out whose seal does not open.
    fn list(&self, until: Instant) -> Answer<'_, Vec<(ReplicaId, Bytes)>>;

    /// Takes `replica` off the list.
    fn leave(&self, replica: ReplicaId, until: Instant) -> Answer<'_, ()>;
}
