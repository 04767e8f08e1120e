//! The handshake of an upgrade: WebSocket, over HTTP/1.1.

use crate::scan::Found;
use holdfast_edge::{ConnectionInfo, HttpVersion, RequestBody};
use http::{
    HeaderMap, HeaderValue, Method, Request,
    header::{CONNECTION, UPGRADE},
};
use http_body::Body as _;
use hyper::upgrade::OnUpgrade;

/// Marks a response whose request goes on as a tunnel, which writes the access record when it ends. Whoever answers the
/// request must not write one.
#[derive(Clone, Copy, Debug)]
pub struct Tunnelled;

/// The client's side of a WebSocket handshake (RFC 6455 section 4.1), if the request is one. Any other `Upgrade` is
/// dropped with the hop-by-hop headers: `h2c` in particular must not open a way around the routes.
pub(crate) fn wanted(
    request: &mut Request<RequestBody>,
    found: &Found,
    connection: &ConnectionInfo,
) -> Option<OnUpgrade> {
    let is_handshake = found.is_websocket()
        && connection.http == HttpVersion::Http1
        && *request.method() == Method::GET
        && request.body().is_end_stream();
    is_handshake.then(|| hyper::upgrade::on(request))
}

/// Writes the two headers of a handshake, which belong to one hop.
pub(crate) fn announce(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}
