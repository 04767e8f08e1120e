//! What waits until a server reads it.

use bytes::Bytes;
use holdfast_upstream::clock;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// What a message costs beyond its bytes.
const MESSAGE_COST: usize = 256;

/// Whether the server may have got a message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sending(Arc<AtomicBool>);

impl Sending {
    /// From here on it may.
    fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

struct Waiting {
    message: Bytes,
    sending: Sending,
    room: OwnedSemaphorePermit,
}

/// The side of those who send. First come, first served.
#[derive(Debug)]
pub(crate) struct Outbox {
    room: Arc<Semaphore>,
    most: usize,
    queue: mpsc::UnboundedSender<Waiting>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("bytes", &self.message.len()).finish_non_exhaustive()
    }
}

/// Room for one message.
#[must_use]
pub(crate) struct Room(OwnedSemaphorePermit);

/// The side of the link.
#[derive(Debug)]
pub(crate) struct Letters(mpsc::UnboundedReceiver<Waiting>);

/// A message on its way; its room is free again when this is dropped.
pub(crate) struct Letter {
    pub(crate) message: Bytes,
    #[expect(dead_code, reason = "held until the message is written")]
    room: OwnedSemaphorePermit,
}

impl Outbox {
    /// Of at most `bytes_max` at once. One message is always let in.
    pub(crate) fn new(bytes_max: usize) -> (Self, Letters) {
        let most = bytes_max.clamp(MESSAGE_COST, u32::MAX as usize);
        let (queue, letters) = mpsc::unbounded_channel();
        (Self { room: Arc::new(Semaphore::new(most)), most, queue }, Letters(letters))
    }

    fn cost(&self, length: usize) -> u32 {
        // `most` fits.
        (length + MESSAGE_COST).min(self.most) as u32
    }

    /// Waits for room for `length` bytes; `None` if there is none in time. Cancel safe.
    pub(crate) async fn room(&self, length: usize, until: Instant) -> Option<Room> {
        let room = Arc::clone(&self.room).acquire_many_owned(self.cost(length));
        clock::timeout_at(until, room).await.ok()?.ok().map(Room)
    }

    /// Room at once, or none.
    pub(crate) fn room_now(&self, length: usize) -> Option<Room> {
        Arc::clone(&self.room).try_acquire_many_owned(self.cost(length)).ok().map(Room)
    }

    /// Puts a message in. When the link has ended, nobody takes it out.
    pub(crate) fn put(&self, message: Bytes, room: Room) -> Sending {
        let sending = Sending::default();
        let _ = self.queue.send(Waiting { message, sending: sending.clone(), room: room.0 });
        sending
    }
}

impl Letters {
    /// The next message. It counts as sent from here on. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Letter> {
        let Waiting { message, sending, room } = self.0.recv().await?;
        sending.begin();
        Some(Letter { message, room })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn room_is_limited_and_comes_back_when_the_message_is_written() {
        let (outbox, mut letters) = Outbox::new(1000);
        let until = || clock::now() + Duration::from_secs(1);
        let large = outbox.room(5000, until()).await.unwrap();
        let sending = outbox.put(Bytes::from_static(b"large"), large);
        assert!(outbox.room(1, until()).await.is_none(), "a message above the limit takes all of it");
        assert!(outbox.room_now(1).is_none());
        assert!(!sending.has_begun());
        let letter = letters.next().await.unwrap();
        assert!(sending.has_begun() && outbox.room_now(1).is_none());
        drop(letter);
        assert!(outbox.room_now(1).is_some());
    }
}
