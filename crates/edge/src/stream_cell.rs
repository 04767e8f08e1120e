//! Cells of streams, and the waker that a sweep uses.

use crate::cell::WorkerShared;
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

/// Watches one stream: a response for `stream_idle_timeout`, an HTTP/2 request body for `read_timeout`. A worker lists it only from
/// when a body first has nothing to give.
#[derive(Debug)]
pub(crate) struct StreamCell {
    /// Tick since which the source is silent; 0 = it is not.
    since: AtomicU32,
    limit: u32,
    /// In the worker's list.
    listed: AtomicBool,
    expired: AtomicBool,
    failed: AtomicBool,
    ended: AtomicBool,
    waker: AtomicWaker,
}

impl StreamCell {
    /// A watch that ends what is silent for `limit` ticks.
    pub(crate) fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self {
            since: AtomicU32::new(0),
            limit,
            listed: AtomicBool::new(false),
            expired: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        })
    }

    /// The source has nothing to give; the time until it does runs.
    pub(crate) fn silent(self: &Arc<Self>, worker: &WorkerShared, waker: &Waker) {
        self.waker.register(waker);
        if self.since.load(Relaxed) == 0 {
            self.since.store(worker.now(), Relaxed);
        }
        if !self.listed.swap(true, Relaxed) {
            worker.watch_stream(Arc::clone(self));
        }
    }

    /// The source gave something, even if the sweep had lost patience before anybody looked.
    pub(crate) fn moved(&self) {
        self.since.store(0, Relaxed);
        self.expired.store(false, Relaxed);
    }

    /// Notes that whoever waits was told that the time is over. Whether this is the first time.
    pub(crate) fn fail(&self) -> bool {
        !self.failed.swap(true, Relaxed)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
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
        self.listed.store(false, Relaxed);
        self.waker.wake();
        true
    }
}
