//! Memory of JSON answers that are read whole, over all requests of this process.
//!
//! An answer that comes in one piece is the connection's own read buffer and costs nothing here. One in several pieces is
//! put together in memory that is counted, to the byte of its capacity, until the last reader of the whole has let go.

use bytes::Bytes;
use holdfast_telemetry::metrics::McpMetrics;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Bytes in use by all of them.
#[derive(Debug, Default)]
pub(crate) struct Answers(AtomicUsize);

impl Answers {
    /// Bytes in use now.
    pub(crate) fn used(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Where the memory of one answer comes from. Nothing is taken before its second piece.
#[derive(Clone)]
pub(crate) struct Room {
    pub(crate) answers: Arc<Answers>,
    /// `mcp.response_bytes_total`
    pub(crate) limit: usize,
    pub(crate) metrics: Arc<McpMetrics>,
}

/// All room is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// An answer as far as it is there. Dropping it gives its memory back.
pub(crate) struct Pieces {
    bytes: Vec<u8>,
    taken: Option<Taken>,
}

impl Pieces {
    /// Nothing yet. Without a room nothing is counted: messages of clients, which connections bound.
    pub(crate) fn new(room: Option<&Room>) -> Self {
        Self { bytes: Vec::new(), taken: room.map(|room| Taken { bytes: 0, room: room.clone() }) }
    }

    /// Appends a piece. Without room nothing changes.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), NoRoom> {
        let needed = self.bytes.len() + piece.len();
        if needed > self.bytes.capacity() {
            let capacity =
                self.take(needed.max(2 * self.bytes.capacity())).or_else(|NoRoom| self.take(needed))?;
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    fn take(&mut self, capacity: usize) -> Result<usize, NoRoom> {
        self.taken.as_mut().map_or(Ok(()), |taken| taken.grow_to(capacity))?;
        Ok(capacity)
    }

    /// The whole. Its memory is given back with the last clone.
    pub(crate) fn finish(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Pieces {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

struct Taken {
    bytes: usize,
    room: Room,
}

impl Taken {
    fn grow_to(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let more = bytes - self.bytes;
        let before = self.room.answers.0.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > self.room.limit {
            self.room.answers.0.fetch_sub(more, Ordering::Relaxed);
            return Err(NoRoom);
        }
        self.room.metrics.answers_held.inc_by(signed(more));
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.answers.0.fetch_sub(self.bytes, Ordering::Relaxed);
        self.room.metrics.answers_held.dec_by(signed(self.bytes));
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_telemetry::Registry;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn room(limit: usize) -> Room {
        let registry = Registry::new(&BTreeMap::new()).unwrap();
        let metrics = Arc::new(McpMetrics::new(&registry, "s"));
        Room { answers: Arc::default(), limit, metrics }
    }

    #[test]
    fn memory_is_held_until_the_last_reader_lets_go() {
        let room = room(100);
        let mut pieces = Pieces::new(Some(&room));
        pieces.push(&[1; 60]).unwrap();
        let whole = pieces.finish();
        assert_eq!((room.answers.used(), room.metrics.answers_held.get()), (60, 60));
        let part = whole.slice(3..5);
        drop(whole);
        assert_eq!(room.answers.used(), 60, "a part keeps the whole");
        drop(part);
        assert_eq!((room.answers.used(), room.metrics.answers_held.get()), (0, 0));
    }

    #[test]
    fn the_limit_is_that_of_all_together_and_is_used_to_the_last_byte() {
        let room = room(100);
        let (mut one, mut other) = (Pieces::new(Some(&room)), Pieces::new(Some(&room)));
        one.push(&[1; 60]).unwrap();
        assert_eq!(other.push(&[2; 41]), Err(NoRoom));
        other.push(&[2; 30]).unwrap();
        other.push(&[2; 10]).unwrap();
        assert_eq!(one.push(&[1]), Err(NoRoom));
        drop(other);
        one.push(&[1; 40]).unwrap();
        assert_eq!(one.finish().len(), 100);
    }

    proptest! {
        #[test]
        fn what_is_pushed_comes_out_and_everything_is_given_back(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20),
            limit in 0usize..600,
        ) {
            let room = room(limit);
            let mut answer = Pieces::new(Some(&room));
            let mut expected = Vec::new();
            for piece in &pieces {
                let fits = expected.len() + piece.len() <= limit;
                prop_assert_eq!(answer.push(piece).is_ok(), fits);
                if fits {
                    expected.extend_from_slice(piece);
                }
                prop_assert!(room.answers.used() <= limit);
            }
            let whole = answer.finish();
            prop_assert_eq!(&whole[..], &expected[..]);
            drop(whole);
            prop_assert_eq!(room.answers.used(), 0);
        }
    }
}
