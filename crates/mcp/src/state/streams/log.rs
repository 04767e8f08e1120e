//! The bounded log of one server-sent event stream towards a legacy client.
//!
//! A legacy client that goes away does not cancel its request (2025-11-25 transports, "Sending Messages", 6), so
//! what an upstream says is not tied to a client connection. One *pump* appends events, at most one *follower* (a
//! client's response body) reads them. While a follower is attached the pump waits for it, so a slow client slows
//! the upstream down; while none is attached the pump runs on and the oldest events fall out of the log.
//!
//! | state | pump | follower | next |
//! |---|---|---|---|
//! | attached | waits until the follower took all but `WINDOW` events | reads in order | client gone: detached; end: finished |
//! | detached | runs on, log bounded | none | GET with `Last-Event-ID`: attached; retention over: finished |
//! | suspended | none: the upstream ended its connection and will go on when asked | drained, then ends cleanly | GET: a new pump |
//! | finished | none | drained, then ends | retention over: forgotten |
//! | moved | none: another replica carries the stream now | drained, then ends cleanly | GET: as on a replica that never had it |

use super::{id::StreamId, shared_log::SharedLog, total::Total};
use crate::ids::Epoch;
use bytes::Bytes;
use holdfast_upstream::clock;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Events a pump may be ahead of the client that reads along.
pub(super) const WINDOW: u64 = 4;
/// Most events in a row that were not logged and that a log taken over can step over.
pub(super) const GAP_MAX: u64 = 4096;

/// Limits of one log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogLimits {
    /// Events kept.
    pub(crate) events: usize,
    /// Bytes kept.
    pub(crate) bytes: usize,
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Everything that was asked has been answered, or a typed error took its place.
    Complete,
    /// The upstream closed its connection and can be asked to go on.
    Suspended,
    /// A stream without a request of its own lost its upstream.
    Lost,
    /// Another replica carries it now.
    Moved,
}

/// What it takes to go on with a suspended stream.
#[derive(Debug)]
pub(crate) struct Resume {
    /// The upstream's id of the last event it sent.
    pub(crate) upstream_event: Bytes,
    /// The binding it came over.
    pub(crate) epoch: Epoch,
    /// Raw id of the request whose answer is still missing; `None` on a GET stream.
    pub(crate) awaiting: Option<Bytes>,
    /// Where its events are logged for all replicas, if they are.
    pub(crate) log: Option<SharedLog>,
}

/// One stream.
pub(crate) struct LiveStream {
    /// Its name in event ids.
    pub(crate) id: StreamId,
    limits: LogLimits,
    total: Arc<Total>,
    inner: Mutex<Inner>,
    room: Notify,
}

struct Inner {
    events: VecDeque<Bytes>,
    base: u64,
    bytes: usize,
    end: Option<End>,
    resume: Option<Resume>,
    generation: u64,
    cursor: Option<u64>,
    /// Where the last follower stopped.
    left_at: u64,
    waker: Option<Waker>,
    detached_at: Instant,
}

/// What a follower finds at its position.
pub(crate) enum Found {
    /// The event there.
    Event(Bytes),
    /// No more events.
    End(End),
    /// Another follower took the stream over.
    Replaced,
    /// The event fell out of the log.
    Gone,
}

impl LiveStream {
    /// An empty stream without a follower, whose first event is number `base`.
    pub(crate) fn new(id: StreamId, base: u64, limits: LogLimits, total: Arc<Total>) -> Arc<Self> {
        let inner = Inner {
            events: VecDeque::new(),
            base,
            bytes: 0,
            end: None,
            resume: None,
            generation: 0,
            cursor: None,
            left_at: base,
            waker: None,
            detached_at: clock::now(),
        };
        Arc::new(Self { id, limits, total, inner: Mutex::new(inner), room: Notify::new() })
    }

    /// Sequence number of the next event.
    pub(crate) fn next_sequence(&self) -> u64 {
        let inner = self.inner.lock();
        inner.base + inner.events.len() as u64
    }

    /// Appends an encoded event; drops the oldest ones that no attached follower still needs.
    pub(crate) fn push(&self, frame: Bytes) {
        let waker = {
            let mut inner = self.inner.lock();
            if inner.end.is_some() {
                return;
            }
            inner.bytes += frame.len();
            self.total.add(frame.len());
            inner.events.push_back(frame);
            self.evict(&mut inner);
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Appends an event that another replica logged under number `sequence`. What is missing before it was never logged: empty events, which
    /// no follower shows, stand in for it, so that numbers stay those of the event ids. False if that number is taken.
    pub(crate) fn push_at(&self, sequence: u64, frame: Bytes) -> bool {
        let Some(gap) = sequence.checked_sub(self.next_sequence()).filter(|gap| *gap <= GAP_MAX) else {
            return false;
        };
        for _ in 0..gap {
            self.push(Bytes::new());
        }
        self.push(frame);
        true
    }

    /// Ends the stream. The log stays readable.
    pub(crate) fn finish(&self, end: End) {
        let waker = {
            let mut inner = self.inner.lock();
            if inner.end.is_none() {
                inner.end = Some(end);
            }
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends the stream for now: the upstream closed its connection and goes on when it is asked to.
    pub(crate) fn suspend(&self, resume: Resume) {
        self.inner.lock().resume = Some(resume);
        self.finish(End::Suspended);
    }

    /// Takes the suspension back, for whoever starts the next pump. `None` if the stream is not suspended.
    pub(crate) fn wake(&self) -> Option<Resume> {
        let mut inner = self.inner.lock();
        let resume = inner.resume.take()?;
        inner.end = None;
        Some(resume)
    }

    /// How the stream ended, if it did.
    pub(crate) fn end(&self) -> Option<End> {
        self.inner.lock().end
    }

    /// Since when no client reads along; `None` while one does.
    pub(crate) fn detached_since(&self) -> Option<Instant> {
        let inner = self.inner.lock();
        if inner.cursor.is_some() { None } else { Some(inner.detached_at) }
    }

    /// Waits until the pump may read on. Cancel safe.
    pub(crate) async fn room(&self) {
        loop {
            let notified = self.room.notified();
            {
                let inner = self.inner.lock();
                let next = inner.base + inner.events.len() as u64;
                match inner.cursor {
                    Some(cursor) if next.saturating_sub(cursor) >= WINDOW => {}
                    _ => return,
                }
            }
            notified.await;
        }
    }

    /// Waits until no client has read along for `retention`. Cancel safe.
    pub(crate) async fn abandoned(&self, retention: Duration) {
        loop {
            let mut changed = pin!(self.room.notified());
            match self.detached_since() {
                None => changed.await,
                Some(since) => {
                    let until = clock::after(since, retention);
                    if clock::timeout_at(until, changed.as_mut()).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// The first event that no client has taken, as far as the log still holds it.
    pub(crate) fn unread(&self) -> u64 {
        let inner = self.inner.lock();
        inner.cursor.unwrap_or(inner.left_at).max(inner.base)
    }

    /// Attaches a follower at `from` and ends the one before it. Returns its generation, or `None` if the events
    /// from there on are no longer in the log.
    pub(crate) fn attach(&self, from: u64) -> Option<u64> {
        let (generation, waker) = {
            let mut inner = self.inner.lock();
            let next = inner.base + inner.events.len() as u64;
            if from < inner.base || from > next {
                return None;
            }
            inner.generation += 1;
            inner.cursor = Some(from);
            (inner.generation, inner.waker.take())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        self.room.notify_waiters();
        Some(generation)
    }

    /// The follower of `generation` went away.
    pub(crate) fn detach(&self, generation: u64) {
        {
            let mut inner = self.inner.lock();
            if inner.generation != generation {
                return;
            }
            if let Some(cursor) = inner.cursor.take() {
                inner.left_at = cursor;
            }
            inner.waker = None;
            inner.detached_at = clock::now();
        }
        self.room.notify_waiters();
    }

    /// Reads the event at `position`.
    pub(crate) fn poll_at(&self, generation: u64, position: u64, cx: &mut Context<'_>) -> Poll<Found> {
        let found = {
            let mut inner = self.inner.lock();
            if inner.generation != generation {
                return Poll::Ready(Found::Replaced);
            }
            let Some(index) = position.checked_sub(inner.base) else {
                return Poll::Ready(Found::Gone);
            };
            if let Some(event) = usize::try_from(index).ok().and_then(|i| inner.events.get(i)).cloned() {
                inner.cursor = Some(position + 1);
                Some(Found::Event(event))
            } else if let Some(end) = inner.end {
                Some(Found::End(end))
            } else {
                inner.waker = Some(cx.waker().clone());
                None
            }
        };
        match found {
            Some(found) => {
                self.room.notify_waiters();
                Poll::Ready(found)
            }
            None => Poll::Pending,
        }
    }

    fn evict(&self, inner: &mut Inner) {
        let keep_from = inner.cursor.unwrap_or(u64::MAX);
        while inner.events.len() > self.limits.events
            || inner.bytes > self.limits.bytes
            || (self.total.over() && inner.events.len() > 1)
        {
            if inner.base >= keep_from || inner.events.len() <= 1 {
                return;
            }
            if let Some(old) = inner.events.pop_front() {
                inner.base += 1;
                inner.bytes -= old.len();
                self.total.sub(old.len());
            }
        }
    }
}

impl Drop for LiveStream {
    fn drop(&mut self) {
        self.total.sub(self.inner.get_mut().bytes);
    }
}
