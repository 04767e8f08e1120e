//! Access records: one line per request, in blocks.
//!
//! A record is a plain struct that fills on the way of a request. When the request ends it is written as bytes into a
//! buffer of the worker's own thread. A full buffer is handed to the writer thread as a block; so is one that is
//! [`MAX_AGE`] old, by the next record or by [`flush_records`], which each worker calls once a second. The writer
//! never makes a worker wait: if its queue is full the block is dropped, and its records are counted.

mod buffer;
mod format;
mod inline;
mod record;
mod writer;

pub use buffer::{flush_records, install_access_log};
pub use inline::Inline;
pub use record::{AccessRecord, McpCall, RecordOutcome};
pub use writer::{AccessLog, AccessLogError};

use crate::metrics::{Counter, Metric, Registry, Scope};
use std::time::Duration;

/// Bytes of a worker's buffer.
pub const BLOCK_BYTES: usize = 32 * 1024;
/// Blocks that may wait for the writer.
pub const MAX_BLOCKS: usize = 64;
/// Longest time a record stays in a buffer.
pub const MAX_AGE: Duration = Duration::from_secs(1);

/// Handles of the access log.
#[derive(Debug)]
pub struct AccessMetrics {
    /// Records handed to the writer.
    pub records: Counter,
    /// Records lost.
    pub dropped: Counter,
    _scope: Scope,
}

impl AccessMetrics {
    /// Handles. One per process.
    pub fn new(registry: &Registry) -> Self {
        let mut scope = registry.scope();
        Self {
            records: scope.counter(Metric::AccessRecords, &[]),
            dropped: scope.counter(Metric::AccessDropped, &[]),
            _scope: scope,
        }
    }
}

/// A time in UTC, for a line of a log.
pub(crate) fn rfc3339(at: std::time::SystemTime) -> String {
    let mut bytes = Vec::with_capacity(24);
    format::Stamp::default().write(&mut bytes, at);
    String::from_utf8_lossy(&bytes).into_owned()
}
