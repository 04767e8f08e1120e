//! A count of bytes that many share, and the limit of their sum.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Bytes of all logs together.
#[derive(Debug)]
pub(crate) struct Total {
    used: AtomicUsize,
    limit: usize,
}

impl Total {
    /// Nothing used yet.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), limit })
    }
    pub(super) fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }
    pub(super) fn sub(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
    pub(super) fn over(&self) -> bool {
        self.used() > self.limit
    }
    /// Bytes in all logs.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}
