//! How much a store keeps.

use crate::{StoreError, StoreErrorKind};
use holdfast_config::Sessions;
use std::time::Duration;

/// Longest value of a journal entry, an ending, a stream's meta and end, a peer's record.
pub const ENTRY_BYTES_MAX: usize = 1024;
/// Highest epoch and sequence number: a store's scripts count in floating point.
pub const NUMBER_MAX: u64 = (1 << 53) - 1;

/// Clocks of replicas may differ by this much; `seal` forgives the same.
const CLOCKS_APART: Duration = Duration::from_mins(1);

/// Longest value in the cache.
const CACHE_VALUE_BYTES: usize = 256 << 10;
/// Values in the cache of one process.
const CACHE_ENTRIES: usize = 4096;
/// Bytes in the cache of one process.
const CACHE_BYTES: usize = 64 << 20;
/// Quotas of one process.
const QUOTAS: usize = 100_000;
/// Replicas of one gateway.
const PEERS: usize = 1024;

/// Limits of a store. What one process keeps in memory for itself, and what it puts into a store that all share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions in the journal, revoked, or known by their last use: `sessions.max_entries`.
    pub sessions: usize,
    /// Longest life of a session: `sessions.absolute_ttl`.
    pub session_life: Duration,
    /// After this a session that nobody used has ended: `sessions.ttl`.
    pub session_ttl: Duration,
    /// Streams with a log, in memory: `sessions.max_entries`.
    pub streams: usize,
    /// Events kept per stream: `sessions.stream_events`.
    pub stream_events: usize,
    /// Bytes kept per stream: `sessions.stream_bytes`.
    pub stream_bytes: usize,
    /// Bytes kept for all streams, in memory: `sessions.stream_bytes_total`.
    pub stream_bytes_total: usize,
    /// Longest value in the cache.
    pub cache_value_bytes: usize,
    /// Values in the cache, in memory.
    pub cache_entries: usize,
    /// Bytes in the cache, in memory.
    pub cache_bytes: usize,
    /// Quotas, in memory.
    pub quotas: usize,
    /// Living replicas.
    pub peers: usize,
}

impl Limits {
    /// The limits of a configuration.
    pub fn new(sessions: &Sessions) -> Self {
        Self {
            sessions: sessions.max_entries,
            session_life: sessions.absolute_ttl,
            session_ttl: sessions.ttl,
            streams: sessions.max_entries,
            stream_events: sessions.stream_events,
            stream_bytes: sessions.stream_bytes.as_usize(),
            stream_bytes_total: sessions.stream_bytes_total.as_usize(),
            cache_value_bytes: CACHE_VALUE_BYTES,
            cache_entries: CACHE_ENTRIES,
            cache_bytes: CACHE_BYTES,
            quotas: QUOTAS,
            peers: PEERS,
        }
    }
}

impl Limits {
    /// Longest time that an ended session matters: its token was made by a clock that is ahead, and opens for a while after its end.
    pub(crate) fn revoked_life(&self) -> Duration {
        self.session_life.saturating_add(2 * CLOCKS_APART)
    }

    /// How long it must be told that a session has ended whose token nobody takes from `expires` on (seconds since 1970). By a clock
    /// that is ahead the others go on taking it for a while.
    pub(crate) fn revoked_for(&self, expires: u64, unix_now: u64) -> Duration {
        let left = expires.saturating_add(CLOCKS_APART.as_secs()).saturating_sub(unix_now).max(1);
        // A token that lives longer than any should is a clock's fault.
        Duration::from_secs(left).min(self.revoked_life())
    }
}

/// Refuses what is longer than `max`.
pub(crate) fn fits(length: usize, max: usize) -> Result<(), StoreError> {
    if length <= max {
        Ok(())
    } else {
        Err(StoreError::new(StoreErrorKind::TooLarge, "the value is too long"))
    }
}

/// Refuses a number that a script cannot count with.
pub(crate) fn countable(number: u64) -> Result<(), StoreError> {
    below(number, NUMBER_MAX)
}

/// Refuses a number above `max`.
pub(crate) fn below(number: u64, max: u64) -> Result<(), StoreError> {
    if number <= max {
        Ok(())
    } else {
        Err(StoreError::new(StoreErrorKind::TooLarge, "a number is too high"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_for_as_long_as_a_clock_that_is_behind_may_take_the_token() {
        let limits = Limits {
            sessions: 1,
            session_life: Duration::from_hours(1),
            session_ttl: Duration::from_hours(1),
            streams: 1,
            stream_events: 1,
            stream_bytes: 1,
            stream_bytes_total: 1,
            cache_value_bytes: 1,
            cache_entries: 1,
            cache_bytes: 1,
            quotas: 1,
            peers: 1,
        };
        let left = |expires, now| limits.revoked_for(expires, now).as_secs();
        assert_eq!(left(1000, 900), 160);
        assert_eq!(left(1000, 1030), 30, "it has expired by this clock alone");
        assert_eq!(left(1000, 2000), 1);
        assert_eq!(left(u64::MAX, 900), 3600 + 120, "no longer than any token matters");
    }
}
