//! The body of a client's request.

use crate::{RequestBodyError, cell::ConnectionCell, stream_cell::StreamCell};
use bytes::Bytes;
use holdfast_telemetry::{EdgeMetrics, metrics::Stall};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// A request body as it comes from the client's connection.
///
/// While it is waited for, `server.read_timeout` runs: HTTP/1 bodies are watched with their connection, which ends with them; an
/// HTTP/2 body has a watch of its own and ends in [`RequestBodyError::Stalled`], while other streams of the connection go on.
#[derive(Default)]
pub struct RequestBody {
    /// `None`: it was taken, or there never was one.
    incoming: Option<Incoming>,
    watch: Option<Box<Watch>>,
}

/// What ends the body of an HTTP/2 stream whose client sends nothing.
struct Watch {
    stream: Arc<StreamCell>,
    connection: Arc<ConnectionCell>,
    metrics: Arc<EdgeMetrics>,
}

impl RequestBody {
    /// A body whose connection is watched, not itself.
    pub(crate) fn new(incoming: Incoming) -> Self {
        Self { incoming: Some(incoming), watch: None }
    }

    /// A body that is watched by `stream`.
    pub(crate) fn watched(
        incoming: Incoming,
        stream: Arc<StreamCell>,
        connection: Arc<ConnectionCell>,
        metrics: Arc<EdgeMetrics>,
    ) -> Self {
        Self { incoming: Some(incoming), watch: Some(Box::new(Watch { stream, connection, metrics })) }
    }
}

impl Watch {
    /// Nothing came. An error once that has lasted for too long.
    fn silent(&self, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        if self.stream.is_expired() {
            if self.stream.fail() {
                self.metrics.stalls.inc(Stall::RequestBody);
            }
            return Poll::Ready(Some(Err(RequestBodyError::Stalled)));
        }
        self.stream.silent(&self.connection.worker, cx.waker());
        Poll::Pending
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stream.end();
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its size only: bodies are never logged.
        write!(f, "RequestBody({:?})", self.size_hint().exact())
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let this = &mut *self;
        let Some(incoming) = &mut this.incoming else { return Poll::Ready(None) };
        match (Pin::new(incoming).poll_frame(cx), &this.watch) {
            (Poll::Pending, Some(watch)) => watch.silent(cx),
            (Poll::Pending, None) => Poll::Pending,
            (Poll::Ready(frame), watch) => {
                // What has come counts, however late its reader looked: only a client can stall.
                if let Some(watch) = watch {
                    watch.stream.moved();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(RequestBodyError::Read)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}
