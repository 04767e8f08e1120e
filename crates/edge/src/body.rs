//! Response bodies, and the wrapper that knows how they ended.

use crate::Recorded;
use bytes::Bytes;
use holdfast_telemetry::{AccessRecord, RouteMetrics};
use holdfast_upstream::ReplyBody;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

/// What goes wrong while a body is on its way. The response can then only be cut, never finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The source of the body failed.
    #[error("response body failed: {0}")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No byte for `server.stream_idle_timeout`.
    #[error("no byte for the whole stream_idle_timeout")]
    Idle,
}

/// A boxed response body: streams that the gateway itself writes.
pub type BoxedBody = UnsyncBoxBody<Bytes, BodyError>;

/// A response body.
#[derive(Default)]
#[allow(
    clippy::large_enum_variant,
    reason = "the largest variant is the most frequent; a box would cost an allocation per response"
)]
pub enum Body {
    /// No bytes.
    #[default]
    Empty,
    /// All bytes, known at once.
    Full(Bytes),
    /// An endpoint's answer on its way through.
    Reply(ReplyBody),
    /// Anything else.
    Boxed(BoxedBody),
    /// Any of them, with the access record that its end completes.
    Recorded(Box<Recorded>),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Kind and size only: bodies are never logged.
        let kind = match self {
            Self::Empty => "Empty",
            Self::Full(_) => "Full",
            Self::Reply(_) => "Reply",
            Self::Boxed(_) => "Boxed",
            Self::Recorded(_) => "Recorded",
        };
        write!(f, "Body::{kind}({:?})", http_body::Body::size_hint(self).exact())
    }
}

impl Body {
    /// A body of `bytes`.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Self::Empty } else { Self::Full(bytes) }
    }

    /// A body from any other body.
    pub fn boxed<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        use http_body_util::BodyExt as _;
        Self::Boxed(body.map_err(|error| BodyError::Source(error.into())).boxed_unsync())
    }

    /// Ties `record` (and the metrics of its route) to this body: both are written when the body ends or is dropped. `started` is
    /// when the head was read.
    #[must_use]
    pub fn recorded(
        self,
        record: impl Into<Box<AccessRecord>>,
        metrics: Option<Arc<RouteMetrics>>,
        started: Instant,
    ) -> Self {
        Self::Recorded(Box::new(Recorded::new(self, record.into(), metrics, started)))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::full(bytes)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Reply(body) => Pin::new(body).poll_frame(cx).map_err(BodyError::Source),
            Self::Boxed(body) => Pin::new(body).poll_frame(cx),
            Self::Recorded(body) => Pin::new(&mut **body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Reply(body) => body.is_end_stream(),
            Self::Boxed(body) => body.is_end_stream(),
            Self::Recorded(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Reply(body) => body.size_hint(),
            Self::Boxed(body) => body.size_hint(),
            Self::Recorded(body) => body.size_hint(),
        }
    }
}
