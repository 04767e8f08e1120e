//! The driver: one exchange at a time between a socket and the parts that decide, in the task of the request.
//!
//! Dropping anything here closes the connection; only one that [`Http1::rest`] approves of goes back to its pool.

use super::{
    body::{BodyReader, Piece},
    failure::{BodyError, SendError},
    fault::Fault,
    life::{Event, Life, Reading, Sending},
    outgoing::Outgoing,
    read_buffer::ReadBuffer,
    request::{BodySize, RequestHead},
    response::{self, Asked, Framing, INTERIM_MAX},
    section::EndScan,
};
use crate::{connection::SendFailure, expect::Opener, io::Io, out_body::OutBody};
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};

/// An HTTP/1.1 connection. Dropped idle, it says goodbye; dropped in an exchange, it is cut off.
pub(crate) struct Http1(Box<Inner>);

struct Inner {
    io: Io,
    read: ReadBuffer,
    out: Outgoing,
    /// The request body, while frames are still to come.
    sending: Option<OutBody>,
    /// The socket takes no more for now.
    blocked: bool,
    life: Life,
    body: BodyReader,
    scan: EndScan,
    asked: Asked,
    interim: u8,
    /// Opened by the first 100.
    opener: Option<Opener>,
    /// What the socket had written when the exchange began.
    written: u64,
    /// How the response body broke off, until that is told.
    body_error: Option<BodyError>,
    /// Why the socket takes no more; told if no response comes either.
    send_error: Option<io::Error>,
    /// When it last came back to the pool; `None` if it never carried a request.
    idle_since: Option<Instant>,
}

/// What a request needs besides its head.
pub(crate) struct Rest {
    pub(crate) body: OutBody,
    pub(crate) opener: Option<Opener>,
}

impl Http1 {
    pub(crate) fn new(io: Io) -> Self {
        Self(Box::new(Inner {
            io,
            read: ReadBuffer::new(),
            out: Outgoing::new(),
            sending: None,
            blocked: false,
            life: Life::NEW,
            body: BodyReader::Done,
            scan: EndScan::default(),
            asked: Asked { head: false },
            interim: 0,
            opener: None,
            written: 0,
            body_error: None,
            send_error: None,
            idle_since: None,
        }))
    }

    /// Sends a request and waits for the head of its final response; the body is read with [`Self::poll_frame`].
    /// The head is written to the wire buffer before this returns. Dropping the future leaves a connection that can only
    /// be closed.
    pub(crate) fn send(
        &mut self,
        head: &RequestHead<'_>,
        rest: Rest,
    ) -> impl Future<Output = Result<Response<()>, SendFailure>> {
        let inner = &mut *self.0;
        inner.begin(head, rest);
        poll_fn(move |cx| inner.poll_head(cx).map_err(|error| inner.failed(error)))
    }

    /// The next frame of the response body.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_frame(cx)
    }

    /// The response body was taken to its end.
    pub(crate) fn is_end_stream(&self) -> bool {
        self.0.body.is_done()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.0.body.size_hint()
    }

    /// Ends an exchange whose response was read. `false`: the connection cannot carry another.
    pub(crate) fn rest(&mut self) -> bool {
        let inner = &mut *self.0;
        inner.sending = None;
        inner.opener = None;
        let surplus = !inner.read.bytes.is_empty();
        inner.on(Event::End { surplus });
        inner.read.rest();
        inner.out.rest();
        inner.life.is_reusable()
    }

    /// Whether an idle connection may carry a request, as far as that is known without a system call: the server has neither
    /// closed it nor sent anything.
    pub(crate) fn is_usable(&mut self) -> bool {
        let inner = &mut *self.0;
        inner.life.is_reusable() && inner.read.bytes.is_empty() && inner.is_silent()
    }

    /// Keeps it, idle, from `now` on.
    pub(crate) fn set_idle_since(&mut self, now: Instant) {
        self.0.idle_since = Some(now);
        self.0.io.keep_polite(true);
    }

    /// Asks the kernel whether the server has closed. For requests that cannot be repeated.
    pub(crate) fn verify(&self) -> bool {
        self.0.io.verify().is_ok()
    }

    /// It carried a request before.
    pub(crate) fn is_reused(&self) -> bool {
        self.0.idle_since.is_some()
    }

    /// Whether `limit` has passed since it came back to the pool.
    pub(crate) fn is_idle_since(&self, limit: Duration, now: Instant) -> bool {
        // An addition is cheaper than a subtraction, and this is asked for every request.
        self.0.idle_since.and_then(|since| since.checked_add(limit)).is_some_and(|end| end <= now)
    }

    /// After a 101: the socket, and what came behind the head.
    pub(crate) fn into_upgraded(self) -> (Io, Bytes) {
        let Inner { io, mut read, .. } = *self.0;
        (io, read.bytes.split().freeze())
    }
}

impl Inner {
    fn begin(&mut self, head: &RequestHead<'_>, rest: Rest) {
        self.on(Event::Begin);
        self.io.keep_polite(false);
        let size = match rest.body.size_hint().exact() {
            _ if rest.body.is_end_stream() => BodySize::None,
            Some(length) => BodySize::Exact(length),
            None => BodySize::Unknown,
        };
        self.out.begin(head, size);
        self.blocked = false;
        self.sending = (size != BodySize::None).then_some(rest.body);
        self.body = BodyReader::Done;
        self.scan = EndScan::default();
        self.asked = Asked { head: *head.method == Method::HEAD };
        self.interim = 0;
        self.opener = rest.opener;
        self.written = self.io.written();
        self.body_error = None;
        self.send_error = None;
    }

    /// Applies an event. One that cannot come is a defect of this file; the connection is then not used again.
    fn on(&mut self, event: Event) {
        debug_assert!(self.life.on(event).is_ok(), "{event:?} in {:?}", self.life);
        self.life = self.life.on(event).unwrap_or(Life::BROKEN);
    }

    fn is_silent(&mut self) -> bool {
        if !self.io.has_news() {
            return true;
        }
        // Over TLS, news may be a session ticket: nothing of HTTP. Not cut short by the budget of the task that asks.
        let mut looked = pin!(tokio::task::unconstrained(poll_fn(|cx| self.poll_fill(cx))));
        looked.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    fn failed(&mut self, failure: SendError) -> SendFailure {
        self.on(Event::Fault);
        let unsent = self.io.written() == self.written;
        let (error, ours) = match failure {
            SendError::Io(error) => (error.into(), false),
            SendError::Body(error) => (error, true),
        };
        SendFailure { error, unsent, stale: unsent && !ours, ours }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<()>, SendError>> {
        loop {
            self.poll_sending(cx)?;
            if let Some(response) = self.take_head()? {
                return Poll::Ready(Ok(response));
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) => return Poll::Ready(Err(self.closed_early())),
                Ok(_) => {}
                Err(error) => {
                    return Poll::Ready(Err(SendError::Io(self.send_error.take().unwrap_or(error))));
                }
            }
        }
    }

    fn closed_early(&mut self) -> SendError {
        let fault = if self.read.bytes.is_empty() { Fault::NoResponse } else { Fault::TruncatedHead };
        SendError::Io(self.send_error.take().unwrap_or_else(|| fault.into()))
    }

    /// Takes interim heads, and the final one if it is here.
    fn take_head(&mut self) -> Result<Option<Response<()>>, Fault> {
        while !self.read.bytes.is_empty() {
            let Some(head) = response::take(&mut self.read.bytes, &mut self.scan, self.asked)? else {
                return Ok(None);
            };
            // An answer to nothing belongs to nobody: given to a client, it would shift all later ones by one.
            if self.io.written() == self.written {
                return Err(Fault::Unsolicited);
            }
            let status = head.response.status();
            if status == StatusCode::SWITCHING_PROTOCOLS {
                self.on(Event::Switch);
                return Ok(Some(head.response));
            }
            if !status.is_informational() {
                // A body that ends with the connection leaves none behind.
                let keep_alive = head.keep_alive && head.framing != Framing::Close;
                self.on(Event::Head { keep_alive });
                self.body = BodyReader::new(head.framing);
                return Ok(Some(head.response));
            }
            self.interim += 1;
            if self.interim > INTERIM_MAX {
                return Err(Fault::TooManyInterim);
            }
            if status == StatusCode::CONTINUE
                && let Some(opener) = self.opener.take()
            {
                opener.open();
            }
        }
        Ok(None)
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(error) = self.body_error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match self.poll_piece(cx) {
            // Who passes a body on has often not flushed what came before, and drops that on an error. So the error waits
            // for the next poll: a client sees how far a broken response came.
            Poll::Ready(Some(Err(error))) => {
                self.on(Event::Fault);
                self.body_error = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            polled => polled,
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.life.reading != Reading::Body {
            return Poll::Ready(None);
        }
        // The server may be answering while it reads. When its answer ends, so does the request.
        self.poll_sending(cx)?;
        loop {
            match self.body.next(&mut self.read.bytes)? {
                Piece::Data(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Piece::Trailers(fields) => return Poll::Ready(Some(Ok(Frame::trailers(fields)))),
                Piece::End => return Poll::Ready(None),
                Piece::More => {}
            }
            let filled = self.poll_fill(cx);
            if filled.is_pending() && self.body.left() == 0 {
                self.read.wait();
                self.out.wait();
            }
            if ready!(filled)? == 0 {
                self.body.closed()?;
            }
        }
    }

    /// Sends what there is to send. An error of the socket ends the sending and no more: the server may have answered.
    fn poll_sending(&mut self, cx: &mut Context<'_>) -> Result<(), SendError> {
        if self.life.sending != Sending::Going {
            return Ok(());
        }
        match self.poll_send(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(())) => {
                self.sending = None;
                self.on(Event::Sent);
                Ok(())
            }
            Poll::Ready(Err(SendError::Io(error))) if may_have_answered(&error) => {
                self.sending = None;
                self.send_error = Some(error);
                self.on(Event::SendFailed);
                Ok(())
            }
            Poll::Ready(Err(error)) => Err(error),
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        loop {
            // A body is asked for more only when the server takes more: else it would look as if the client kept it waiting.
            let waiting = if self.blocked { self.sending.is_some() } else { self.gather(cx)? };
            if self.out.is_empty() {
                ready!(Pin::new(&mut self.io).poll_flush(cx))?;
                return if waiting { Poll::Pending } else { Poll::Ready(Ok(())) };
            }
            let written = self.poll_write(cx);
            self.blocked = written.is_pending();
            let count = ready!(written)?;
            if count == 0 {
                return Poll::Ready(Err(SendError::Io(io::ErrorKind::WriteZero.into())));
            }
            self.out.advance(count);
        }
    }

    /// Adds frames of the body as long as there is room and they are here. `true`: more are still to come.
    fn gather(&mut self, cx: &mut Context<'_>) -> Result<bool, SendError> {
        while let Some(body) = &mut self.sending
            && self.out.has_room()
        {
            if self.out.owes_nothing() {
                self.sending = None;
                break;
            }
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => self.out.add(frame)?,
                Poll::Ready(Some(Err(error))) => return Err(SendError::Body(error)),
                Poll::Ready(None) => {
                    self.out.finish()?;
                    self.sending = None;
                }
                Poll::Pending => break,
            }
        }
        Ok(self.sending.is_some())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let slices = self.out.slices();
        let io = Pin::new(&mut self.io);
        if slices[1].is_empty() { io.poll_write(cx, &slices[0]) } else { io.poll_write_vectored(cx, &slices) }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.read.make_room(self.body.left());
        let room = self.read.room();
        let read = ready!(pin!(self.io.read_buf(&mut self.read.bytes)).poll(cx))?;
        self.read.was_read(read, room);
        Poll::Ready(Ok(read))
    }
}

/// A server that closes while we send has often said why before: then its answer is still to be read.
fn may_have_answered(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}
