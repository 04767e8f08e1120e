//! Request heads, written straight from the call's parts into the wire buffer (RFC 9112 section 3).
//!
//! Names, values, methods and paths come as types that hold no control byte, so no value can end its line.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header, uri::PathAndQuery};

/// Everything of a request but its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestHead<'a> {
    pub(crate) method: &'a Method,
    /// The target in origin form (RFC 9112 section 3.2.1), in two parts: base path, from a checked URL, and the rest.
    pub(crate) target: (&'a str, &'a PathAndQuery),
    /// End-to-end fields. What they say of the body's length is replaced by what is true.
    pub(crate) headers: &'a HeaderMap,
    /// Sent where `headers` has no `Host`.
    pub(crate) host: &'a HeaderValue,
}

/// What is known of a body before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodySize {
    None,
    Exact(u64),
    Unknown,
}

/// How the body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    /// This many bytes are still owed.
    Length(u64),
    Chunked,
}

/// Appends the head to `wire`, and says how the body has to follow.
pub(super) fn write(head: &RequestHead<'_>, body: BodySize, wire: &mut Vec<u8>) -> Framing {
    wire.extend_from_slice(head.method.as_str().as_bytes());
    wire.push(b' ');
    wire.extend_from_slice(head.target.0.as_bytes());
    wire.extend_from_slice(head.target.1.as_str().as_bytes());
    wire.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    // First, as RFC 9110 section 7.2 advises, and once.
    wire.extend_from_slice(head.headers.get(header::HOST).unwrap_or(head.host).as_bytes());
    wire.extend_from_slice(b"\r\n");
    let mut declared = None;
    for (name, value) in head.headers {
        match *name {
            header::HOST | header::TRANSFER_ENCODING => {}
            header::CONTENT_LENGTH => declared = Some(value),
            _ => field(name, value, wire),
        }
    }
    let framing = framing(body, declared, head.method);
    match framing {
        Some(Framing::Length(length)) => {
            wire.extend_from_slice(b"content-length: ");
            wire.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            wire.extend_from_slice(b"\r\n\r\n");
        }
        Some(Framing::Chunked) => wire.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n"),
        Some(Framing::None) | None => wire.extend_from_slice(b"\r\n"),
    }
    match framing {
        Some(Framing::Length(0)) | None => Framing::None,
        Some(framing) => framing,
    }
}

/// Appends one field line.
pub(super) fn field(name: &HeaderName, value: &HeaderValue, wire: &mut Vec<u8>) {
    let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
    wire.reserve(name.len() + value.len() + 4);
    wire.extend_from_slice(name);
    wire.extend_from_slice(b": ");
    wire.extend_from_slice(value);
    wire.extend_from_slice(b"\r\n");
}

/// RFC 9110 section 8.6 and RFC 9112 section 6: a length where it is known, else chunks; nothing is said of a body that
/// nobody expects.
fn framing(body: BodySize, declared: Option<&HeaderValue>, method: &Method) -> Option<Framing> {
    match body {
        BodySize::None if declared.is_some() || expects_body(method) => Some(Framing::Length(0)),
        BodySize::None => None,
        BodySize::Exact(length) => Some(Framing::Length(length)),
        // A stream that does not know its length may still have been declared with one, and is held to it.
        BodySize::Unknown => {
            let length = declared.and_then(|value| value.to_str().ok()?.parse().ok());
            Some(length.map_or(Framing::Chunked, Framing::Length))
        }
    }
}

/// Methods whose missing body has to be said (RFC 9110 section 8.6).
fn expects_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// The names that the head announces as trailers (RFC 9110 section 6.6.2), but for those that no trailer may be
/// (section 6.5.1).
pub(super) fn announced_trailers(headers: &HeaderMap) -> Vec<HeaderName> {
    let listed =
        headers.get_all(header::TRAILER).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    listed.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).filter(may_trail).collect()
}

fn may_trail(name: &HeaderName) -> bool {
    !matches!(
        *name,
        header::AUTHORIZATION
            | header::CACHE_CONTROL
            | header::CONNECTION
            | header::CONTENT_ENCODING
            | header::CONTENT_LENGTH
            | header::CONTENT_RANGE
            | header::CONTENT_TYPE
            | header::COOKIE
            | header::EXPECT
            | header::HOST
            | header::MAX_FORWARDS
            | header::PROXY_AUTHORIZATION
            | header::RANGE
            | header::SET_COOKIE
            | header::TE
            | header::TRAILER
            | header::TRANSFER_ENCODING
            | header::UPGRADE
    )
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
