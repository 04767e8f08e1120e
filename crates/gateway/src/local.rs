//! Answers that the gateway gives by itself on a client listener: health, metadata, no route, no credential.

use bytes::Bytes;
use holdfast_edge::Body;
use holdfast_identity::AuthError;
use http::{HeaderValue, Response, StatusCode, header};

/// Liveness: the process answers, whatever its dependencies do.
pub(crate) fn alive() -> Response<Body> {
    text(StatusCode::OK, "ok\n")
}

/// Readiness: should this process get traffic?
pub(crate) fn ready(is_ready: bool) -> Response<Body> {
    if is_ready {
        text(StatusCode::OK, "ready\n")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    }
}

/// RFC 9728 section 3.2. Readable from any origin: it is public, and browsers' clients need it.
pub(crate) fn metadata(document: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::full(document));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

/// No route has a prefix of this path.
pub(crate) fn no_route() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "no route for this path\n")
}

/// A method that the path does not have.
pub(crate) fn method_not_allowed() -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// 401 or 403 with the challenge of RFC 6750 section 3, extended by RFC 9728 section 5.1.
pub(crate) fn unauthenticated(error: &AuthError, resource_metadata: Option<&str>) -> Response<Body> {
    let mut response = text(error.status(), &format!("{error}\n"));
    let headers = response.headers_mut();
    headers.insert(header::WWW_AUTHENTICATE, error.www_authenticate(resource_metadata));
    response
}

fn text(status: StatusCode, body: &str) -> Response<Body> {
    let mut response = Response::new(Body::full(body.to_owned()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
