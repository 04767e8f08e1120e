//! The store as the rest of the program holds it.

use crate::memory::Memory;
use crate::seam::{
    Activity, EventLog, Journal, Limits, PeerRegistry, QuotaLedger, Revocations, SharedCache, Sink,
};
use std::sync::Arc;

/// State that replicas share. Clones share everything.
#[derive(Clone)]
pub struct Store(Arc<Backend>);

enum Backend {
    Memory(Memory),
}

macro_rules! part {
    ($(#[$doc:meta] $name:ident: $part:ident;)+) => {$(
        #[$doc]
        pub fn $name(&self) -> &dyn $part {
            match &*self.0 {
                Backend::Memory(memory) => memory,
            }
        }
    )+};
}

impl Store {
    /// A store of this process alone, empty.
    pub fn memory(limits: Limits) -> Self {
        Self(Arc::new(Backend::Memory(Memory::new(limits))))
    }

    part! {
        /// Where sessions live that have moved.
        journal: Journal;
        /// Sessions that ended before their tokens expired.
        revocations: Revocations;
        /// Logs of event streams.
        events: EventLog;
        /// Last use and end of sessions.
        activity: Activity;
        /// Shares of quotas.
        quotas: QuotaLedger;
        /// Values that one replica made and others can use.
        cache: SharedCache;
        /// Which replicas there are.
        registry: PeerRegistry;
    }

    /// Whether other processes see what is put in.
    pub fn is_shared(&self) -> bool {
        match &*self.0 {
            Backend::Memory(_) => false,
        }
    }

    /// Tells `sink` of every change of this and other replicas until the feed is dropped: first what still matters of the past, then
    /// [`Change::Resync`](crate::Change::Resync), and so again after each interruption. A replica hears its own changes as well.
    pub fn changes(&self, sink: &Sink) -> Feed {
        let number = match &*self.0 {
            Backend::Memory(memory) => memory.subscribe(sink),
        };
        Feed { store: self.clone(), number }
    }
}

/// Ends the telling of changes when dropped.
#[must_use]
pub struct Feed {
    store: Store,
    number: u64,
}

impl Drop for Feed {
    fn drop(&mut self) {
        match &*self.store.0 {
            Backend::Memory(memory) => memory.unsubscribe(self.number),
        }
    }
}
