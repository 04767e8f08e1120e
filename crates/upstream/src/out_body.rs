//! The request body on its way out: one that can be sent again, or taken back as long as nobody asked for a byte of it.

use crate::{BoxError, BoxedBody, CallBody, clock, expect::Gate};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

/// A call's body between attempts. Each attempt gets an [`OutBody`] of it.
pub(crate) enum Source {
    Empty,
    Full(Bytes),
    Stream(Arc<Mutex<Stream>>),
}

/// A body that exists once. It stays here, so that an attempt that never asked for it leaves it to the next one.
pub(crate) struct Stream {
    body: StreamBody,
    /// The attempt that may read. An earlier one, still alive in its connection's task, gets an error instead of data
    /// that belongs to its successor.
    reader: u32,
    polled: bool,
    /// The client's side failed: not the upstream's fault.
    failed: bool,
    /// The server would take more, and the client has not sent it.
    owed: bool,
    /// When the client last sent something that was waited for.
    fed: Option<Instant>,
}

enum StreamBody {
    Incoming(Incoming),
    Boxed(BoxedBody),
}

impl Source {
    pub(crate) fn new(body: CallBody) -> Self {
        let stream = match body {
            CallBody::Empty => return Self::Empty,
            CallBody::Full(bytes) if bytes.is_empty() => return Self::Empty,
            CallBody::Full(bytes) => return Self::Full(bytes),
            // A body that has ended is no body: the request stays repeatable.
            CallBody::Incoming(body) if body.is_end_stream() => return Self::Empty,
            CallBody::Incoming(body) => StreamBody::Incoming(body),
            CallBody::Stream(body) => StreamBody::Boxed(body),
        };
        let stream = Stream { body: stream, reader: 0, polled: false, failed: false, owed: false, fed: None };
        Self::Stream(Arc::new(Mutex::new(stream)))
    }

    /// The body for one attempt. A reader of an earlier attempt is cut off.
    pub(crate) fn attempt(&self, gate: Option<Gate>) -> OutBody {
        let kind = match self {
            Self::Empty => Kind::Empty,
            Self::Full(bytes) => Kind::Full(Some(bytes.clone())),
            Self::Stream(stream) => {
                let mut locked = stream.lock();
                locked.reader += 1;
                Kind::Stream { stream: Arc::clone(stream), reader: locked.reader }
            }
        };
        OutBody { kind, gate }
    }

    /// Whether another attempt can send the same body.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Empty | Self::Full(_) => true,
            Self::Stream(stream) => !stream.lock().polled,
        }
    }

    /// Whether the body exists once only.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Since when the client has kept nobody waiting, if ever: `Err` while it does.
    pub(crate) fn fed(&self) -> Result<Option<Instant>, Owed> {
        let Self::Stream(stream) = self else { return Ok(None) };
        let stream = stream.lock();
        if stream.owed { Err(Owed) } else { Ok(stream.fed) }
    }

    /// Whether reading it failed on the client's side.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self, Self::Stream(stream) if stream.lock().failed)
    }
}

/// The client still has to send a part of the body that the server would take.
pub(crate) struct Owed;

/// A body as hyper sends it.
pub(crate) struct OutBody {
    kind: Kind,
    /// Closed until the server says 100 or a short time has passed.
    gate: Option<Gate>,
}

enum Kind {
    Empty,
    Full(Option<Bytes>),
    Stream { stream: Arc<Mutex<Stream>>, reader: u32 },
}

impl Body for OutBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(gate) = &mut this.gate {
            ready!(gate.poll_open(cx));
            this.gate = None;
        }
        match &mut this.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Kind::Stream { stream, reader } => stream.lock().poll(*reader, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(bytes) => bytes.is_none(),
            Kind::Stream { stream, .. } => stream.lock().body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Kind::Stream { stream, .. } => stream.lock().body.size_hint(),
        }
    }
}

impl Stream {
    fn poll(&mut self, reader: u32, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if reader != self.reader {
            return Poll::Ready(Some(Err("the request body was taken back for another attempt".into())));
        }
        self.polled = true;
        let Poll::Ready(frame) = self.body.poll_frame(cx) else {
            self.owed = true;
            return Poll::Pending;
        };
        if std::mem::take(&mut self.owed) {
            self.fed = Some(clock::now());
        }
        self.failed |= matches!(frame, Some(Err(_)));
        Poll::Ready(frame)
    }
}

impl StreamBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self {
            Self::Incoming(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Boxed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Incoming(body) => body.is_end_stream(),
            Self::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Incoming(body) => body.size_hint(),
            Self::Boxed(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full};

    fn boxed(text: &'static str) -> CallBody {
        CallBody::Stream(Full::new(Bytes::from_static(text.as_bytes())).map_err(Into::into).boxed_unsync())
    }

    #[tokio::test]
    async fn a_full_body_can_be_sent_again() {
        let source = Source::new(CallBody::Full(Bytes::from_static(b"again")));
        for _ in 0..3 {
            let sent = source.attempt(None).collect().await.unwrap().to_bytes();
            assert_eq!(sent, "again");
            assert!(source.is_whole());
        }
    }

    #[tokio::test]
    async fn a_stream_that_nobody_asked_for_is_whole() {
        let source = Source::new(boxed("once"));
        drop(source.attempt(None));
        assert!(source.is_whole());
        assert_eq!(source.attempt(None).collect().await.unwrap().to_bytes(), "once");
        assert!(!source.is_whole());
    }

    #[tokio::test]
    async fn an_earlier_attempt_cannot_read_what_belongs_to_its_successor() {
        let source = Source::new(boxed("once"));
        let first = source.attempt(None);
        let second = source.attempt(None);
        assert!(first.collect().await.is_err());
        assert!(source.is_whole() && !source.has_failed());
        assert_eq!(second.collect().await.unwrap().to_bytes(), "once");
    }

    #[tokio::test]
    async fn a_failure_of_the_clients_side_is_remembered() {
        let body = http_body_util::StreamBody::new(futures_util::stream::iter([Err::<Frame<Bytes>, _>(
            BoxError::from("gone"),
        )]));
        let source = Source::new(CallBody::Stream(body.boxed_unsync()));
        assert!(source.attempt(None).collect().await.is_err());
        assert!(source.has_failed());
    }
}
