//! What a server said to one reader, until it reads.

use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
};

/// Something for a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A message; others follow.
    Message(Bytes),
    /// The last message.
    Answer(Bytes),
}

/// The end of what can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing follows, and nothing is missing.
    Clean,
    /// It broke off.
    Torn,
}

/// The reader does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Bounded: whoever fills it never waits, whoever reads it does.
#[derive(Debug)]
pub(crate) struct Queue {
    messages_max: usize,
    bytes_max: usize,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    items: VecDeque<Item>,
    bytes: usize,
    end: Option<End>,
    waker: Option<Waker>,
}

impl Queue {
    pub(crate) fn new(messages_max: usize, bytes_max: usize) -> Self {
        Self { messages_max, bytes_max, inside: Mutex::default() }
    }

    /// One more for the reader. One is always let in. When there is no room the queue is torn: what waits is read, then the break.
    pub(crate) fn push(&self, item: Item) -> Result<(), Full> {
        let size = item.size();
        let mut inside = self.inside.lock();
        if inside.end.is_some() {
            return Ok(());
        }
        let is_full = inside.items.len() >= self.messages_max || inside.bytes + size > self.bytes_max;
        if is_full && !inside.items.is_empty() {
            inside.finish(End::Torn);
            return Err(Full);
        }
        inside.bytes += size;
        if matches!(item, Item::Answer(_)) {
            inside.end = Some(End::Clean);
        }
        inside.items.push_back(item);
        inside.wake();
        Ok(())
    }

    /// Nothing more comes. The first end stands.
    pub(crate) fn finish(&self, end: End) {
        self.inside.lock().finish(end);
    }

    /// The next item, or the end behind the last.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<Item, End>> {
        let mut inside = self.inside.lock();
        if let Some(item) = inside.items.pop_front() {
            inside.bytes -= item.size();
            return Poll::Ready(Ok(item));
        }
        if let Some(end) = inside.end {
            return Poll::Ready(Err(end));
        }
        if !inside.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            inside.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Inside {
    fn finish(&mut self, end: End) {
        if self.end.is_none() {
            self.end = Some(end);
            self.wake();
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Item {
    fn size(&self) -> usize {
        match self {
            Self::Message(bytes) | Self::Answer(bytes) => bytes.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::future::poll_fn;

    fn next(queue: &Queue) -> Option<Result<Item, End>> {
        poll_fn(|cx| queue.poll(cx)).now_or_never()
    }

    fn message(length: usize) -> Item {
        Item::Message(Bytes::from(vec![b'x'; length]))
    }

    #[test]
    fn one_item_is_let_in_whatever_its_size_and_no_second_beyond_the_limit() {
        let queue = Queue::new(8, 10);
        assert_eq!(queue.push(message(100)), Ok(()));
        assert_eq!(queue.push(message(1)), Err(Full));
        assert_eq!(queue.push(message(1)), Ok(()), "torn already: taken and dropped");
        assert_eq!(next(&queue), Some(Ok(message(100))));
        assert_eq!(next(&queue), Some(Err(End::Torn)));
    }

    #[test]
    fn an_answer_ends_what_can_be_read() {
        let queue = Queue::new(2, 10);
        assert_eq!(next(&queue), None);
        queue.push(Item::Answer(Bytes::from_static(b"a"))).unwrap();
        queue.finish(End::Torn);
        queue.push(message(1)).unwrap();
        assert_eq!(next(&queue), Some(Ok(Item::Answer(Bytes::from_static(b"a")))));
        assert_eq!(next(&queue), Some(Err(End::Clean)));
    }

    #[test]
    fn messages_are_counted_too() {
        let queue = Queue::new(2, 1000);
        assert!(queue.push(message(1)).is_ok() && queue.push(message(1)).is_ok());
        assert_eq!(queue.push(message(1)), Err(Full));
    }
}
