//! The registry in memory: of use where several stores of one process are one, as in tests.

use super::{Memory, expiring::Expiring, ready};
use crate::seam::{Answer, ENTRY_BYTES_MAX, PeerRegistry, ReplicaId, limits};
use crate::{StoreError, StoreErrorKind};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// Records by replica.
pub(super) type Records = Expiring<ReplicaId, Bytes>;

impl PeerRegistry for Memory {
    fn announce(&self, replica: ReplicaId, record: Bytes, ttl: Duration, _: Instant) -> Answer<'_, ()> {
        let now = self.now();
        ready(limits::fits(record.len(), ENTRY_BYTES_MAX).and_then(|()| {
            let full = |_| StoreError::new(StoreErrorKind::Full, "too many replicas");
            self.records.lock().insert(replica, record, now + ttl, now).map_err(full)
        }))
    }

    fn list(&self, _: Instant) -> Answer<'_, Vec<(ReplicaId, Bytes)>> {
        let records = self.records.lock();
        ready(Ok(records.iter(self.now()).map(|(replica, record)| (replica, record.clone())).collect()))
    }

    fn leave(&self, replica: ReplicaId, _: Instant) -> Answer<'_, ()> {
        self.records.lock().remove(replica);
        ready(Ok(()))
    }
}
