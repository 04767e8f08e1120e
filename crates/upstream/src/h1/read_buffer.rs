//! How much to read at once.

use bytes::BytesMut;

/// For heads and small answers.
const READ_MIN: usize = 8 * 1024;

/// At once for a body that is known to be large.
const READ_LARGE: usize = 64 * 1024;

/// After reads that filled what they were given.
const READ_MAX: usize = 256 * 1024;

/// What an idle connection may keep.
const IDLE_MAX: usize = 16 * 1024;

// Growing from the smallest to the largest takes few reads, and an idle connection keeps the usual buffer.
const _: () = assert!(READ_MIN * 4 * 4 * 4 >= READ_MAX && READ_MIN <= IDLE_MAX);

/// Received and not taken yet, with a size for the next read that follows how much comes.
#[derive(Debug)]
pub(super) struct ReadBuffer {
    pub(super) bytes: BytesMut,
    next: usize,
    /// Reads in a row that brought little.
    small: u8,
}

impl ReadBuffer {
    pub(super) fn new() -> Self {
        Self { bytes: BytesMut::new(), next: READ_MIN, small: 0 }
    }

    /// Makes room for a read. `left` = bytes known to follow. One more than is expected is asked for: a read that comes back
    /// short tells the event loop that the socket is empty, without another system call, and shows surplus bytes.
    pub(super) fn make_room(&mut self, left: u64) {
        let known = usize::try_from(left).unwrap_or(usize::MAX).saturating_add(1).min(READ_LARGE);
        self.bytes.reserve(self.next.max(known));
    }

    /// Room for the next read.
    pub(super) fn room(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// `read` bytes came into `room`.
    pub(super) fn was_read(&mut self, read: usize, room: usize) {
        if read >= room {
            self.next = (room * 4).clamp(READ_MIN, READ_MAX);
            self.small = 0;
        } else if read < self.next / 4 && self.next > READ_MIN {
            // Twice in a row, because the last read of a body is short by nature.
            self.small += 1;
            if self.small == 2 {
                self.next = (self.next / 2).max(READ_MIN);
                self.small = 0;
            }
        } else {
            self.small = 0;
        }
    }

    /// Nothing came. A stream that says little holds no buffer while it is quiet; where much comes, it would only be asked for again.
    pub(super) fn wait(&mut self) {
        if self.bytes.is_empty() && self.next == READ_MIN {
            self.bytes = BytesMut::new();
        }
    }

    /// The connection will be idle.
    pub(super) fn rest(&mut self) {
        self.next = READ_MIN;
        if self.bytes.capacity() > IDLE_MAX {
            self.bytes = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_reads_make_it_grow_and_small_ones_shrink_it_again() {
        let mut buffer = ReadBuffer::new();
        buffer.make_room(0);
        assert!(buffer.room() >= READ_MIN && buffer.room() < READ_LARGE);
        for _ in 0..4 {
            let room = buffer.next;
            buffer.was_read(room, room);
        }
        assert_eq!(buffer.next, READ_MAX);
        for _ in 0..20 {
            buffer.was_read(10, READ_MAX);
        }
        assert_eq!(buffer.next, READ_MIN);
    }

    #[test]
    fn a_known_length_is_read_in_one_piece_but_never_more_than_the_limit() {
        let mut buffer = ReadBuffer::new();
        buffer.make_room(20_000);
        assert!((20_001..READ_LARGE).contains(&buffer.room()));
        let mut buffer = ReadBuffer::new();
        buffer.make_room(u64::MAX);
        assert!((READ_LARGE..=READ_MAX).contains(&buffer.room()));
    }

    #[test]
    fn a_quiet_stream_holds_nothing_and_one_that_is_not_keeps_its_buffer() {
        let mut buffer = ReadBuffer::new();
        buffer.make_room(0);
        buffer.bytes.extend_from_slice(b"half");
        buffer.wait();
        assert!(buffer.bytes.capacity() >= READ_MIN && buffer.bytes == b"half"[..]);
        buffer.bytes.clear();
        buffer.wait();
        assert_eq!(buffer.bytes.capacity(), 0);
        buffer.make_room(0);
        let room = buffer.room();
        buffer.was_read(room, room);
        buffer.wait();
        assert!(buffer.bytes.capacity() >= READ_MIN);
    }

    #[test]
    fn an_idle_connection_keeps_no_large_buffer() {
        let mut buffer = ReadBuffer::new();
        buffer.make_room(u64::MAX);
        buffer.rest();
        assert!(buffer.bytes.capacity() <= IDLE_MAX);
    }
}
