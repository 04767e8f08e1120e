//! The connections of one endpoint.
//!
//! Idle connections are kept per worker: each worker uses one shard of the list and, in the usual case, is alone on it.
//! A worker takes from another's shard only when the endpoint's cap is reached, so no idle connection can hold a slot
//! that somebody waits for.

use crate::{
    connection::{Connection, Http2},
    h1::Http1,
    slots::{Grant, QueueFull, Slot, Slots, Waiting},
};
use holdfast_config::ConnectionPool;
use parking_lot::Mutex;
use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Shards for each core: other threads than workers then seldom share one with a worker.
const SHARDS_PER_CORE: usize = 2;

/// All connections of one endpoint.
pub(crate) struct Pool {
    shards: Box<[Shard]>,
    slots: Arc<Slots>,
    idle_max: usize,
    idle_time_max: Duration,
}

/// One worker's part, on cache lines of its own.
#[repr(align(128))]
struct Shard {
    lists: Mutex<Lists>,
    /// One HTTP/2 connect at a time per worker: those who come meanwhile share its result.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Lists {
    /// Last in, first out: the youngest is the least likely to be closed by the server.
    idle: Vec<Http1>,
    http2: Vec<Arc<Http2>>,
}

/// What a checkout found.
pub(crate) enum Checkout {
    Connection(Connection),
    /// Nothing idle; there is room for a new one.
    Room(Slot),
    /// The cap is reached.
    Queue(Waiting),
}

impl Pool {
    pub(crate) fn new(config: &ConnectionPool) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shard = || Shard { lists: Mutex::default(), connecting: tokio::sync::Mutex::new(()) };
        Arc::new(Self {
            shards: (0..cores * SHARDS_PER_CORE).map(|_| shard()).collect(),
            slots: Slots::new(config.max_size, config.max_waiting),
            idle_max: config.max_idle,
            idle_time_max: config.max_idle_time,
        })
    }

    /// The usual way to a connection: one that this worker has idle.
    #[inline]
    pub(crate) fn idle_connection(self: &Arc<Self>, now: Instant) -> Option<Connection> {
        self.take_idle(self.shard(), now)
    }

    /// An idle connection, a slot for a new one, or a place in the queue. `fresh` asks for a slot whatever is idle.
    pub(crate) fn checkout(self: &Arc<Self>, now: Instant, fresh: bool) -> Result<Checkout, QueueFull> {
        if !fresh && let Some(connection) = self.take_idle(self.shard(), now) {
            return Ok(Checkout::Connection(connection));
        }
        if let Some(slot) = self.slots.acquire() {
            return Ok(Checkout::Room(slot));
        }
        self.contended(now, fresh)
    }

    #[cold]
    fn contended(self: &Arc<Self>, now: Instant, fresh: bool) -> Result<Checkout, QueueFull> {
        // In the queue first: what comes back from now on is offered to it, and what came back before is found here.
        let mut waiting = self.slots.wait()?;
        let found = self.shards.iter().find_map(|shard| self.take_idle(shard, now));
        match found {
            // Closing somebody's idle connection gives its slot to the queue.
            Some(connection) if fresh => drop(connection),
            Some(connection) => {
                if let Some(Grant::Connection(Connection::Http1(second))) = waiting.leave() {
                    self.put(second, now);
                }
                return Ok(Checkout::Connection(connection));
            }
            None => {}
        }
        Ok(Checkout::Queue(waiting))
    }

    /// A share in this worker's HTTP/2 connection, or the right to open one.
    pub(crate) async fn http2_turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.shard().connecting.lock().await
    }

    /// A share in an HTTP/2 connection of this worker, if one has a stream to spare.
    pub(crate) fn shared_stream(self: &Arc<Self>) -> Option<Connection> {
        let lists = self.shard().lists.lock();
        lists.http2.iter().find_map(|connection| connection.lease(self, false)).map(Connection::Http2)
    }

    /// Keeps a new HTTP/2 connection and takes the first share in it.
    pub(crate) fn add_http2(self: &Arc<Self>, connection: &Arc<Http2>) -> Option<Connection> {
        let lease = connection.lease(self, true)?;
        self.shard().lists.lock().http2.push(Arc::clone(connection));
        self.offer_streams(connection);
        Some(Connection::Http2(lease))
    }

    fn take_idle(self: &Arc<Self>, shard: &Shard, now: Instant) -> Option<Connection> {
        // Closed ones are dropped after the lock is.
        let mut gone = Vec::new();
        let mut lists = shard.lists.lock();
        if let Some(lease) = lists.http2.iter().find_map(|connection| connection.lease(self, false)) {
            return Some(Connection::Http2(lease));
        }
        let found = loop {
            match lists.idle.pop() {
                Some(mut connection) => {
                    if self.is_usable(&mut connection, now) {
                        break Some(connection);
                    }
                    gone.push(connection);
                }
                None => break None,
            }
        };
        drop(lists);
        found.map(Connection::Http1)
    }

    fn is_usable(&self, connection: &mut Http1, now: Instant) -> bool {
        !connection.is_idle_since(self.idle_time_max, now) && connection.is_usable()
    }

    /// Takes a connection back whose response was read to its end. It is closed if that was not the end of the exchange.
    pub(crate) fn give_back(self: &Arc<Self>, mut connection: Http1, now: Instant) {
        if connection.rest() {
            self.put(connection, now);
        }
    }

    fn put(self: &Arc<Self>, mut connection: Http1, now: Instant) {
        connection.set_idle_since(now);
        if self.slots.has_waiters() {
            return self.hand_over(connection);
        }
        let shard = self.shard();
        let oldest = {
            let mut lists = shard.lists.lock();
            lists.idle.push(connection);
            (lists.idle.len() > self.idle_max).then(|| lists.idle.remove(0))
        };
        drop(oldest);
        // Somebody may have joined the queue after the first look and searched the lists before the push.
        if self.slots.has_waiters() {
            let connection = shard.lists.lock().idle.pop();
            if let Some(connection) = connection {
                self.hand_over(connection);
            }
        }
    }

    fn hand_over(&self, connection: Http1) {
        if let Err(Grant::Connection(Connection::Http1(connection))) =
            self.slots.offer(Grant::Connection(Connection::Http1(connection)))
            && self.idle_max > 0
        {
            self.shard().lists.lock().idle.push(connection);
        }
    }

    /// A stream of an HTTP/2 connection ended: somebody who waits may have the next one.
    pub(crate) fn stream_ended(self: &Arc<Self>, connection: &Arc<Http2>) {
        if self.slots.has_waiters() {
            self.offer_streams(connection);
        }
    }

    fn offer_streams(self: &Arc<Self>, connection: &Arc<Http2>) {
        // Bounded by the queue and by the streams of the connection.
        while self.slots.has_waiters() {
            let Some(lease) = connection.lease(self, false) else { return };
            if let Err(unwanted) = self.slots.offer(Grant::Connection(Connection::Http2(lease))) {
                // Its end is reported to this very pool; nobody waits any more, so that ends here.
                drop(unwanted);
                return;
            }
        }
    }

    /// Closes what has been idle too long or was closed by the server. Returns how many stay idle.
    pub(crate) fn sweep(&self, now: Instant) -> usize {
        let mut idle = 0;
        for shard in &self.shards {
            let mut gone = Vec::new();
            let mut gone2 = Vec::new();
            let mut lists = shard.lists.lock();
            gone.extend(lists.idle.extract_if(.., |connection| !self.is_usable(connection, now)));
            gone2.extend(lists.http2.extract_if(.., |connection| self.is_over(connection, now)));
            idle += lists.idle.len() + lists.http2.iter().filter(|c| c.idle_since().is_some()).count();
            drop(lists);
        }
        idle
    }

    fn is_over(&self, connection: &Http2, now: Instant) -> bool {
        let expired = |since: Instant| now.saturating_duration_since(since) >= self.idle_time_max;
        connection.is_closed() || connection.idle_since().is_some_and(expired)
    }

    /// Idle connections, all workers.
    pub(crate) fn idle(&self) -> usize {
        self.shards.iter().map(|shard| shard.lists.lock().idle.len()).sum()
    }

    /// Connections open or being opened.
    pub(crate) fn open(&self) -> usize {
        self.slots.open()
    }

    /// Requests in the queue.
    pub(crate) fn waiting(&self) -> usize {
        self.slots.waiting()
    }

    fn shard(&self) -> &Shard {
        &self.shards[worker() % self.shards.len()]
    }
}

/// A small number for the current thread.
fn worker() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static WORKER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    WORKER.with(|cell| {
        cell.get().unwrap_or_else(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            cell.set(Some(number));
            number
        })
    })
}
