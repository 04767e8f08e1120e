//! The driver: messages over any stream of bytes. It decides nothing that the codec, the outbox or the phase of the closing
//! handshake could decide.

mod outbox;
mod phase;
mod reader;
mod shared;
#[cfg(test)]
mod tests;
mod wake;
mod writer;

pub use outbox::PONGS_MAX;
pub use reader::{LINGER_BYTES_MAX, Reader};
pub use writer::Writer;

use crate::{Close, Decoder, Error, Message, Role};
use bytes::Bytes;
use shared::Shared;
use std::{sync::Arc, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};

/// How much one connection may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message that is received, over all its frames.
    pub max_message_bytes: usize,
    /// Bytes that wait to be sent, with their bookkeeping: a sender waits beyond it. One message is always taken.
    pub unsent_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_message_bytes: 4 << 20, unsent_bytes_max: 256 << 10 }
    }
}

/// An open connection. As a whole it does one thing at a time: while it sends, it does not read. [`Socket::split`] it where the peer
/// may be slow.
#[derive(Debug)]
pub struct Socket<T> {
    reader: Reader<T>,
    writer: Writer<T>,
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket<T> {
    /// A connection whose handshake is done: `io` begins with the first frame.
    pub fn new(io: T, role: Role, limits: Limits) -> Self {
        let shared = Shared::new(io, role, limits);
        let decoder = Decoder::new(role, limits.max_message_bytes);
        Self { reader: Reader::new(Arc::clone(&shared), decoder), writer: Writer::new(shared, role) }
    }

    /// See [`Reader::next`]. Cancel safe.
    pub async fn next(&mut self) -> Result<Message, Error> {
        self.reader.next().await
    }

    /// See [`Writer::send`].
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.writer.send(message).await
    }

    /// See [`Writer::feed`].
    pub async fn feed(&mut self, message: Message) -> Result<(), Error> {
        self.writer.feed(message).await
    }

    /// See [`Writer::flush`]. Cancel safe.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.writer.flush().await
    }

    /// See [`Writer::ping`].
    pub async fn ping(&mut self, payload: Bytes) -> Result<(), Error> {
        self.writer.ping(payload).await
    }

    /// Ends the connection politely: with this close, unless one was said before, and then as [`Reader::finish`].
    pub async fn close(mut self, close: Close, within: Duration) -> Result<(), Error> {
        // A close was there before: what is left is to end.
        let _ = self.writer.feed(Message::Close(close)).await;
        self.reader.finish(within).await
    }

    /// The two halves. The stream is closed when both are gone.
    pub fn split(self) -> (Reader<T>, Writer<T>) {
        (self.reader, self.writer)
    }
}
