//! Cells of response streams, and the waker that a sweep uses.

use crate::cell::ConnectionCell;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    task::Waker,
};

/// The task to wake. Unlike an `AtomicWaker` it keeps its waker, so a task registers once and not at each poll.
#[derive(Debug, Default)]
pub(crate) struct Registered(Mutex<Option<Waker>>);

impl Registered {
    pub(crate) fn register(&self, waker: &Waker) {
        let mut slot = self.0.lock();
        if !slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    pub(crate) fn wake(&self) {
        let waker = self.0.lock().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Watches one response stream for `stream_idle_timeout`. Made only when a body first has nothing to give.
#[derive(Debug)]
pub(crate) struct StreamCell {
    /// Tick since which the source is silent; 0 = it is not.
    since: AtomicU32,
    limit: u32,
    expired: AtomicBool,
    ended: AtomicBool,
    waker: AtomicWaker,
}

impl StreamCell {
    pub(crate) fn watch(connection: &ConnectionCell) -> Arc<Self> {
        let cell = Arc::new(Self {
            since: AtomicU32::new(0),
            limit: connection.deadlines.stream_idle,
            expired: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        connection.worker.watch_stream(Arc::clone(&cell));
        cell
    }

    pub(crate) fn silent(&self, now: u32, waker: &Waker) {
        self.waker.register(waker);
        if self.since.load(Relaxed) == 0 {
            self.since.store(now, Relaxed);
        }
    }

    pub(crate) fn moved(&self) {
        self.since.store(0, Relaxed);
    }

    pub(crate) fn is_expired(&self) -> bool {
        self.expired.load(Relaxed)
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Relaxed);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// Returns whether the cell can be forgotten.
    pub(crate) fn sweep(&self, now: u32) -> bool {
        if self.ended.load(Relaxed) {
            return true;
        }
        let since = self.since.load(Relaxed);
        if since == 0 || now.wrapping_sub(since) < self.limit {
            return false;
        }
        self.expired.store(true, Relaxed);
        self.waker.wake();
        true
    }
}
