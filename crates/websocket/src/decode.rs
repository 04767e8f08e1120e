//! From bytes to messages, without I/O.
//!
//! Whoever has a stream asks [`Decoder::space`] where the next bytes go, reads into it, and takes messages from
//! [`Decoder::decode`] until there is none. A message that came in one frame of a few KiB is a slice of what was read; a longer one
//! is read straight into its own buffer, which grows with what came and not with what a header promises.

use crate::header::{CONTROL_BYTES_MAX, HEADER_BYTES_MAX, Header, Opcode, Role};
use crate::mask::{MaskKey, apply_mask};
use crate::utf8::Utf8;
use crate::{Close, Fault, Message};
use bytes::{Buf as _, BufMut, Bytes, BytesMut, buf::Limit};
use std::mem;

/// Bytes that are asked of the stream at once while the frame is not known. A short message may hold a buffer of this size alive.
pub const READ_BYTES: usize = 4096;
/// A read has room for at least this, unless it completes a frame.
const READ_LEAST: usize = 1024;
/// A whole message up to this stays where it was read.
const IN_PLACE_MAX: usize = READ_BYTES - HEADER_BYTES_MAX;
/// A long message's buffer grows by at least this, and by no more than this or its own length ahead of what came.
const GROW_BYTES: usize = 8192;

const _: () = assert!(IN_PLACE_MAX > CONTROL_BYTES_MAX && READ_LEAST + HEADER_BYTES_MAX < READ_BYTES);

/// Where the next bytes of the stream go. Each has room for at least one byte.
#[derive(Debug)]
pub enum Space<'d> {
    /// Anything may come.
    Any(Limit<&'d mut BytesMut>),
    /// The payload of a long frame, not beyond its end.
    Payload(Limit<&'d mut Vec<u8>>),
}

/// Reads one side of a connection. After a [`Fault`], or a close, nothing more comes out.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    max_message_bytes: usize,
    input: BytesMut,
    /// The frame whose payload is being read.
    frame: Option<Payload>,
    /// The data message whose frames are being read.
    open: Option<Kind>,
    text: Utf8,
    /// What came of a message that is not in place, and how much of that is unmasked and checked.
    message: Vec<u8>,
    ready: usize,
    end: Option<End>,
}

/// How far the payload of a frame is.
#[derive(Clone, Copy, Debug)]
struct Payload {
    opcode: Opcode,
    fin: bool,
    mask: Option<MaskKey>,
    len: usize,
    /// Bytes that are unmasked and checked.
    done: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Fault(Fault),
    Close,
}

/// What one step over the input gave.
enum Step {
    Starved,
    Went,
    Got(Message),
}

impl Payload {
    /// A data message of one short frame: its payload is unmasked where it was read, and sliced off. The bytes of it that came are
    /// in the input, none elsewhere.
    fn in_place(self) -> bool {
        let alone = self.fin && matches!(self.opcode, Opcode::Text | Opcode::Binary);
        (alone || self.opcode.is_control()) && self.len <= IN_PLACE_MAX
    }
}

impl Decoder {
    /// A decoder of what comes to `role`. `max_message_bytes` bounds a data message over all its frames.
    pub fn new(role: Role, max_message_bytes: usize) -> Self {
        Self {
            role,
            max_message_bytes,
            input: BytesMut::new(),
            frame: None,
            open: None,
            text: Utf8::default(),
            message: Vec::new(),
            ready: 0,
            end: None,
        }
    }

    /// Where the next bytes of the stream go. To be asked anew after each read.
    pub fn space(&mut self) -> Space<'_> {
        let mut need = READ_LEAST;
        if let Some(frame) = self.frame {
            let left = frame.len - frame.done;
            if !frame.in_place() && left >= READ_BYTES {
                // Whatever was in the input has been moved, so the stream stands right here.
                let room = self.grow(left);
                return Space::Payload((&mut self.message).limit(room));
            }
            if frame.in_place() {
                need = (frame.len - self.input.len().min(frame.len)).max(1);
            }
        }
        self.make_room(need);
        let room = self.input.capacity() - self.input.len();
        Space::Any((&mut self.input).limit(room))
    }

    /// Copies as much of `bytes` as there is space for, at least one, and says how many: for who has bytes already.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        fn put(space: &mut impl BufMut, bytes: &[u8]) -> usize {
            let taken = bytes.len().min(space.remaining_mut());
            space.put_slice(&bytes[..taken]);
            taken
        }
        match self.space() {
            Space::Any(mut space) => put(&mut space, bytes),
            Space::Payload(mut space) => put(&mut space, bytes),
        }
    }

    /// Gives the buffer back if nothing is in it: an idle connection holds none. To be called when the stream has nothing.
    pub fn release(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
    }

    /// Whether bytes are here that no message has taken.
    pub fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Bytes of memory beside the decoder itself. At most [`READ_BYTES`] above `max_message_bytes`.
    pub fn held_bytes(&self) -> usize {
        self.input.capacity() + self.message.capacity()
    }

    /// The next message or control frame; `None`: more bytes are needed. A fault stays.
    pub fn decode(&mut self) -> Result<Option<Message>, Fault> {
        loop {
            if let Some(end) = self.end {
                self.input.clear();
                return match end {
                    End::Fault(fault) => Err(fault),
                    End::Close => Ok(None),
                };
            }
            match self.step() {
                Ok(Step::Went) => {}
                Ok(Step::Starved) => return Ok(None),
                Ok(Step::Got(message)) => {
                    if matches!(message, Message::Close(_)) {
                        // Section 5.5.1: what comes after a close is no data.
                        self.finish(End::Close);
                    }
                    self.release();
                    return Ok(Some(message));
                }
                Err(fault) => {
                    self.finish(End::Fault(fault));
                    return Err(fault);
                }
            }
        }
    }

    fn finish(&mut self, end: End) {
        *self = Self { end: Some(end), ..Self::new(self.role, self.max_message_bytes) };
    }

    fn step(&mut self) -> Result<Step, Fault> {
        match self.frame {
            None => self.header(),
            Some(frame) if frame.opcode.is_control() => self.control(frame),
            Some(frame) if frame.in_place() => self.whole(frame),
            Some(frame) => self.piece(frame),
        }
    }

    fn header(&mut self) -> Result<Step, Fault> {
        let Some((header, header_len)) = Header::parse(&self.input, self.role)? else {
            return Ok(Step::Starved);
        };
        let kind = match header.opcode {
            Opcode::Text => Some(Kind::Text),
            Opcode::Binary => Some(Kind::Binary),
            Opcode::Continuation => None,
            // Section 5.4: control frames may stand between the frames of a message.
            Opcode::Close | Opcode::Ping | Opcode::Pong => {
                return Ok(self.begin(&header, header.len as usize, header_len));
            }
        };
        match (kind, self.open) {
            (None, None) => return Err(Fault::UnexpectedContinuation),
            (Some(_), Some(_)) => return Err(Fault::MissingContinuation),
            (None, Some(_)) | (Some(_), None) => {}
        }
        // The limit holds before a byte of the payload is read. What is in `message` is within it, so nothing wraps.
        let left = self.max_message_bytes - self.message.len();
        let len = usize::try_from(header.len).map_err(|_| Fault::MessageTooBig)?;
        if len > left {
            return Err(Fault::MessageTooBig);
        }
        if let Some(kind) = kind {
            self.open = Some(kind);
            self.text = Utf8::default();
        }
        Ok(self.begin(&header, len, header_len))
    }

    fn begin(&mut self, header: &Header, len: usize, header_len: usize) -> Step {
        self.input.advance(header_len);
        self.frame =
            Some(Payload { opcode: header.opcode, fin: header.fin, mask: header.mask, len, done: 0 });
        Step::Went
    }

    fn control(&mut self, frame: Payload) -> Result<Step, Fault> {
        if self.input.len() < frame.len {
            return Ok(Step::Starved);
        }
        let payload = &mut self.input[..frame.len];
        if let Some(key) = frame.mask {
            apply_mask(payload, key, 0);
        }
        let message = match frame.opcode {
            Opcode::Close => Message::Close(Close::parse(payload)?),
            // A copy: a pong may wait, and must not hold the buffer.
            Opcode::Ping => Message::Ping(Bytes::copy_from_slice(payload)),
            _ => Message::Pong(Bytes::copy_from_slice(payload)),
        };
        self.input.advance(frame.len);
        self.frame = None;
        Ok(Step::Got(message))
    }

    fn whole(&mut self, mut frame: Payload) -> Result<Step, Fault> {
        let came = self.input.len().min(frame.len);
        absorb(&mut self.text, self.open, &frame, &mut self.input[frame.done..came])?;
        frame.done = came;
        self.frame = Some(frame);
        if came < frame.len {
            return Ok(Step::Starved);
        }
        self.frame = None;
        let payload = self.input.split_to(frame.len).freeze();
        self.complete(payload)
    }

    fn piece(&mut self, mut frame: Payload) -> Result<Step, Fault> {
        // What was read straight into the message.
        frame.done += self.absorb_message(&frame)?;
        let came = self.input.len().min(frame.len - frame.done);
        if came > 0 {
            self.reserve(came);
            self.message.extend_from_slice(&self.input[..came]);
            self.input.advance(came);
            frame.done += self.absorb_message(&frame)?;
        }
        self.frame = Some(frame);
        if frame.done < frame.len {
            return Ok(Step::Starved);
        }
        self.frame = None;
        if !frame.fin {
            return Ok(Step::Went);
        }
        self.ready = 0;
        let message = mem::take(&mut self.message);
        self.complete(message.into())
    }

    /// Unmasks and checks what is new in `message`, and says how much that was.
    fn absorb_message(&mut self, frame: &Payload) -> Result<usize, Fault> {
        let new = &mut self.message[self.ready..];
        absorb(&mut self.text, self.open, frame, new)?;
        let taken = new.len();
        self.ready += taken;
        Ok(taken)
    }

    fn complete(&mut self, payload: Bytes) -> Result<Step, Fault> {
        match self.open.take() {
            Some(Kind::Text) if !self.text.is_complete() => Err(Fault::InvalidUtf8),
            Some(Kind::Text) => Ok(Step::Got(Message::Text(payload))),
            Some(Kind::Binary) | None => Ok(Step::Got(Message::Binary(payload))),
        }
    }

    /// Room for `left` or some bytes of a long frame: at least one, never beyond the limit.
    fn grow(&mut self, left: usize) -> usize {
        let spare = self.message.capacity() - self.message.len();
        if spare == 0 {
            self.message.reserve_exact(left.min(self.message.len().max(GROW_BYTES)));
        }
        left.min(self.message.capacity() - self.message.len())
    }

    /// Room for `more` bytes that have come, doubling, never beyond the limit.
    fn reserve(&mut self, more: usize) {
        let len = self.message.len();
        if self.message.capacity() - len < more {
            let target = (2 * len).max(len + more).min(self.max_message_bytes);
            self.message.reserve_exact(target - len);
        }
    }

    /// Room for `need` bytes, at most [`READ_BYTES`], behind what is in the input.
    fn make_room(&mut self, need: usize) {
        if self.input.capacity() - self.input.len() >= need || self.input.try_reclaim(need) {
            return;
        }
        // A beginning of a frame that fits, behind messages that somebody may still hold.
        let mut fresh = BytesMut::with_capacity(READ_BYTES);
        fresh.extend_from_slice(&self.input);
        self.input = fresh;
    }
}

/// Unmasks the next bytes of a frame, and checks them if they are text: at the first bad byte, not at the end (section 8.1).
fn absorb(text: &mut Utf8, kind: Option<Kind>, frame: &Payload, bytes: &mut [u8]) -> Result<(), Fault> {
    if let Some(key) = frame.mask {
        apply_mask(bytes, key, frame.done);
    }
    if kind == Some(Kind::Text) {
        text.push(bytes).map_err(|_| Fault::InvalidUtf8)?;
    }
    Ok(())
}
