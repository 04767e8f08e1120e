//! Shares of a quota that all replicas keep together.

use super::{Answer, Name, ReplicaId};
use std::time::{Duration, Instant};

/// How long a share is lent. A replica asks again well before (each second).
pub const LEASE_TTL: Duration = Duration::from_secs(5);
/// What of the total is not given out by demand: it is the floor of the quiet ones and what a newcomer finds at once.
pub const RESERVE_PER_MILLE: u64 = 100;

/// A share of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// In units of the total.
    pub share: u64,
    /// [`LEASE_TTL`] from when it was asked for, which is no later than when the store began to count.
    pub until: Instant,
}

/// Who may use how much of a quota.
pub trait QuotaLedger: Send + Sync {
    /// Renews the share of `replica`, by its demand beside that of the others. The live shares never exceed `total` (at most
    /// [`NUMBER_MAX`](super::NUMBER_MAX) / 1000): a replica that asks for more waits until others have asked for less. Without an
    /// answer a replica goes on with the share it had.
    fn lease(
        &self,
        quota: Name,
        replica: ReplicaId,
        demand: u64,
        total: u64,
        until: Instant,
    ) -> Answer<'_, Lease>;

    /// Gives the share back, before the process ends.
    fn release(&self, quota: Name, replica: ReplicaId, until: Instant) -> Answer<'_, ()>;
}
