//! Between the HTTP parser and the handler: what is true of every request of a connection.

use crate::{
    Body, BodyError, ConnectionInfo, Handler, HttpVersion, LongLived, Phase, RequestBody,
    answers::local_response,
    cell::{ConnectionCell, UPGRADE_DENIED, UPGRADE_GRANTED, Verdict},
    handover::Offer,
    stream_cell::StreamCell,
};
use bytes::Bytes;
use holdfast_telemetry::EdgeMetrics;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
};

/// What all requests of a connection share.
pub(crate) struct Serving<H> {
    pub(crate) handler: Arc<H>,
    pub(crate) info: Arc<ConnectionInfo>,
    pub(crate) cell: Arc<ConnectionCell>,
    pub(crate) metrics: Arc<EdgeMetrics>,
    /// Long answers, which the connection's driver may write by itself.
    pub(crate) offer: Offer,
}

/// Answers one request.
pub(crate) async fn answer<H: Handler>(
    serving: Arc<Serving<H>>,
    request: Request<Incoming>,
) -> Result<Response<Tracked>, Infallible> {
    let http1 = serving.info.http == HttpVersion::Http1;
    let mut flight = InFlight::new(&serving, http1);
    let connect = request.method() == Method::CONNECT;
    // The guard has seen whether there is such a header at all: most requests are not asked once more.
    let upgrade = http1
        && serving.cell.asked_upgrade.load(Relaxed)
        && request.version() == Version::HTTP_11
        && (connect || request.headers().contains_key(header::UPGRADE));
    let may_be_long = http1 && request.version() == Version::HTTP_11 && request.method() != Method::HEAD;
    let (mut request, stream) = watch_body(&serving, request);
    let mut response = serving.handler.handle(&mut request, &serving.info).await;
    if http1 {
        if let Some(status) = refused_body(&serving.cell) {
            response = local_response(status);
        }
        let granted = response.status() == StatusCode::SWITCHING_PROTOCOLS
            || (connect && response.status().is_success());
        if upgrade {
            let decision = if granted { UPGRADE_GRANTED } else { UPGRADE_DENIED };
            serving.cell.upgrade.store(decision, Relaxed);
            flight.wake = !granted;
        }
        // From the first moment of a drain, so that clients come back elsewhere.
        if !granted && serving.info.drain.phase() >= Phase::Unready {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    } else if stream.is_some_and(|stream| stream.has_failed()) {
        response = local_response(StatusCode::REQUEST_TIMEOUT);
        // The other streams go on (RFC 9113 section 8.2.2: no such header either).
        response.headers_mut().remove(header::CONNECTION);
    }
    let long = response.extensions().get::<LongLived>().is_some();
    let response = response.map(|body| Tracked { body, stream: None, flight });
    if long && may_be_long { Ok(serving.offer.make(response).await) } else { Ok(response) }
}

/// The request with a body that `read_timeout` covers, and for HTTP/2 what watches it.
fn watch_body<H>(
    serving: &Serving<H>,
    request: Request<Incoming>,
) -> (Request<RequestBody>, Option<Arc<StreamCell>>) {
    if serving.info.http == HttpVersion::Http1 || request.body().is_end_stream() {
        return (request.map(RequestBody::new), None);
    }
    let stream = StreamCell::new(serving.cell.deadlines.read);
    let watch = Arc::clone(&stream);
    let (connection, metrics) = (Arc::clone(&serving.cell), Arc::clone(&serving.metrics));
    (request.map(|body| RequestBody::watched(body, watch, connection, metrics)), Some(stream))
}

/// The answer to a request whose body broke off here, whatever the handler made of it.
fn refused_body(cell: &ConnectionCell) -> Option<StatusCode> {
    if cell.broken_body.load(Relaxed) {
        Some(StatusCode::BAD_REQUEST)
    } else if cell.verdict() == Verdict::Body {
        Some(StatusCode::REQUEST_TIMEOUT)
    } else {
        None
    }
}

/// One request from head to the last byte of its response.
struct InFlight {
    cell: Arc<ConnectionCell>,
    metrics: Arc<EdgeMetrics>,
    /// Bytes behind a refused upgrade were held back, and the parser does not know that it should ask for them.
    wake: bool,
}

impl InFlight {
    fn new<H>(serving: &Serving<H>, http1: bool) -> Self {
        // HTTP/1 requests are counted by the guard, which sees them first.
        if !http1 {
            serving.cell.request_began();
        }
        serving.metrics.in_flight.inc();
        Self { cell: Arc::clone(&serving.cell), metrics: Arc::clone(&serving.metrics), wake: false }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        self.cell.response_done();
        if self.wake {
            self.cell.waker.wake();
        }
    }
}

/// A response body on its way out: keeps the request in flight until it ends, and ends it when its source is silent for
/// `stream_idle_timeout`.
pub(crate) struct Tracked {
    body: Body,
    stream: Option<Arc<StreamCell>>,
    flight: InFlight,
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.stream.as_ref().is_some_and(|stream| stream.is_expired()) {
            return Poll::Ready(Some(Err(BodyError::Idle)));
        }
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Pending => {
                let cell = &this.flight.cell;
                let stream = this.stream.get_or_insert_with(|| StreamCell::new(cell.deadlines.stream_idle));
                stream.silent(&cell.worker, cx.waker());
                Poll::Pending
            }
            ready @ Poll::Ready(_) => {
                if let Some(stream) = &this.stream {
                    stream.moved();
                }
                ready
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            stream.end();
        }
    }
}
