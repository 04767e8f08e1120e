//! A long answer over HTTP/1.1, written without the HTTP library.
//!
//! The library keeps two buffers of 8 KiB for every connection that has carried a request, also while nothing is said. A stream that is
//! quiet for most of its hours needs neither: here it holds what waits to be written, and nothing when nothing waits.
//!
//! | state | what it waits for | next |
//! |---|---|---|
//! | streaming | the body, or the client to leave | body ended: ending; body failed or client gone: over, as if cut |
//! | ending | the last chunk to be written | shut |
//! | shut | the client to close, for as long as the sweep allows: an end too early could be a reset that takes the last event along | over |
//!
//! The connection ends with its stream, and its head says so (RFC 9112 section 9.6).

use crate::{BodyError, io::GuardedIo, service::Tracked};
use bytes::{Buf as _, Bytes};
use http::{Response, header};
use http_body::Body as _;
use std::{
    future::Future,
    io::{self, IoSlice, Write as _},
    pin::Pin,
    task::{Context, Poll, ready},
    time::SystemTime,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A piece of the body up to this size is copied behind its length; a larger one is written from where it is.
const COPY_MAX: usize = 4 * 1024;
/// No more is gathered for one write.
const GATHER_MAX: usize = 16 * 1024;
/// Bytes of a client that go on behind its request: read and thrown away, until it is too many.
const IGNORED_MAX: usize = 64 * 1024;
/// Taken from such a client at once.
const IGNORED_STEP: usize = 512;

/// Marks a response as an event stream that may be open for hours. The request's body, if it has one, has been read to its end,
/// and the response has neither `Content-Length` nor `Transfer-Encoding`.
#[derive(Clone, Copy, Debug)]
pub struct LongLived;

/// Writes one response to its end. Dropping it cuts the connection.
pub(crate) struct Long<S> {
    io: GuardedIo<S>,
    /// Until its end.
    body: Option<Tracked>,
    /// How it broke off, until what came before is written.
    failed: Option<BodyError>,
    /// What is written next, then `data`, then the end of its chunk.
    wire: Bytes,
    data: Bytes,
    owes_end: bool,
    unflushed: bool,
    shut: bool,
    ignored: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Long<S> {
    /// The head is written first.
    pub(crate) fn new(io: GuardedIo<S>, response: Response<Tracked>) -> Self {
        let wire = head(&response).into();
        Self {
            io,
            body: Some(response.into_body()),
            failed: None,
            shut: false,
            wire,
            data: Bytes::new(),
            owes_end: false,
            unflushed: false,
            ignored: 0,
        }
    }

    /// Writes what there is. Ready: nothing waits, and no memory is held for it.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.wire.has_remaining() || self.data.has_remaining() {
            let slices = [IoSlice::new(&self.wire), IoSlice::new(&self.data)];
            let io = Pin::new(&mut self.io);
            let written = if self.data.is_empty() {
                io.poll_write(cx, &self.wire)
            } else if self.wire.is_empty() {
                io.poll_write(cx, &self.data)
            } else {
                io.poll_write_vectored(cx, &slices)
            };
            let written = ready!(written)?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_wire = written.min(self.wire.len());
            self.wire.advance(of_wire);
            self.data.advance(written - of_wire);
            self.unflushed = true;
        }
        (self.wire, self.data) = (Bytes::new(), Bytes::new());
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what the body has, for one write. Ready: there is something to write. An error of the body is one of the connection.
    fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = Vec::new();
        if std::mem::take(&mut self.owes_end) {
            wire.extend_from_slice(b"\r\n");
        }
        while let Some(body) = &mut self.body
            && self.failed.is_none()
            && wire.len() < GATHER_MAX
        {
            let frame = match Pin::new(body).poll_frame(cx) {
                Poll::Pending => break,
                // What came before is written first: the client sees how far it came.
                Poll::Ready(Some(Err(error))) => {
                    self.failed = Some(error);
                    break;
                }
                Poll::Ready(None) => {
                    wire.extend_from_slice(b"0\r\n\r\n");
                    // Its record is written now; the client may take its time to close.
                    self.body = None;
                    break;
                }
                Poll::Ready(Some(Ok(frame))) => frame,
            };
            // A stream of events has no trailers.
            let Ok(data) = frame.into_data() else { continue };
            if data.is_empty() {
                continue;
            }
            // Writing into a Vec cannot fail.
            let _ = write!(wire, "{:X}\r\n", data.len());
            if data.len() > COPY_MAX {
                (self.data, self.owes_end) = (data, true);
                break;
            }
            wire.extend_from_slice(&data);
            wire.extend_from_slice(b"\r\n");
        }
        if !wire.is_empty() {
            self.wire = wire.into();
            return Poll::Ready(Ok(()));
        }
        match self.failed.take() {
            Some(error) => Poll::Ready(Err(io::Error::other(error))),
            None => Poll::Pending,
        }
    }

    /// Ready: the client is gone, or says more than anybody wants to hear.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut scratch = [0; IGNORED_STEP];
            let mut scratch = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut scratch)) {
                Ok(()) if scratch.filled().is_empty() => return Poll::Ready(()),
                Ok(()) => self.ignored += scratch.filled().len(),
                Err(_) => return Poll::Ready(()),
            }
            if self.ignored > IGNORED_MAX {
                return Poll::Ready(());
            }
        }
    }

    /// Ready: the stream is written to its end.
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_drain(cx))?;
            if self.body.is_none() {
                if !self.shut {
                    self.shut = true;
                    self.io.end();
                }
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_gather(cx))?;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Long<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        match this.poll_stream(cx) {
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "a long answer broke off");
                return Poll::Ready(());
            }
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        this.poll_leave(cx)
    }
}

/// Status line and header section (RFC 9112 sections 4 and 5).
fn head(response: &Response<Tracked>) -> Vec<u8> {
    let status = response.status();
    let mut head = Vec::with_capacity(512);
    // Writing into a Vec cannot fail.
    let _ =
        write!(head, "HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default());
    for (name, value) in response.headers() {
        if *name == header::CONNECTION || *name == header::DATE {
            continue;
        }
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    let date = httpdate::HttpDate::from(SystemTime::now());
    let _ = write!(head, "connection: close\r\ntransfer-encoding: chunked\r\ndate: {date}\r\n\r\n");
    head
}
