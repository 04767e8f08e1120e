//! The half that sends.

use super::{
    phase::Event,
    shared::{Shared, frame},
    wake::Half,
};
use crate::{Close, Error, Frame, Message, Role};
use bytes::Bytes;
use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite};

/// Sends messages. No method has a deadline of its own: a peer that takes nothing holds them up, so the caller bounds them.
///
/// Cancel safety: a frame goes out whole or not at all. What was queued stays queued when a future is dropped, and goes out with the
/// next call of either half, or when the stream has room and the reader is being asked.
#[derive(Debug)]
pub struct Writer<T> {
    shared: Arc<Shared<T>>,
    role: Role,
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Writer<T> {
    pub(super) fn new(shared: Arc<Shared<T>>, role: Role) -> Self {
        Self { shared, role }
    }

    /// Queues a message and waits until everything queued is with the stream. Dropped early, the message may still go out, or not.
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Queues a message, to be sent with others by one [`Writer::flush`]; waits for room first. Dropped while it waits, nothing was
    /// queued. [`Error::Closed`] after a close of either side.
    pub fn feed(&mut self, message: Message) -> impl Future<Output = Result<(), Error>> + Send {
        // A block holds what it is given once; an async function would hold it twice.
        async move {
            if let Message::Close(close) = message {
                return self.queue_close(close);
            }
            let mut frame = Some(frame(self.role, message)?);
            poll_fn(|context| self.poll_feed(&mut frame, context)).await
        }
    }

    /// Waits until a message of so many bytes can be queued: [`Writer::feed`] will not wait for it.
    pub async fn ready(&mut self, payload_bytes: usize) -> Result<(), Error> {
        let cost = size_of::<Frame>() + payload_bytes;
        poll_fn(|context| self.shared.lock().poll_room(cost, context)).await
    }

    /// Waits until everything queued is with the stream, in one write if it takes that much.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|context| self.shared.lock().poll_write(Half::Writer, context)).await
    }

    /// Sends a ping; at most 125 bytes.
    pub async fn ping(&mut self, payload: Bytes) -> Result<(), Error> {
        self.send(Message::Ping(payload)).await
    }

    /// Sends a close (section 7.1.2). Nothing can be sent after it; the reader goes on until the peer's close. [`Error::Closed`] if
    /// there was a close before.
    pub async fn close(&mut self, close: Close) -> Result<(), Error> {
        self.queue_close(close)?;
        self.flush().await
    }

    /// Bytes that wait to be sent, their bookkeeping included: at most `unsent_bytes_max`, or one message, and some pongs.
    pub fn unsent(&self) -> usize {
        self.shared.lock().unsent()
    }

    /// Queues a close, which needs no room: there is one only.
    fn queue_close(&mut self, close: Close) -> Result<(), Error> {
        let ours = self.shared.lock().step(Event::WeClose, close)?;
        if ours { Ok(()) } else { Err(Error::Closed) }
    }

    fn poll_feed(&mut self, frame: &mut Option<Frame>, context: &Context<'_>) -> Poll<Result<(), Error>> {
        let mut inner = self.shared.lock();
        let cost = frame.as_ref().map_or(0, Frame::cost);
        let room = inner.poll_room(cost, context);
        if let Poll::Ready(Ok(())) = room {
            // Under the same lock: a close of the peer is answered last.
            frame.take().into_iter().for_each(|frame| inner.push(frame));
        }
        room
    }
}
