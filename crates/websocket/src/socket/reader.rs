//! The half that receives, answers pings and closes, and ends the connection.

use super::{
    phase::{Event, Phase},
    shared::{Inner, Shared},
    wake::Half,
};
use crate::{Close, Decoder, Error, Fault, Message, Role, Space};
use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    time::timeout,
};

/// Bytes that are read and forgotten while a connection ends; who sends more is cut.
pub const LINGER_BYTES_MAX: usize = 1 << 20;

/// Receives messages. While it is being asked, it also carries on what the writer has queued.
#[derive(Debug)]
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
    pub(super) decoder: Decoder,
    /// The last word was given: a close, a fault, an error.
    ended: bool,
    /// What was forgotten while the connection ended.
    lingered: usize,
    shut: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Reader<T> {
    pub(super) fn new(shared: Arc<Shared<T>>, decoder: Decoder) -> Self {
        Self { shared, decoder, ended: false, lingered: 0, shut: false }
    }

    /// The next message. A ping is answered and a close echoed before they are given; after a close, a fault or an error only
    /// [`Error::Closed`] comes, and [`Reader::finish`] ends the connection.
    ///
    /// No deadline of its own: a connection may be idle. Cancel safety: what was read stays, so nothing is lost when this is dropped.
    pub async fn next(&mut self) -> Result<Message, Error> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Ends the connection: says a close if none was said (`1001`), sends what is queued, waits for the peer's close, then for the end
    /// of the stream; the server ends its side first (section 7.1.1). What comes meanwhile is forgotten, up to
    /// [`LINGER_BYTES_MAX`]. [`Error::Deadline`] if the peer did not play along; the stream is closed in any case when both halves
    /// are gone.
    pub async fn finish(mut self, within: Duration) -> Result<(), Error> {
        self.shared.lock().step(Event::WeClose, Close::new(crate::CloseCode::GOING_AWAY, ""))?;
        let end = poll_fn(|context| self.poll_finish(context));
        timeout(within, end).await.unwrap_or(Err(Error::Deadline))
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        if self.ended {
            return Poll::Ready(Err(Error::Closed));
        }
        let result = ready!(self.poll_message(context));
        self.ended = matches!(result, Ok(Message::Close(_)) | Err(_));
        Poll::Ready(result)
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        loop {
            match self.decoder.decode() {
                Ok(None) => {}
                Ok(Some(message)) => return Poll::Ready(self.deliver(message, context)),
                Err(fault) => return Poll::Ready(Err(self.fail(fault, context))),
            }
            let mut inner = self.shared.lock();
            // A stream that takes nothing must not keep us from reading.
            if let Poll::Ready(Err(error)) = inner.poll_write(Half::Reader, context) {
                return Poll::Ready(Err(error));
            }
            match ready!(poll_fill(&mut self.decoder, &mut inner, context)) {
                Ok(0) => {
                    inner.step(Event::Broke, Close::without_code())?;
                    return Poll::Ready(Err(Error::Ended));
                }
                Ok(_) => {}
                Err(error) => {
                    inner.step(Event::Broke, Close::without_code())?;
                    return Poll::Ready(Err(error.into()));
                }
            }
        }
    }

    /// Does what a message asks of the connection itself.
    fn deliver(&mut self, message: Message, context: &Context<'_>) -> Result<Message, Error> {
        let mut inner = self.shared.lock();
        match &message {
            Message::Ping(payload) => {
                inner.answer(payload.clone())?;
                // A burst of pings is answered by one write; the caller may take its time before it asks again.
                if self.decoder.has_input() {
                    return Ok(message);
                }
            }
            Message::Close(close) => {
                inner.step(Event::TheyClose, close.echo())?;
            }
            Message::Text(_) | Message::Binary(_) | Message::Pong(_) => return Ok(message),
        }
        // An error, or what is left, is met by the next call.
        let _ = inner.poll_write(Half::Reader, context);
        Ok(message)
    }

    /// Section 7.1.7: the close says what was wrong.
    fn fail(&mut self, fault: Fault, context: &Context<'_>) -> Error {
        let mut inner = self.shared.lock();
        if let Err(error) = inner.step(Event::Fault, Close::new(fault.code(), &fault.to_string())) {
            return error;
        }
        let _ = inner.poll_write(Half::Reader, context);
        fault.into()
    }

    fn poll_finish(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let shared = Arc::clone(&self.shared);
        let mut inner = shared.lock();
        // What was queued before the close, then the close.
        ready!(inner.poll_write(Half::Reader, context))?;
        while inner.phase == Phase::Closing {
            match self.decoder.decode() {
                Ok(Some(Message::Close(_))) => {
                    inner.step(Event::TheyClose, Close::without_code())?;
                }
                Ok(Some(Message::Ping(payload))) => inner.answer(payload)?,
                Ok(Some(_)) => {}
                Err(_) => {
                    inner.step(Event::Fault, Close::without_code())?;
                }
                Ok(None) => {
                    // Answers to pings; who does not take them may still close.
                    if let Poll::Ready(Err(error)) = inner.poll_write(Half::Reader, context) {
                        return Poll::Ready(Err(error));
                    }
                    let came = ready!(poll_fill(&mut self.decoder, &mut inner, context))?;
                    if came == 0 {
                        inner.step(Event::Broke, Close::without_code())?;
                    }
                    self.linger(came)?;
                }
            }
        }
        // Bytes that nobody reads would turn the end into a reset, and the peer might lose what we said.
        loop {
            if inner.role == Role::Server && !self.shut {
                // An error: the peer is gone, which the next read says, too.
                let _ = ready!(inner.poll_shutdown(context));
                self.shut = true;
            }
            match ready!(inner.poll_discard(context)) {
                Ok(came) if came > 0 => self.linger(came)?,
                // An end is an end here, also by a reset.
                Ok(_) | Err(_) => break,
            }
        }
        if !self.shut {
            // The peer is gone, so an error says nothing.
            let _ = ready!(inner.poll_shutdown(context));
        }
        Poll::Ready(Ok(()))
    }

    fn linger(&mut self, came: usize) -> Result<(), Error> {
        self.lingered += came;
        if self.lingered > LINGER_BYTES_MAX { Err(Error::Deadline) } else { Ok(()) }
    }
}

/// Reads once into the decoder; 0 is the end. Nothing to read: the decoder's buffer goes back.
fn poll_fill<T: AsyncRead + AsyncWrite + Unpin>(
    decoder: &mut Decoder,
    inner: &mut Inner<T>,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    // The futures hold nothing but their arguments: dropping one at each poll loses nothing.
    let came = match decoder.space() {
        Space::Any(mut space) => pin!(inner.io().read_buf(&mut space)).poll(context),
        Space::Payload(mut space) => pin!(inner.io().read_buf(&mut space)).poll(context),
    };
    if came.is_pending() {
        decoder.release();
    }
    came
}
