//! The buffer of a thread.

use super::{
    AccessLog, AccessRecord, BLOCK_BYTES, MAX_AGE,
    format::{Stamp, write},
    writer::Block,
};
use parking_lot::RwLock;
use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

/// The log that records go to, and how often it was changed: a thread looks at the number only.
static CURRENT: RwLock<Option<Arc<AccessLog>>> = RwLock::new(None);
static VERSION: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static BUFFER: RefCell<Buffer> = RefCell::new(Buffer::default());
}

#[derive(Default)]
struct Buffer {
    version: u64,
    log: Option<Arc<AccessLog>>,
    bytes: Vec<u8>,
    records: u64,
    /// When the oldest record of the buffer has waited for long enough.
    due: Option<SystemTime>,
    stamp: Stamp,
}

/// Makes `log` the one that [`AccessRecord::emit`] writes to, in the whole process. `None` switches records off. What
/// other threads have in their buffers still goes to the log it was written for.
pub fn install_access_log(log: Option<Arc<AccessLog>>) {
    let mut current = CURRENT.write();
    *current = log;
    VERSION.fetch_add(1, Ordering::Release);
}

/// Hands this thread's buffer to the writer. Each worker calls it at least once a second and when it ends.
pub fn flush_records() {
    BUFFER.with_borrow_mut(Buffer::flush);
}

pub(super) fn emit(record: &AccessRecord) {
    BUFFER.with_borrow_mut(|buffer| buffer.emit(record));
}

impl Buffer {
    fn emit(&mut self, record: &AccessRecord) {
        let version = VERSION.load(Ordering::Acquire);
        if self.version != version {
            self.flush();
            self.log.clone_from(&CURRENT.read());
            self.version = version;
        }
        let Some(log) = &self.log else { return };
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(BLOCK_BYTES);
        }
        let before = self.bytes.len();
        write(&mut self.bytes, log.form(), &mut self.stamp, record);
        self.records += 1;
        let longest = self.bytes.len() - before;
        // Room for one more like this, or the block would grow.
        if self.bytes.len() + longest.max(512) > BLOCK_BYTES || self.is_old(record) {
            self.flush();
        }
    }

    /// By the records' own times: no clock is read here. A wall clock that jumps forward flushes early; one that jumps
    /// back is no concern, since every worker flushes each second anyway.
    fn is_old(&mut self, record: &AccessRecord) -> bool {
        let now = record.started + record.duration;
        now >= *self.due.get_or_insert_with(|| now + MAX_AGE)
    }

    fn flush(&mut self) {
        self.due = None;
        if self.bytes.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.bytes);
        let records = std::mem::take(&mut self.records);
        if let Some(log) = &self.log {
            log.hand_over(Block { bytes, records });
        }
    }
}

impl Drop for Buffer {
    /// A thread that ends leaves nothing behind.
    fn drop(&mut self) {
        self.flush();
    }
}
