//! Messages that wait, in order and within a limit. A queue that is empty holds no memory for them, where a channel of tokio has a
//! first block with room for 32.

use bytes::Bytes;
use holdfast_upstream::clock;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    future::Future,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, Semaphore};

/// What a message costs besides its bytes.
const MESSAGE_COST: usize = 64;

/// What waits in a queue.
pub trait Waits {
    /// What it takes of the room.
    fn cost(&self) -> usize;
}

impl Waits for Bytes {
    fn cost(&self) -> usize {
        self.len().saturating_add(MESSAGE_COST)
    }
}

/// The end where messages come in. Clones share the room.
pub struct Sender<M>(Arc<Room<M>>);

/// The end where they go out.
pub struct Receiver<M>(Arc<Room<M>>);

/// The other end is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads these messages any more")]
pub struct Closed;

struct Room<M> {
    free: Semaphore,
    most: u32,
    /// Tells senders that nobody reads any more.
    gone: Notify,
    waiting: Mutex<Waiting<M>>,
}

struct Waiting<M> {
    messages: VecDeque<(M, u32)>,
    /// Since when the first of them is the first.
    since: Option<Instant>,
    senders: usize,
    /// Nothing comes behind them.
    finished: bool,
    unread: bool,
    reader: Option<Waker>,
}

/// A queue with room for `most`; one message is always let in.
pub fn queue<M: Waits>(most: usize) -> (Sender<M>, Receiver<M>) {
    let most = u32::try_from(most.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
    let waiting = Waiting {
        messages: VecDeque::new(),
        since: None,
        senders: 1,
        finished: false,
        unread: false,
        reader: None,
    };
    let room = Arc::new(Room {
        free: Semaphore::new(most as usize),
        most,
        gone: Notify::new(),
        waiting: Mutex::new(waiting),
    });
    (Sender(Arc::clone(&room)), Receiver(room))
}

impl<M: Waits + Send> Sender<M> {
    /// Waits for room, behind all who waited before, and puts the message in. Cancel safe.
    pub fn push(&self, message: M) -> impl Future<Output = Result<(), Closed>> + Send {
        let room = &self.0;
        let cost = message.cost().min(room.most as usize) as u32;
        // A block holds the message once; an async function would hold it twice, in futures that live for hours.
        async move {
            room.free.acquire_many(cost).await.map_err(|_| Closed)?.forget();
            let reader = {
                let mut waiting = room.waiting.lock();
                if waiting.unread || waiting.finished {
                    return Err(Closed);
                }
                waiting.since.get_or_insert_with(clock::now);
                waiting.messages.push_back((message, cost));
                waiting.reader.take()
            };
            if let Some(reader) = reader {
                reader.wake();
            }
            Ok(())
        }
    }
}

impl<M> Sender<M> {
    /// Nothing comes after what was put in before.
    pub fn finish(&self) {
        self.0.waiting.lock().finish();
    }

    /// Waits until the other end is gone. Cancel safe.
    pub async fn closed(&self) {
        let gone = self.0.gone.notified();
        // Asked after it is waited for: nothing falls in between.
        if !self.0.waiting.lock().unread {
            gone.await;
        }
    }

    /// Whether the first message has waited for so long.
    pub fn is_stuck(&self, limit: Duration) -> bool {
        let since = self.0.waiting.lock().since;
        since.is_some_and(|since| clock::now().saturating_duration_since(since) >= limit)
    }
}

impl<M> Waiting<M> {
    fn finish(&mut self) {
        self.finished = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl<M> Clone for Sender<M> {
    fn clone(&self) -> Self {
        self.0.waiting.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<M> Drop for Sender<M> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.lock();
        waiting.senders -= 1;
        if waiting.senders == 0 {
            waiting.finish();
        }
    }
}

impl<M> Receiver<M> {
    /// The next message; `None` after the last. Cancel safe.
    pub async fn next(&mut self) -> Option<M> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`next`](Self::next).
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<M>> {
        let (message, cost) = {
            let mut waiting = self.0.waiting.lock();
            let Some(first) = waiting.messages.pop_front() else {
                if waiting.finished {
                    return Poll::Ready(None);
                }
                if !waiting.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
                    waiting.reader = Some(cx.waker().clone());
                }
                return Poll::Pending;
            };
            waiting.since = if waiting.messages.is_empty() {
                waiting.messages = VecDeque::new();
                None
            } else {
                Some(clock::now())
            };
            first
        };
        self.0.free.add_permits(cost as usize);
        Poll::Ready(Some(message))
    }
}

impl<M> Drop for Receiver<M> {
    fn drop(&mut self) {
        let left = {
            let mut waiting = self.0.waiting.lock();
            (waiting.unread, waiting.reader) = (true, None);
            std::mem::take(&mut waiting.messages)
        };
        drop(left);
        // Whoever waits for room, or for this, hears of it.
        self.0.free.close();
        self.0.gone.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> Bytes {
        vec![b'x'; length].into()
    }

    #[tokio::test]
    async fn messages_come_out_in_their_order_and_the_end_after_them() {
        let (sender, mut receiver) = queue(10_000);
        for length in 1..50 {
            sender.push(message(length)).await.unwrap();
        }
        sender.finish();
        for length in 1..50 {
            assert_eq!(receiver.next().await.unwrap().len(), length);
        }
        assert_eq!((receiver.next().await, receiver.next().await), (None, None));
    }

    #[tokio::test]
    async fn a_full_queue_stops_its_sender_and_one_message_is_always_let_in() {
        let (sender, mut receiver) = queue(1000);
        sender.push(message(5000)).await.unwrap();
        let mut second = Box::pin(sender.push(message(1)));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert_eq!(receiver.next().await.unwrap().len(), 5000);
        second.await.unwrap();
        assert_eq!(receiver.next().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn whoever_waits_hears_that_nobody_reads_any_more() {
        let (sender, receiver) = queue(100);
        sender.push(message(100)).await.unwrap();
        let waiting = sender.push(message(100));
        drop(receiver);
        assert_eq!(waiting.await, Err(Closed));
        sender.closed().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_is_stuck_when_its_first_message_is_not_taken() {
        let limit = Duration::from_mins(1);
        let (sender, mut receiver) = queue(1000);
        tokio::time::advance(limit).await;
        assert!(!sender.is_stuck(limit), "nothing waits");
        for _ in 0..2 {
            sender.push(message(1)).await.unwrap();
        }
        tokio::time::advance(limit / 2).await;
        receiver.next().await.unwrap();
        tokio::time::advance(limit / 2).await;
        assert!(!sender.is_stuck(limit), "something was taken meanwhile");
        tokio::time::advance(limit / 2).await;
        assert!(sender.is_stuck(limit));
        receiver.next().await.unwrap();
        assert!(!sender.is_stuck(limit));
    }
}
