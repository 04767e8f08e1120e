//! Messages that wait, in order and within a number of bytes. One that is empty holds no memory for them.

use bytes::Bytes;
use holdfast_upstream::clock;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, Semaphore};

/// What a message costs besides its bytes.
const MESSAGE_COST: usize = 64;

/// The end where messages come in. Clones share the room.
pub struct Sender(Arc<Room>);

/// The end where they go out.
pub struct Receiver(Arc<Room>);

/// The other end is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads these messages any more")]
pub struct Closed;

struct Room {
    bytes: Semaphore,
    most: u32,
    /// Tells senders that nobody reads any more.
    gone: Notify,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    messages: VecDeque<(Bytes, u32)>,
    /// Since when the first of them is the first.
    since: Option<Instant>,
    senders: usize,
    /// Nothing comes behind them.
    finished: bool,
    unread: bool,
    reader: Option<Waker>,
}

/// A queue of at most `bytes_max`; one message is always let in.
pub(crate) fn queue(bytes_max: usize) -> (Sender, Receiver) {
    let most = u32::try_from(bytes_max.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
    let waiting = Waiting {
        messages: VecDeque::new(),
        since: None,
        senders: 1,
        finished: false,
        unread: false,
        reader: None,
    };
    let room = Arc::new(Room {
        bytes: Semaphore::new(most as usize),
        most,
        gone: Notify::new(),
        waiting: Mutex::new(waiting),
    });
    (Sender(Arc::clone(&room)), Receiver(room))
}

impl Sender {
    /// Waits for room, behind all who waited before, and puts the message in. Cancel safe.
    pub async fn push(&self, message: Bytes) -> Result<(), Closed> {
        let room = &self.0;
        let cost = message.len().saturating_add(MESSAGE_COST).min(room.most as usize) as u32;
        room.bytes.acquire_many(cost).await.map_err(|_| Closed)?.forget();
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

impl Waiting {
    fn finish(&mut self) {
        self.finished = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl Clone for Sender {
    fn clone(&self) -> Self {
        self.0.waiting.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.lock();
        waiting.senders -= 1;
        if waiting.senders == 0 {
            waiting.finish();
        }
    }
}

impl Receiver {
    /// The next message; `None` after the last. Cancel safe.
    pub async fn next(&mut self) -> Option<Bytes> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`next`](Self::next).
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
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
        self.0.bytes.add_permits(cost as usize);
        Poll::Ready(Some(message))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let left = {
            let mut waiting = self.0.waiting.lock();
            (waiting.unread, waiting.reader) = (true, None);
            std::mem::take(&mut waiting.messages)
        };
        drop(left);
        // Whoever waits for room, or for this, hears of it.
        self.0.bytes.close();
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
