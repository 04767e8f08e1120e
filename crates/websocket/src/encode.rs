//! From a message to the bytes of its frame: one frame a message, the payload not copied unless it must be masked.

use crate::header::{HEADER_BYTES_MAX, Header, Opcode};
use crate::mask::{MaskKey, apply_mask};
use crate::{CONTROL_BYTES_MAX, Error, Message};
use bytes::{Bytes, BytesMut};

/// A frame that is ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    header: [u8; HEADER_BYTES_MAX],
    header_len: u8,
    payload: Bytes,
}

impl Frame {
    /// The frame of `message`. A client gives a key that nobody can foresee, a server none (section 5.1). A payload that nobody else
    /// holds is masked in place, else in a copy.
    pub fn new(message: Message, mask: Option<MaskKey>) -> Result<Self, Error> {
        let (opcode, mut payload) = match message {
            Message::Text(text) => (Opcode::Text, text),
            Message::Binary(bytes) => (Opcode::Binary, bytes),
            Message::Ping(payload) => (Opcode::Ping, payload),
            Message::Pong(payload) => (Opcode::Pong, payload),
            Message::Close(close) => (Opcode::Close, close.body()),
        };
        if opcode.is_control() && payload.len() > CONTROL_BYTES_MAX {
            return Err(Error::LongControl);
        }
        debug_assert!(opcode != Opcode::Text || str::from_utf8(&payload).is_ok(), "a text that is none");
        if let Some(key) = mask {
            let mut masked = payload.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
            apply_mask(&mut masked, key, 0);
            payload = masked.freeze();
        }
        let header = Header { fin: true, opcode, mask, len: payload.len() as u64 };
        let (header, header_len) = header.bytes();
        Ok(Self { header, header_len: header_len as u8, payload })
    }

    /// The bytes before the payload.
    pub fn header(&self) -> &[u8] {
        &self.header[..usize::from(self.header_len)]
    }

    /// The payload as it goes out: masked, if there is a key.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Bytes on the wire.
    pub fn wire_bytes(&self) -> usize {
        usize::from(self.header_len) + self.payload.len()
    }

    /// Bytes of memory while it waits.
    pub(crate) fn cost(&self) -> usize {
        size_of::<Self>() + self.payload.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Close, CloseCode};

    fn wire(message: Message, mask: Option<MaskKey>) -> Vec<u8> {
        let frame = Frame::new(message, mask).unwrap();
        let wire = [frame.header(), frame.payload()].concat();
        assert_eq!(wire.len(), frame.wire_bytes());
        wire
    }

    #[test]
    fn the_examples_of_the_standard() {
        // Section 5.7.
        let hello = Bytes::from_static(b"Hello");
        assert_eq!(wire(Message::Text(hello.clone()), None), b"\x81\x05Hello");
        let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        assert_eq!(wire(Message::Text(hello.clone()), Some([0x37, 0xfa, 0x21, 0x3d])), masked);
        assert_eq!(wire(Message::Ping(hello), None), b"\x89\x05Hello");
        assert_eq!(wire(Message::Binary(vec![0; 256].into()), None)[..4], *b"\x82\x7e\x01\x00");
        let long = wire(Message::Binary(vec![0; 65536].into()), None);
        assert_eq!(long[..10], *b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00");
        let close = Message::Close(Close::new(CloseCode::NORMAL, "bye"));
        assert_eq!(wire(close, None), b"\x88\x05\x03\xe8bye");
    }

    #[test]
    fn a_long_ping_is_refused_here() {
        let ping = Message::Ping(vec![0; CONTROL_BYTES_MAX + 1].into());
        assert!(matches!(Frame::new(ping, None), Err(Error::LongControl)));
    }

    #[test]
    fn masking_copies_only_what_somebody_else_holds() {
        let alone = Bytes::from(vec![7; 100]);
        let place = alone.as_ptr();
        let frame = Frame::new(Message::Binary(alone), Some([1, 2, 3, 4])).unwrap();
        assert_eq!(frame.payload().as_ptr(), place);
        let shared = Bytes::from(vec![7; 100]);
        let frame = Frame::new(Message::Binary(shared.clone()), Some([1, 2, 3, 4])).unwrap();
        assert_eq!(shared, vec![7; 100]);
        assert_ne!(frame.payload(), &*shared);
    }
}
