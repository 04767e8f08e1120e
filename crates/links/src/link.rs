//! One link: its requests and its readers.

use crate::{
    outbox::{Letters, Outbox, Sending},
    queue::{End, Item, Queue},
    switchboard::{Incoming, Limits, Name, Owner, Refused, Sharing, Switchboard},
};
use bytes::Bytes;
use holdfast_frames::frame::Frame;
use holdfast_telemetry::metrics::{LinkDrop, LinkEnd, LinkMetrics, LinkTear};
use holdfast_upstream::{EndpointKey, clock};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Instant};
use tokio::sync::watch;

/// What links of one server have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// `queue_messages`.
    pub(crate) queue_messages: usize,
    /// `queue_bytes`.
    pub(crate) queue_bytes: usize,
    /// `mcp.max_response_bytes`.
    pub(crate) message_max: usize,
    /// Requests of one link.
    pub(crate) requests: usize,
}

/// An open link.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) number: u64,
    /// Its id, if it is of a session.
    pub(crate) session: Option<Box<str>>,
    pub(crate) owner: Owner,
    /// Where it leads.
    pub(crate) endpoint: EndpointKey,
    pub(crate) label: String,
    pub(crate) opened: Instant,
    pub(crate) sizes: Sizes,
    board: Mutex<Board>,
    outbox: Outbox,
    closing: watch::Sender<Option<LinkEnd>>,
    pub(crate) metrics: Arc<LinkMetrics>,
}

#[derive(Debug)]
struct Board {
    switchboard: Switchboard,
    readers: HashMap<Name, Arc<Queue>>,
    listener: Option<Arc<Queue>>,
    ended: bool,
    last_used: Instant,
    /// Messages of its client, the first included.
    messages: u64,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// The link has ended. Nothing was sent.
    Ended,
    /// The server does not read, and what waits for it is `queue_bytes`. Nothing was sent.
    Unread,
    /// The switchboard refused it.
    Refused(Refused),
}

/// A request on its way: dropped before its answer, its reader has left.
#[derive(Debug)]
pub(crate) struct Asked {
    link: Arc<Link>,
    name: Name,
    pub(crate) queue: Arc<Queue>,
    pub(crate) sending: Sending,
}

/// A listening stream: dropped, nobody listens any more.
#[derive(Debug)]
pub(crate) struct Listening {
    link: Arc<Link>,
    pub(crate) queue: Arc<Queue>,
}

/// Who a link is for.
pub(crate) struct For {
    pub(crate) number: u64,
    pub(crate) session: Option<Box<str>>,
    pub(crate) owner: Owner,
    pub(crate) sharing: Sharing,
}

impl Link {
    /// A link that was just opened, and what its task takes.
    pub(crate) fn new(
        whom: For,
        (endpoint, label): (EndpointKey, String),
        sizes: Sizes,
        metrics: &Arc<LinkMetrics>,
    ) -> (Arc<Self>, Letters) {
        let (outbox, letters) = Outbox::new(sizes.queue_bytes);
        let limits = Limits {
            requests: sizes.requests,
            waiting_messages: sizes.queue_messages,
            waiting_bytes: sizes.queue_bytes,
        };
        let now = clock::now();
        let board = Board {
            switchboard: Switchboard::new(whom.sharing, limits),
            readers: HashMap::new(),
            listener: None,
            ended: false,
            last_used: now,
            messages: 0,
        };
        let link = Self {
            number: whom.number,
            session: whom.session,
            owner: whom.owner,
            endpoint,
            label,
            opened: now,
            sizes,
            board: Mutex::new(board),
            outbox,
            closing: watch::Sender::new(None),
            metrics: Arc::clone(metrics),
        };
        (Arc::new(link), letters)
    }

    /// Sends a request of `owner`. Waits for room until `until`. Cancel safe: dropped, it has sent nothing.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        frame: &Frame,
        owner: Owner,
        until: Instant,
    ) -> Result<Asked, NotTaken> {
        let room = self.outbox.room(frame.bytes().len(), until).await.ok_or(NotTaken::Unread)?;
        let mut board = self.board.lock();
        board.touch()?;
        let begun = board.switchboard.begin(frame, owner).map_err(NotTaken::Refused)?;
        let queue = Arc::new(Queue::new(self.sizes.queue_messages, self.sizes.queue_bytes));
        for message in begun.before {
            // As many as wait for a listener fit.
            let _ = queue.push(Item::Message(message));
        }
        board.readers.insert(begun.name, Arc::clone(&queue));
        // Under the lock: messages go out in the order in which they were begun.
        let sending = self.outbox.put(begun.message, room);
        drop(board);
        Ok(Asked { link: Arc::clone(self), name: begun.name, queue, sending })
    }

    /// Sends a notification or an answer of `owner`. Cancel safe.
    pub(crate) async fn tell(&self, frame: &Frame, owner: Owner, until: Instant) -> Result<(), NotTaken> {
        let room = self.outbox.room(frame.bytes().len(), until).await.ok_or(NotTaken::Unread)?;
        let mut board = self.board.lock();
        board.touch()?;
        let message = board.switchboard.told(frame, owner).map_err(NotTaken::Refused)?;
        self.outbox.put(message, room);
        Ok(())
    }

    /// The stream of what nobody asked for. Who listened before listens no more.
    pub(crate) fn listen(self: &Arc<Self>) -> Result<Listening, NotTaken> {
        let mut board = self.board.lock();
        board.touch()?;
        let queue = Arc::new(Queue::new(self.sizes.queue_messages, self.sizes.queue_bytes));
        for message in board.switchboard.listen() {
            let _ = queue.push(Item::Message(message));
        }
        if let Some(before) = board.listener.replace(Arc::clone(&queue)) {
            before.finish(End::Clean);
        }
        Ok(Listening { link: Arc::clone(self), queue })
    }

    /// Asks its task to end it. The first reason stands.
    pub(crate) fn close(&self, why: LinkEnd) {
        self.closing.send_if_modified(|closing| closing.is_none() && closing.replace(why).is_none());
    }

    /// Whether it takes messages.
    pub(crate) fn is_open(&self) -> bool {
        self.closing.borrow().is_none() && !self.board.lock().ended
    }

    /// Requests that somebody waits for.
    pub(crate) fn in_flight(&self) -> usize {
        self.board.lock().switchboard.in_flight()
    }

    /// When it was used last, if nothing is under way on it; whether its client came back after the first message.
    pub(crate) fn rests_since(&self) -> Option<(Instant, bool)> {
        let board = self.board.lock();
        let rests = board.switchboard.in_flight() == 0 && board.listener.is_none();
        rests.then_some((board.last_used, board.messages > 1))
    }

    /// Sends what nobody waits for, if there is room.
    fn send_by_the_way(&self, message: Bytes) {
        match self.outbox.room_now(message.len()) {
            Some(room) => drop(self.outbox.put(message, room)),
            None => _ = self.metrics.unsent.inc(),
        }
    }

    /// A message of the server, to whom it belongs.
    pub(crate) fn deliver(&self, frame: &Frame) {
        let mut board = self.board.lock();
        let reply = match board.switchboard.incoming(frame) {
            Incoming::Answer(name, message) => {
                let full = board
                    .readers
                    .remove(&name)
                    .is_some_and(|queue| queue.push(Item::Answer(message)).is_err());
                if full {
                    self.metrics.torn.inc(LinkTear::Queue);
                }
                None
            }
            Incoming::Before(name, message) => {
                let full =
                    board.readers.get(&name).is_some_and(|queue| queue.push(Item::Message(message)).is_err());
                if full {
                    self.metrics.torn.inc(LinkTear::Queue);
                    board.readers.remove(&name);
                    board.switchboard.leave(name)
                } else {
                    None
                }
            }
            Incoming::Listener(message) => {
                if board.listener.as_ref().is_some_and(|queue| queue.push(Item::Message(message)).is_err()) {
                    self.metrics.torn.inc(LinkTear::Queue);
                    board.listener = None;
                    board.switchboard.stop_listening();
                }
                None
            }
            Incoming::Waits(dropped) => {
                self.metrics.dropped.get(LinkDrop::WaitingFull).inc_by(dropped as u64);
                None
            }
            Incoming::Dropped(why) => {
                self.metrics.dropped.inc(why);
                None
            }
            Incoming::Refused(reply) => {
                self.metrics.dropped.inc(LinkDrop::Unmatched);
                Some(reply)
            }
        };
        drop(board);
        if let Some(reply) = reply {
            self.send_by_the_way(reply);
        }
    }

    /// Nobody gets anything any more.
    pub(crate) fn end(&self) {
        let mut board = self.board.lock();
        board.ended = true;
        for (_, queue) in board.readers.drain() {
            self.metrics.torn.inc(LinkTear::Ended);
            queue.finish(End::Torn);
        }
        if let Some(queue) = board.listener.take() {
            queue.finish(End::Torn);
        }
    }

    /// Waits until somebody asks its task to end it.
    pub(crate) async fn closed(&self) -> LinkEnd {
        let mut closing = self.closing.subscribe();
        let why = closing.wait_for(Option::is_some).await;
        why.ok().and_then(|why| *why).unwrap_or(LinkEnd::Closed)
    }
}

impl Board {
    fn touch(&mut self) -> Result<(), NotTaken> {
        if self.ended {
            return Err(NotTaken::Ended);
        }
        self.last_used = clock::now();
        self.messages += 1;
        Ok(())
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut board = self.link.board.lock();
        if board.readers.remove(&self.name).is_none() {
            // Answered, or torn.
            return;
        }
        let cancelled = board.switchboard.leave(self.name);
        drop(board);
        if let Some(message) = cancelled {
            self.link.send_by_the_way(message);
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut board = self.link.board.lock();
        if board.listener.as_ref().is_some_and(|queue| Arc::ptr_eq(queue, &self.queue)) {
            board.listener = None;
            board.switchboard.stop_listening();
        }
    }
}
