//! What is done with the shared store, and what it gave back.

use super::{Counter, Gauge, Label as _, Metric, PerLabel, Registry, Scope, label::label};

label! {
    /// Parts of the store.
    pub enum StorePart {
        /// Where sessions live that have moved.
        Journal => "journal",
        /// Ending sessions.
        Revocations => "revocations",
        /// Telling and hearing of changes.
        Feed => "feed",
        /// Logs of event streams.
        Events => "events",
        /// Last use and end of sessions.
        Activity => "activity",
        /// Shares of quotas.
        Quotas => "quotas",
        /// Cached values.
        Cache => "cache",
        /// Other replicas.
        Registry => "registry",
    }
}

label! {
    /// How an operation on the store ended.
    pub enum StoreResult {
        /// An answer.
        Ok => "ok",
        /// The breaker refused it.
        Refused => "refused",
        /// Its deadline passed.
        Timeout => "timeout",
        /// No connection.
        Connection => "connection",
        /// Not allowed.
        Denied => "denied",
        /// The server is a replica.
        ReadOnly => "read_only",
        /// No room.
        Full => "full",
        /// Nothing that opens could be had.
        Corrupt => "corrupt",
        /// An answer that is not understood.
        Protocol => "protocol",
        /// Above a limit.
        TooLarge => "too_large",
    }
}

label! {
    /// What a sealed value is.
    pub enum StoreValue {
        /// Where a session lives.
        Journal => "journal",
        /// A change.
        Change => "change",
        /// Owner, meta or end of a stream.
        Stream => "stream",
        /// An event.
        Event => "event",
        /// What is needed to end a session.
        Ending => "ending",
        /// A cached value.
        Cached => "cached",
        /// A replica's record.
        Peer => "peer",
    }
}

/// Handles of the operations on the shared store.
#[derive(Debug)]
pub struct StoreMetrics {
    /// Operations by part and result.
    pub operations: PerLabel<StorePart, PerLabel<StoreResult, Counter>>,
    /// Values whose seal did not open.
    pub bad_seals: PerLabel<StoreValue, Counter>,
    /// Times that all changes were read anew.
    pub resyncs: Counter,
    /// Changes of this replica that the others have not been told.
    pub changes_pending: Gauge,
    _scope: Scope,
}

impl StoreMetrics {
    /// Handles. One per process.
    pub fn new(registry: &Registry) -> Self {
        let mut scope = registry.scope();
        Self {
            operations: PerLabel::new(|part: StorePart| {
                scope.counters(Metric::StoreOperations, &[part.as_str()])
            }),
            bad_seals: scope.counters(Metric::StoreBadSeals, &[]),
            resyncs: scope.counter(Metric::StoreResyncs, &[]),
            changes_pending: scope.gauge(Metric::StoreChangesPending, &[]),
            _scope: scope,
        }
    }
}
