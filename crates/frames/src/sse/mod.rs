//! Server-sent events (WHATWG HTML "Server-sent events"): an incremental parser and a writer.
//!
//! The parser takes bytes as they arrive and gives whole events. An event keeps its raw bytes, so that one which needs
//! no change passes as it came. How the bytes were cut makes no difference.

mod event;
mod write;

#[cfg(test)]
mod tests;

pub use event::Event;
pub use write::{KEEP_ALIVE, comment, event, message, priming, retry};

use bytes::{Buf, Bytes, BytesMut};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Splits a stream into events. Holds at most one unfinished event and what was pushed after it.
#[derive(Debug)]
pub struct Parser {
    pending: BytesMut,
    /// Bytes of `pending` that have been searched.
    searched: usize,
    /// Where the line begins that holds byte `searched`.
    line: usize,
    /// The previous event ended with CR, which an LF may still follow.
    after_cr: bool,
    /// The stream may still begin with a byte order mark.
    at_start: bool,
    event_bytes_max: usize,
    failed: bool,
}

/// An event above the size limit. The stream cannot be followed further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than {0} bytes (mcp.max_response_bytes)")]
pub struct EventTooLarge(pub usize);

impl Parser {
    /// A parser at the beginning of a stream. `event_bytes_max` bounds one event, its field names included.
    pub fn new(event_bytes_max: usize) -> Self {
        Self {
            pending: BytesMut::new(),
            searched: 0,
            line: 0,
            after_cr: false,
            at_start: true,
            event_bytes_max,
            failed: false,
        }
    }

    /// Takes the next bytes. Call [`next`](Self::next) until it gives None before pushing more.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.failed {
            self.pending.extend_from_slice(bytes);
        }
    }

    /// The next whole event, or None when more bytes are needed. After an error always None.
    ///
    /// Blocks of comments alone are events without data: keep-alives pass through as what they are.
    #[expect(clippy::should_implement_trait, reason = "not an iterator: None means more bytes are needed")]
    pub fn next(&mut self) -> Option<Result<Event, EventTooLarge>> {
        if self.failed || !self.begin() {
            return None;
        }
        match self.find_end() {
            Some(end) if end <= self.event_bytes_max => Some(Ok(Event::new(&self.take(end)))),
            None if self.pending.len() <= self.event_bytes_max => None,
            _ => {
                self.failed = true;
                self.pending = BytesMut::new();
                Some(Err(EventTooLarge(self.event_bytes_max)))
            }
        }
    }

    /// True when the stream may end here: nothing but a whole number of events was seen. Otherwise the rest is an event
    /// that never arrived, and is to be dropped ("any pending data must be discarded").
    pub fn is_between_events(&self) -> bool {
        !self.failed && self.pending.is_empty()
    }

    /// Skips what belongs to no event. False when more bytes are needed.
    fn begin(&mut self) -> bool {
        if self.at_start {
            if self.pending.len() < BOM.len() && BOM.starts_with(&self.pending) {
                return false;
            }
            if self.pending.starts_with(BOM) {
                self.pending.advance(BOM.len());
            }
            self.at_start = false;
        }
        if self.after_cr && !self.pending.is_empty() {
            self.after_cr = false;
            if self.pending[0] == b'\n' {
                self.pending.advance(1);
            }
        }
        !self.pending.is_empty()
    }

    /// Where the event ends: behind the line break of an empty line.
    fn find_end(&mut self) -> Option<usize> {
        while let Some(found) =
            self.pending[self.searched..].iter().position(|byte| matches!(byte, b'\n' | b'\r'))
        {
            let at = self.searched + found;
            let is_empty = at == self.line;
            let is_cr = self.pending[at] == b'\r';
            let next = self.pending.get(at + 1);
            // A CR at the very end of a line with text: whether an LF belongs to it shows with the next byte.
            if is_cr && next.is_none() && !is_empty {
                self.searched = at;
                return None;
            }
            let end = at + 1 + usize::from(is_cr && next == Some(&b'\n'));
            if is_empty {
                // An empty line ends the event at once: waiting for a possible LF would hold it back.
                self.after_cr = is_cr && next.is_none();
                return Some(end);
            }
            self.searched = end;
            self.line = end;
        }
        self.searched = self.pending.len();
        None
    }

    fn take(&mut self, end: usize) -> Bytes {
        self.searched = 0;
        self.line = 0;
        if end == self.pending.len() {
            // The event takes the buffer along: a stream that is quiet after it holds none.
            return std::mem::take(&mut self.pending).freeze();
        }
        self.pending.split_to(end).freeze()
    }
}
