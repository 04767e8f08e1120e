//! The framing guard: decides, before the HTTP parser sees a byte, where each HTTP/1 message begins and ends.
//!
//! Request smuggling lives where two parsers disagree about that. So whatever is ambiguous is refused, not repaired. The guard
//! is a pure state machine over bytes that arrive in any pieces: it says how many bytes may be passed on, and never passes a
//! head that is not complete and sound. What it passes, hyper frames in the same way (tested differentially).
//!
//! Cost: one search per line, one vectorised pass for control bytes, four name lengths compared; bodies are skipped in bulk.

mod chunks;
mod head;
mod violation;

#[cfg(test)]
mod tests;

pub use violation::Violation;

use chunks::ChunkScan;
use head::{BodyFraming, Framing, HeadLimits, HeadScan};

/// Bytes of trailers: what hyper reads of them at most.
const MAX_TRAILER_BYTES: usize = 16 * 1024 - 1;

/// Where in a message the connection is: what the sweeper's deadlines depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// Between messages, no byte of the next one was seen.
    Between,
    /// In a head.
    Head,
    /// In a body or its trailers.
    Body,
    /// After a request that asked for another protocol: nothing passes before it is answered.
    Undecided,
    /// No longer HTTP/1.
    Tunnel,
}

#[derive(Clone, Debug)]
enum State {
    Head(HeadScan),
    Length(u64),
    Chunks(ChunkScan),
    Trailers(HeadScan),
    Undecided,
    Tunnel,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    state: State,
    /// The message under way asked for another protocol.
    upgrade: bool,
    violation: Option<Violation>,
    heads: u32,
    limits: HeadLimits,
}

impl Guard {
    /// A guard at the start of a connection.
    pub(crate) const fn new(max_header_bytes: usize, max_headers: usize) -> Self {
        Self {
            state: State::Head(HeadScan::request()),
            upgrade: false,
            violation: None,
            heads: 0,
            limits: HeadLimits { bytes: max_header_bytes, lines: max_headers },
        }
    }

    /// Looks at `bytes`, which begin with the first byte not yet passed, and returns how many of them may be passed now. The
    /// rest has to be given again, in front of what arrives next.
    ///
    /// Ask [`Guard::violation`] afterwards: bytes in front of a violation are still sound.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while passed < bytes.len() && self.violation.is_none() {
            match self.step(&bytes[passed..]) {
                Ok(0) => break,
                Ok(taken) => passed += taken,
                Err(violation) => self.violation = Some(violation),
            }
        }
        passed
    }

    /// One message part; 0 means that more bytes are needed.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        match &mut self.state {
            State::Head(scan) => {
                let Some(framing) = scan.feed(bytes, self.limits)? else { return Ok(0) };
                self.begin(framing);
                Ok(framing.len)
            }
            State::Length(left) => {
                let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= taken as u64;
                if *left == 0 {
                    self.end();
                }
                Ok(taken)
            }
            State::Chunks(scan) => {
                let taken = scan.feed(bytes)?;
                if scan.is_done() {
                    self.state = State::Trailers(HeadScan::trailers());
                }
                Ok(taken)
            }
            State::Trailers(scan) => {
                let limits = HeadLimits { bytes: self.limits.bytes.min(MAX_TRAILER_BYTES), ..self.limits };
                let Some(framing) = scan.feed(bytes, limits)? else { return Ok(0) };
                self.end();
                Ok(framing.len)
            }
            State::Undecided => Ok(0),
            State::Tunnel => Ok(bytes.len()),
        }
    }

    fn begin(&mut self, framing: Framing) {
        self.heads = self.heads.wrapping_add(1);
        self.upgrade = framing.upgrade;
        match framing.body {
            BodyFraming::None => self.end(),
            BodyFraming::Length(length) => self.state = State::Length(length),
            BodyFraming::Chunked => self.state = State::Chunks(ChunkScan::new()),
        }
    }

    fn end(&mut self) {
        self.state = if self.upgrade { State::Undecided } else { State::Head(HeadScan::request()) };
        self.upgrade = false;
    }

    /// What was refused, if anything was. Final.
    pub(crate) const fn violation(&self) -> Option<Violation> {
        self.violation
    }

    /// Heads passed so far.
    pub(crate) const fn heads(&self) -> u32 {
        self.heads
    }

    /// Whether the last head asks for another protocol and is not answered: its body may still be passing.
    pub(crate) const fn is_upgrading(&self) -> bool {
        self.upgrade || matches!(self.state, State::Undecided | State::Tunnel)
    }

    /// Where the next byte would belong.
    pub(crate) const fn position(&self) -> Position {
        match &self.state {
            State::Head(scan) if scan.is_untouched() => Position::Between,
            State::Head(_) => Position::Head,
            State::Length(_) | State::Chunks(_) | State::Trailers(_) => Position::Body,
            State::Undecided => Position::Undecided,
            State::Tunnel => Position::Tunnel,
        }
    }

    /// The upgrade was granted: from here everything passes.
    pub(crate) fn tunnel(&mut self) {
        self.state = State::Tunnel;
    }

    /// The upgrade was not granted: HTTP/1 goes on.
    pub(crate) fn resume(&mut self) {
        if matches!(self.state, State::Undecided) {
            self.state = State::Head(HeadScan::request());
        }
        self.upgrade = false;
    }
}

/// Fuzz entry: no input panics, and the verdict does not depend on how the bytes are cut.
#[doc(hidden)]
pub fn fuzz_guard(input: &[u8]) {
    let limits = (1024, 16);
    let mut whole = Guard::new(limits.0, limits.1);
    let passed = whole.feed(input);
    let mut pieces = Guard::new(limits.0, limits.1);
    let (mut kept, mut pieces_passed): (Vec<u8>, usize) = (Vec::new(), 0);
    for byte in input {
        kept.push(*byte);
        let taken = pieces.feed(&kept);
        kept.drain(..taken);
        pieces_passed += taken;
        if pieces.violation().is_some() {
            break;
        }
    }
    assert_eq!(whole.heads(), pieces.heads(), "heads depend on how the bytes are cut");
    assert_eq!(whole.violation(), pieces.violation(), "the verdict depends on how the bytes are cut");
    if whole.violation().is_none() {
        assert_eq!(passed, pieces_passed, "what passes depends on how the bytes are cut");
        assert_eq!(whole.position(), pieces.position());
    }
}
