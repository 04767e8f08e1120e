//! What is on its way to the socket: the head, and the body framed piece by piece.

use super::request::{self, BodySize, Framing, RequestHead};
use bytes::{Buf as _, Bytes};
use http::HeaderName;
use http_body::Frame;
use std::io::{IoSlice, Write as _};

/// A piece of a body up to this size is copied behind what is before it; a larger one is written from where it is.
const COPY_MAX: usize = 4 * 1024;

/// No more is gathered for one write.
const GATHER_MAX: usize = 16 * 1024;

/// Room an idle connection keeps for the next head.
const IDLE_MAX: usize = 16 * 1024;

/// The body is longer or shorter than what its head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request body is not as long as its Content-Length says")]
pub(super) struct BadLength;

/// Bytes in the order in which they are written: `wire`, then `data`, then `tail`.
#[derive(Debug)]
pub(super) struct Outgoing {
    wire: Vec<u8>,
    /// Of `wire`, already written.
    written: usize,
    data: Bytes,
    tail: &'static [u8],
    framing: Framing,
    trailers: Vec<HeaderName>,
}

impl Outgoing {
    pub(super) fn new() -> Self {
        Self {
            wire: Vec::new(),
            written: 0,
            data: Bytes::new(),
            tail: b"",
            framing: Framing::None,
            trailers: Vec::new(),
        }
    }

    /// Begins a request.
    pub(super) fn begin(&mut self, head: &RequestHead<'_>, body: BodySize) {
        self.wire.clear();
        self.written = 0;
        self.data = Bytes::new();
        self.tail = b"";
        self.framing = request::write(head, body, &mut self.wire);
        self.trailers = if self.framing == Framing::Chunked {
            request::announced_trailers(head.headers)
        } else {
            Vec::new()
        };
    }

    /// Whether a frame of the body may be added.
    pub(super) fn has_room(&self) -> bool {
        self.data.is_empty() && self.tail.is_empty() && self.wire.len() < GATHER_MAX
    }

    /// Everything was written.
    pub(super) fn is_empty(&self) -> bool {
        self.data.is_empty() && self.tail.is_empty() && self.written == self.wire.len()
    }

    /// Whether all bytes that the head promised were added.
    pub(super) fn owes_nothing(&self) -> bool {
        self.framing == Framing::None
    }

    /// Adds a frame. Needs [`Self::has_room`].
    pub(super) fn add(&mut self, frame: Frame<Bytes>) -> Result<(), BadLength> {
        match frame.into_data() {
            Ok(data) if data.is_empty() => Ok(()),
            Ok(data) => self.add_data(data),
            Err(frame) => {
                if let (Framing::Chunked, Ok(trailers)) = (self.framing, frame.into_trailers()) {
                    self.wire.extend_from_slice(b"0\r\n");
                    for (name, value) in trailers.iter().filter(|(name, _)| self.trailers.contains(name)) {
                        request::field(name, value, &mut self.wire);
                    }
                    self.wire.extend_from_slice(b"\r\n");
                    self.framing = Framing::None;
                }
                Ok(())
            }
        }
    }

    fn add_data(&mut self, data: Bytes) -> Result<(), BadLength> {
        match &mut self.framing {
            Framing::None => return Err(BadLength),
            Framing::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(BadLength)?;
                if *left == 0 {
                    self.framing = Framing::None;
                }
                self.append(data);
            }
            Framing::Chunked => {
                // Writing into a Vec cannot fail.
                let _ = write!(self.wire, "{:X}\r\n", data.len());
                if data.len() <= COPY_MAX {
                    self.append(data);
                    self.wire.extend_from_slice(b"\r\n");
                } else {
                    self.data = data;
                    self.tail = b"\r\n";
                }
            }
        }
        Ok(())
    }

    fn append(&mut self, data: Bytes) {
        if data.len() <= COPY_MAX {
            self.wire.extend_from_slice(&data);
        } else {
            self.data = data;
        }
    }

    /// The body has ended.
    pub(super) fn finish(&mut self) -> Result<(), BadLength> {
        match self.framing {
            Framing::None => Ok(()),
            Framing::Length(_) => Err(BadLength),
            Framing::Chunked => {
                self.wire.extend_from_slice(b"0\r\n\r\n");
                self.framing = Framing::None;
                Ok(())
            }
        }
    }

    /// What is to be written next, in order.
    pub(super) fn slices(&self) -> [IoSlice<'_>; 3] {
        [IoSlice::new(&self.wire[self.written..]), IoSlice::new(&self.data), IoSlice::new(self.tail)]
    }

    /// `count` bytes of [`Self::slices`] were written.
    pub(super) fn advance(&mut self, count: usize) {
        let of_wire = count.min(self.wire.len() - self.written);
        self.written += of_wire;
        let of_data = (count - of_wire).min(self.data.len());
        self.data.advance(of_data);
        self.tail = self.tail.get(count - of_wire - of_data..).unwrap_or_default();
        if self.is_empty() {
            self.restart();
        }
    }

    /// Everything is sent, and what is waited for may take long.
    pub(super) fn wait(&mut self) {
        if self.is_empty() {
            self.wire = Vec::new();
            self.written = 0;
        }
    }

    fn restart(&mut self) {
        self.wire.clear();
        self.written = 0;
    }

    /// The connection will be idle.
    pub(super) fn rest(&mut self) {
        self.restart();
        if self.wire.capacity() > IDLE_MAX {
            self.wire = Vec::new();
        }
    }
}

#[cfg(test)]
#[path = "outgoing_tests.rs"]
mod tests;
