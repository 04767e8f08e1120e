//! The store of one process: the same contracts without a server. Nothing here waits; every map has a limit and an end for each entry.

mod activity;
mod cache;
mod events;
mod expiring;
mod feeds;
mod journal;
mod peers;
mod quota;

pub(crate) use activity::Uses;
pub(crate) use activity::check as check_touches;
pub(crate) use expiring::Expiring;
pub(crate) use quota::TOTAL_MAX;

use crate::seam::{Answer, Limits, Sink};
use crate::{StoreError, sinks::Sinks};
use parking_lot::Mutex;
use std::time::Instant;

/// Everything that one process keeps for itself.
pub(crate) struct Memory {
    limits: Limits,
    journal: Mutex<journal::Entries>,
    revoked: Mutex<feeds::Revoked>,
    feeds: Sinks,
    logs: Mutex<events::Logs>,
    uses: Mutex<Uses>,
    ledgers: Mutex<quota::Ledgers>,
    values: Mutex<cache::Values>,
    records: Mutex<peers::Records>,
}

impl Memory {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            journal: Mutex::new(journal::Entries::new(limits.sessions)),
            revoked: Mutex::new(feeds::Revoked::new(limits.sessions)),
            feeds: Sinks::default(),
            logs: Mutex::new(events::Logs::new(limits)),
            uses: Mutex::new(Uses::new(limits.sessions, limits.session_ttl, now())),
            ledgers: Mutex::new(quota::Ledgers::new(limits.quotas)),
            values: Mutex::new(cache::Values::new(limits.cache_entries, limits.cache_bytes)),
            records: Mutex::new(peers::Records::new(limits.peers)),
        }
    }

    /// Begins to tell `sink` what changes, after what still matters.
    pub(crate) fn subscribe(&self, sink: &Sink) -> u64 {
        self.listen(sink)
    }

    /// Ends that.
    pub(crate) fn unsubscribe(&self, number: u64) {
        self.feeds.remove(number);
    }

    #[allow(clippy::unused_self, reason = "the one place where this store reads the clock")]
    fn now(&self) -> Instant {
        now()
    }
}

/// The clock of the runtime, which tests may pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// An answer that is there already.
fn ready<'a, T: Send + 'a>(answer: Result<T, StoreError>) -> Answer<'a, T> {
    Box::pin(std::future::ready(answer))
}
