//! Shares of a quota that all replicas keep together.

use super::{Answer, Name, ReplicaId};
use std::time::{Duration, Instant};

/// How long a share is lent. A replica asks again well before (each second).
pub const LEASE_TTL: Duration = Duration::from_secs(5);
/// What of the total is not given out by demand: it is the floor of the quiet ones and what a newcomer finds at once.
pub const RESERVE_PER_MILLE: u64 = 100;

/// What a replica asks a ledger for. All numbers in units of the total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// What its clients asked for lately, for comparison with other replicas.
    pub demand: u64,
    /// The share that it uses now, 0 at first. Others get what it gave up only after it has said so: an answer may be lost.
    pub held: u64,
    /// The whole quota, at most [`NUMBER_MAX`](super::NUMBER_MAX) / 1000.
    pub total: u64,
}

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
    /// Renews the share of `replica`, by its demand beside that of the others. The live shares never exceed the total: a replica that
    /// asks for more waits until others hold less. Without an answer a replica goes on with the share it had; only then, past the
    /// end of that lease, and after a loss of the store's values, can the sum be exceeded.
    fn lease(&self, quota: Name, replica: ReplicaId, want: Want, until: Instant) -> Answer<'_, Lease>;

    /// Gives the share back, before the process ends.
    fn release(&self, quota: Name, replica: ReplicaId, until: Instant) -> Answer<'_, ()>;
}
