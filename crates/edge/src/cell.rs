//! One small cell per connection, from which one sweep per worker enforces every deadline.
//!
//! The bytes' path writes coarse ticks into the cell with relaxed stores; no timer is armed and no clock is read per request or
//! per connection. The sweep reads the cells each [`TICK`], and a deadline is met up to two ticks late.

use crate::stream_cell::{Registered, StreamCell};
use holdfast_config::Server;
use holdfast_telemetry::metrics::Stall;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// How often a worker sweeps.
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// An idle connection is closed in a drain when it was idle for this long: a request that is already on its way is then
/// unlikely.
const DRAIN_IDLE: Duration = Duration::from_secs(1);
/// After a refusal the client gets this long to read it.
const LINGER: Duration = Duration::from_secs(2);
/// Room for ended connections in the list before it is tidied early.
const TIDY_MIN: usize = 1024;

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Waiting {
    /// For nothing of the client's: a request is being answered, or nobody reads.
    Nothing = 0,
    /// PROXY header, TLS handshake.
    Handshake = 1,
    /// The first byte of a request.
    Idle = 2,
    /// The rest of a request head.
    Head = 3,
    /// More of a request body.
    Body = 4,
    /// A byte in either direction of a tunnel.
    Tunnel = 5,
    /// The client to read a refusal and close.
    Linger = 6,
}

/// What the sweep decided. Later verdicts replace earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Verdict {
    None = 0,
    /// An idle connection may go: the process is draining.
    DrainIdle = 1,
    /// `header_timeout`: 408.
    Head = 2,
    /// `read_timeout`: the body's reader gets an error.
    Body = 3,
    /// End the connection now.
    Cut = 4,
}

/// State of an upgrade, settled by the response.
pub(crate) const UPGRADE_OPEN: u8 = 0;
pub(crate) const UPGRADE_GRANTED: u8 = 1;
pub(crate) const UPGRADE_DENIED: u8 = 2;

/// Deadlines in ticks. Fixed when a connection begins, so a reload touches new connections only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadlines {
    pub(crate) handshake: u32,
    pub(crate) head: u32,
    pub(crate) read: u32,
    pub(crate) write: u32,
    pub(crate) idle: u32,
    pub(crate) stream_idle: u32,
}

impl Deadlines {
    pub(crate) fn new(server: &Server) -> Self {
        Self {
            handshake: ticks(server.handshake_timeout),
            head: ticks(server.header_timeout),
            read: ticks(server.read_timeout),
            write: ticks(server.write_timeout),
            idle: ticks(server.idle_timeout),
            stream_idle: ticks(server.stream_idle_timeout),
        }
    }
}

/// Ticks that surely cover `duration`, however the first one was cut.
fn ticks(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX / 2).saturating_add(1)
}

/// What the connections of one worker share.
#[derive(Debug, Default)]
pub(crate) struct WorkerShared {
    clock: AtomicU32,
    open: AtomicUsize,
    /// Woken when `open` falls to zero.
    pub(crate) empty: Notify,
    cells: Mutex<Vec<Arc<ConnectionCell>>>,
    streams: Mutex<Vec<Arc<StreamCell>>>,
}

impl WorkerShared {
    /// The present tick; never 0, so that 0 can mean "not".
    pub(crate) fn now(&self) -> u32 {
        self.clock.load(Relaxed).max(1)
    }

    /// Connections of this worker that are open, tunnels included.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    pub(crate) fn opened(&self) {
        self.open.fetch_add(1, Relaxed);
    }

    pub(crate) fn closed(&self) {
        if self.open.fetch_sub(1, Relaxed) == 1 {
            self.empty.notify_one();
        }
    }

    pub(crate) fn watch(&self, cell: Arc<ConnectionCell>) {
        let mut cells = self.cells.lock();
        // Short connections end between two sweeps: the list must not grow with their rate.
        if cells.len() >= TIDY_MIN && cells.len() == cells.capacity() {
            cells.retain(|cell| !cell.is_closed());
        }
        cells.push(cell);
    }

    pub(crate) fn watch_stream(&self, cell: Arc<StreamCell>) {
        let mut streams = self.streams.lock();
        if streams.len() >= TIDY_MIN && streams.len() == streams.capacity() {
            streams.retain(|cell| !cell.has_ended());
        }
        streams.push(cell);
    }

    /// One tick: passes a verdict on each connection and stream that overstayed. `closing` says that the listeners are closed.
    pub(crate) fn sweep(&self, closing: bool, mut stalled: impl FnMut(&ConnectionCell, Stall)) {
        let now = self.clock.fetch_add(1, Relaxed).wrapping_add(1).max(1);
        self.cells.lock().retain(|cell| {
            if cell.is_closed() {
                return false;
            }
            if let Some((verdict, stall)) = cell.judge(now, closing) {
                if let Some(stall) = stall {
                    stalled(cell, stall);
                }
                cell.pass(verdict);
            }
            if closing && !cell.told.swap(true, Relaxed) {
                cell.waker.wake();
            }
            true
        });
        self.streams.lock().retain(|cell| !cell.sweep(now));
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct ConnectionCell {
    waiting: AtomicU8,
    since: AtomicU32,
    write_since: AtomicU32,
    /// Requests begun and responses ended.
    begun: AtomicU32,
    done: AtomicU32,
    verdict: AtomicU8,
    closed: AtomicBool,
    told: AtomicBool,
    /// A message broke the framing rules.
    pub(crate) violated: AtomicBool,
    /// It was in the body of a request that is being answered.
    pub(crate) broken_body: AtomicBool,
    pub(crate) http2: AtomicBool,
    /// It waits for the turn of its TLS handshake.
    pub(crate) queued: AtomicBool,
    /// The last head that passed asks for another protocol.
    pub(crate) asked_upgrade: AtomicBool,
    pub(crate) upgrade: AtomicU8,
    pub(crate) waker: Registered,
    pub(crate) worker: Arc<WorkerShared>,
    pub(crate) deadlines: Deadlines,
    pub(crate) listener: usize,
}

impl ConnectionCell {
    pub(crate) fn new(worker: &Arc<WorkerShared>, deadlines: Deadlines, listener: usize) -> Arc<Self> {
        let cell = Arc::new(Self {
            waiting: AtomicU8::new(Waiting::Handshake as u8),
            since: AtomicU32::new(worker.now()),
            write_since: AtomicU32::new(0),
            begun: AtomicU32::new(0),
            done: AtomicU32::new(0),
            verdict: AtomicU8::new(Verdict::None as u8),
            closed: AtomicBool::new(false),
            told: AtomicBool::new(false),
            violated: AtomicBool::new(false),
            broken_body: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            queued: AtomicBool::new(false),
            asked_upgrade: AtomicBool::new(false),
            upgrade: AtomicU8::new(UPGRADE_OPEN),
            waker: Registered::default(),
            worker: Arc::clone(worker),
            deadlines,
            listener,
        });
        worker.watch(Arc::clone(&cell));
        cell
    }

    /// Notes what the connection waits for; the clock of a wait starts when the wait does.
    pub(crate) fn wait_for(&self, what: Waiting) {
        if self.waiting.swap_relaxed(what as u8) != what as u8 {
            self.since.store(self.worker.now(), Relaxed);
        }
    }

    /// Notes that something moved: the wait starts anew.
    pub(crate) fn touch(&self) {
        self.since.store(self.worker.now(), Relaxed);
    }

    pub(crate) fn write_blocked(&self) {
        if self.write_since.load(Relaxed) == 0 {
            self.write_since.store(self.worker.now(), Relaxed);
        }
    }

    pub(crate) fn write_moved(&self) {
        if self.write_since.load(Relaxed) != 0 {
            self.write_since.store(0, Relaxed);
        }
    }

    pub(crate) fn request_began(&self) {
        self.begun.store(self.begun.load(Relaxed).wrapping_add(1), Relaxed);
    }

    pub(crate) fn response_done(&self) {
        self.done.fetch_add(1, Relaxed);
        self.touch();
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.begun.load(Relaxed).wrapping_sub(self.done.load(Relaxed))
    }

    pub(crate) fn responses(&self) -> u32 {
        self.done.load(Relaxed)
    }

    pub(crate) fn is_waiting_for(&self, what: Waiting) -> bool {
        self.waiting.load(Relaxed) == what as u8
    }

    /// One request is being answered, of which everything was read, nothing came behind it, and nothing waits to be written.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.in_flight() == 1 && self.is_waiting_for(Waiting::Idle) && self.write_since.load(Relaxed) == 0
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match self.verdict.load(Relaxed) {
            0 => Verdict::None,
            1 => Verdict::DrainIdle,
            2 => Verdict::Head,
            3 => Verdict::Body,
            _ => Verdict::Cut,
        }
    }

    pub(crate) fn pass(&self, verdict: Verdict) {
        self.verdict.fetch_max(verdict as u8, Relaxed);
        self.waker.wake();
    }

    /// The sweep's decision at `now`; pure.
    fn judge(&self, now: u32, closing: bool) -> Option<(Verdict, Option<Stall>)> {
        let already = self.verdict();
        if already == Verdict::Cut {
            return None;
        }
        let over = |since: u32, limit: u32| now.wrapping_sub(since) >= limit;
        let blocked = self.write_since.load(Relaxed);
        if blocked != 0 && over(blocked, self.deadlines.write) {
            return Some((Verdict::Cut, Some(Stall::Response)));
        }
        let since = self.since.load(Relaxed);
        let waiting = self.waiting.load(Relaxed);
        let (limit, verdict, stall) = match waiting {
            w if w == Waiting::Handshake as u8 => (self.deadlines.handshake, Verdict::Cut, None),
            w if w == Waiting::Idle as u8 && self.in_flight() == 0 => {
                if closing && already == Verdict::None && over(since, ticks(DRAIN_IDLE)) {
                    return Some((Verdict::DrainIdle, None));
                }
                // HTTP/2 is told to go (GOAWAY) before it is cut.
                if self.http2.load(Relaxed) && already == Verdict::None {
                    (self.deadlines.idle, Verdict::DrainIdle, Some(Stall::Idle))
                } else if self.http2.load(Relaxed) {
                    (self.deadlines.idle.saturating_add(ticks(LINGER)), Verdict::Cut, None)
                } else {
                    (self.deadlines.idle, Verdict::Cut, Some(Stall::Idle))
                }
            }
            w if w == Waiting::Head as u8 && self.in_flight() == 0 => {
                (self.deadlines.head, Verdict::Head, Some(Stall::Head))
            }
            w if w == Waiting::Body as u8 => (self.deadlines.read, Verdict::Body, Some(Stall::RequestBody)),
            w if w == Waiting::Tunnel as u8 => {
                (self.deadlines.stream_idle, Verdict::Cut, Some(Stall::Stream))
            }
            w if w == Waiting::Linger as u8 => (ticks(LINGER), Verdict::Cut, None),
            _ => return None,
        };
        (verdict > already && over(since, limit)).then_some((verdict, stall))
    }
}

impl PartialOrd for Verdict {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some((*self as u8).cmp(&(*other as u8)))
    }
}

trait SwapRelaxed {
    fn swap_relaxed(&self, value: u8) -> u8;
}

impl SwapRelaxed for AtomicU8 {
    /// A load and a store instead of a locked exchange: only the connection's own task writes.
    fn swap_relaxed(&self, value: u8) -> u8 {
        let before = self.load(Relaxed);
        if before != value {
            self.store(value, Relaxed);
        }
        before
    }
}

#[cfg(test)]
#[path = "cell_tests.rs"]
mod tests;
