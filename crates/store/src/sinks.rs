//! Who listens to the changes of a store.

use crate::seam::{Change, Sink};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// Sinks of one store.
#[derive(Default)]
pub(crate) struct Sinks {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    list: BTreeMap<u64, Sink>,
}

impl Sinks {
    /// Adds a sink; its number takes it away.
    pub(crate) fn add(&self, sink: Sink) -> u64 {
        let mut inner = self.inner.lock();
        let number = inner.next;
        inner.next += 1;
        inner.list.insert(number, sink);
        number
    }

    pub(crate) fn remove(&self, number: u64) {
        self.inner.lock().list.remove(&number);
    }

    /// Whether nobody listens.
    pub(crate) fn is_empty(&self) -> bool {
        self.inner.lock().list.is_empty()
    }

    /// Tells all of them, without holding a lock.
    pub(crate) fn tell(&self, change: Change) {
        let sinks: Vec<Sink> = self.inner.lock().list.values().map(Arc::clone).collect();
        for sink in sinks {
            sink(change);
        }
    }
}

/// Seconds since 1970.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
