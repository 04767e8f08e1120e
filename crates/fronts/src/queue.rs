//! Messages that wait, in order and within a number of bytes.

use bytes::Bytes;
use holdfast_upstream::clock;
use parking_lot::Mutex;
use std::{
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, mpsc};

/// What a message costs besides its bytes.
const MESSAGE_COST: usize = 64;

/// The end where messages come in. Clones share the room.
#[derive(Clone)]
pub struct Sender {
    messages: mpsc::UnboundedSender<Option<(Bytes, u32)>>,
    room: Room,
}

/// The end where they go out.
pub struct Receiver {
    messages: mpsc::UnboundedReceiver<Option<(Bytes, u32)>>,
    room: Room,
    finished: bool,
}

/// The other end is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads these messages any more")]
pub struct Closed;

#[derive(Clone)]
struct Room {
    bytes: Arc<Semaphore>,
    most: u32,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    messages: usize,
    /// Since when the first of them is the first.
    since: Option<Instant>,
}

/// A queue of at most `bytes_max`; one message is always let in.
pub(crate) fn queue(bytes_max: usize) -> (Sender, Receiver) {
    let most = u32::try_from(bytes_max.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
    let room = Room { bytes: Arc::new(Semaphore::new(most as usize)), most, waiting: Arc::default() };
    let (sender, receiver) = mpsc::unbounded_channel();
    (Sender { messages: sender, room: room.clone() }, Receiver { messages: receiver, room, finished: false })
}

impl Sender {
    /// Waits for room, behind all who waited before, and puts the message in. Cancel safe.
    pub async fn push(&self, message: Bytes) -> Result<(), Closed> {
        let cost = message.len().saturating_add(MESSAGE_COST).min(self.room.most as usize) as u32;
        self.room.bytes.acquire_many(cost).await.map_err(|_| Closed)?.forget();
        {
            let mut waiting = self.room.waiting.lock();
            waiting.messages += 1;
            waiting.since.get_or_insert_with(clock::now);
        }
        self.messages.send(Some((message, cost))).map_err(|_| Closed)
    }

    /// Nothing comes after what was put in before.
    pub fn finish(&self) {
        // Nobody reads it: then there is nobody to tell.
        let _ = self.messages.send(None);
    }

    /// Waits until the other end is gone. Cancel safe.
    pub async fn closed(&self) {
        self.messages.closed().await;
    }

    /// Whether the first message has waited for so long.
    pub fn is_stuck(&self, limit: Duration) -> bool {
        let since = self.room.waiting.lock().since;
        since.is_some_and(|since| clock::now().saturating_duration_since(since) >= limit)
    }
}

impl Receiver {
    /// The next message; `None` after the last. Cancel safe.
    pub async fn next(&mut self) -> Option<Bytes> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`next`](Self::next).
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.finished {
            return Poll::Ready(None);
        }
        let Some((message, cost)) = std::task::ready!(self.messages.poll_recv(cx)).flatten() else {
            self.finished = true;
            return Poll::Ready(None);
        };
        {
            let mut waiting = self.room.waiting.lock();
            waiting.messages -= 1;
            waiting.since = (waiting.messages > 0).then(clock::now);
        }
        self.room.bytes.add_permits(cost as usize);
        Poll::Ready(Some(message))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Whoever waits for room hears of it.
        self.room.bytes.close();
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
