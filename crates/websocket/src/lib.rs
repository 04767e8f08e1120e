//! WebSocket, RFC 6455, for both sides: what the accept side and the call side share.
//!
//! Three layers, each usable without the next:
//!
//! - the codec, without I/O: [`Decoder`] turns bytes into whole messages under one limit, [`Frame`] turns a message into bytes;
//! - the handshake, without I/O: [`accept`] judges a request, [`Offer`] makes one and judges the answer;
//! - the driver: [`Socket`] carries messages over any stream of bytes, or as two halves, [`Reader`] and [`Writer`].
//!
//! A frame that breaks the protocol is a [`Fault`]; each fault knows its close code. Extensions are never negotiated, so no frame
//! is ever compressed. Why this is not a library: `docs/decisions/0015-websocket-codec.md`.

mod close;
mod decode;
#[cfg(test)]
mod decode_tests;
mod encode;
mod error;
pub mod fuzz;
mod handshake;
mod header;
mod mask;
mod socket;
mod utf8;

pub use close::{Close, CloseCode, REASON_BYTES_MAX};
pub use decode::{Decoder, READ_BYTES, Space};
pub use encode::Frame;
pub use error::{Error, Fault};
pub use handshake::{Accepted, Nonce, Offer, Protocols, Refusal, Rejected, accept};
pub use header::{CONTROL_BYTES_MAX, Role};
pub use mask::{MaskKey, apply_mask};
pub use socket::{LINGER_BYTES_MAX, Limits, PONGS_MAX, Reader, Socket, Writer};
pub use utf8::{NotUtf8, Utf8};

use bytes::Bytes;

/// One message, or one control frame, as it was received or is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text: always valid UTF-8. What is received was checked; what is sent must be (section 8.1).
    Text(Bytes),
    /// Any bytes.
    Binary(Bytes),
    /// A ping, at most 125 bytes. A received one has been answered already.
    Ping(Bytes),
    /// A pong, at most 125 bytes.
    Pong(Bytes),
    /// The peer closes; nothing comes after this.
    Close(Close),
}
