//! HTTP responses of this room.

use crate::errors::McpError;
use crate::tally::refusal;
use bytes::Bytes;
use holdfast_edge::{Body, LongLived};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

/// Tells reverse proxies in front of us not to buffer (2026-07-28 Streamable HTTP, "Receiving Messages").
const NO_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A JSON body.
pub(crate) fn json(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A bare status.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}

/// A typed error; `id` is the request's, as raw JSON.
pub(crate) fn error(error: &McpError, id: Option<&[u8]>) -> Response<Body> {
    let mut response = error.response(id).map(Body::full);
    response.extensions_mut().insert(refusal(error));
    response
}

/// Why no server was asked, for the access record.
#[derive(Clone, Copy)]
pub(crate) struct Unasked(pub(crate) &'static str);

/// An answer that says `error`, to a request of which no server has heard.
pub(crate) fn unasked(mut response: Response<Body>, error: &McpError) -> Response<Body> {
    response.extensions_mut().insert(Unasked(error.problem().row().reason));
    response
}

/// An event stream.
pub(crate) fn events(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(NO_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// An event stream that a client keeps open to hear what a server says on its own.
pub(crate) fn listening(body: Body) -> Response<Body> {
    let mut response = events(body);
    response.extensions_mut().insert(LongLived);
    response
}
