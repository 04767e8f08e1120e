//! An answer's body, as the asker reads it, and as the owner's side writes it.

use crate::limits::Place;
use bytes::Bytes;
use holdfast_telemetry::Counter;
pub(crate) use holdfast_telemetry::UnderWay;
use holdfast_upstream::{BoxError, BoxedBody};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// The answer broke off: the owner died, its connection was lost, or its own source failed. What came before is whole, the rest is
/// not known.
#[derive(Debug, thiserror::Error)]
#[error("the answer of another replica broke off")]
pub struct Torn {
    source: Option<BoxError>,
}

/// The body of an answer. It ends cleanly only where the owner's own body ended; anything else is [`Torn`], once.
///
/// Reading slowly slows the owner down. Dropping it ends the owner's body.
pub struct PeerBody {
    /// With its places, which are given back when the body has ended or is dropped.
    incoming: Option<(Incoming, (Place, Place, UnderWay))>,
    torn: Counter,
}

impl PeerBody {
    pub(crate) fn new(incoming: Incoming, torn: &Counter, places: (Place, Place, UnderWay)) -> Self {
        Self { incoming: Some((incoming, places)), torn: torn.clone() }
    }
}

impl Body for PeerBody {
    type Data = Bytes;
    type Error = Torn;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Torn>>> {
        let Some((incoming, _)) = &mut self.incoming else { return Poll::Ready(None) };
        match ready!(Pin::new(incoming).poll_frame(cx)) {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(Err(error)) => {
                self.incoming = None;
                self.torn.inc();
                Poll::Ready(Some(Err(Torn { source: Some(error.into()) })))
            }
            None => {
                self.incoming = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(|(incoming, _)| incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), |(incoming, _)| incoming.size_hint())
    }
}

impl fmt::Debug for PeerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerBody").field("ended", &self.incoming.is_none()).finish_non_exhaustive()
    }
}

pin_project! {
    /// What this replica answers another one with.
    #[project = Projected]
    pub(crate) enum AnswerBody {
        Small { #[pin] body: Full<Bytes> },
        /// It holds its places until HTTP/2 drops it: at its end, or when the other side goes away.
        Owner { #[pin] body: BoxedBody, places: (Place, Place, UnderWay) },
    }
}

impl AnswerBody {
    pub(crate) fn small(bytes: impl Into<Bytes>) -> Self {
        Self::Small { body: Full::new(bytes.into()) }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project() {
            Projected::Small { body } => body.poll_frame(cx).map_err(|never| match never {}),
            Projected::Owner { body, .. } => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Small { body } => body.is_end_stream(),
            Self::Owner { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Small { body } => body.size_hint(),
            Self::Owner { body, .. } => body.size_hint(),
        }
    }
}
