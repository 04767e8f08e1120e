//! Answers that the edge gives by itself: fixed bytes, built once.

use crate::{Body, guard::Violation};
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER},
};

/// Seconds a shed client is told to wait.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

macro_rules! raw {
    ($status:literal, $text:literal, $length:literal) => {
        concat!(
            "HTTP/1.1 ",
            $status,
            "\r\ncontent-type: text/plain\r\ncontent-length: ",
            $length,
            "\r\nconnection: close\r\n\r\n",
            $text
        )
        .as_bytes()
    };
}

/// 400 for bad framing.
pub(crate) const BAD_REQUEST: &[u8] = raw!("400 Bad Request", "bad request framing\n", "20");
/// 408 for a head that did not come in time (RFC 9110 section 15.5.9).
pub(crate) const TIMEOUT: &[u8] = raw!("408 Request Timeout", "request head took too long\n", "27");
/// 431 for a head beyond its limits.
pub(crate) const TOO_LARGE: &[u8] =
    raw!("431 Request Header Fields Too Large", "request head too large\n", "23");

/// The bytes that answer a violation.
pub(crate) const fn of(violation: Violation) -> &'static [u8] {
    if violation.is_too_large() { TOO_LARGE } else { BAD_REQUEST }
}

/// A local answer of a few bytes of text. Closes an HTTP/1 connection where reading cannot go on.
///
/// `status` is one of 400, 408, 413, 431, 503; any other is answered with its canonical reason.
pub fn local_response(status: StatusCode) -> Response<Body> {
    let text: &'static [u8] = match status {
        StatusCode::BAD_REQUEST => b"bad request\n",
        StatusCode::REQUEST_TIMEOUT => b"request body took too long\n",
        StatusCode::PAYLOAD_TOO_LARGE => b"request body too large\n",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => b"request head too large\n",
        StatusCode::SERVICE_UNAVAILABLE => b"unavailable, try again\n",
        _ => status.canonical_reason().unwrap_or("error").as_bytes(),
    };
    let mut response = Response::new(Body::Full(bytes::Bytes::from_static(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        StatusCode::BAD_REQUEST | StatusCode::REQUEST_TIMEOUT => {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_answers_declare_the_length_they_have() {
        for answer in [BAD_REQUEST, TIMEOUT, TOO_LARGE] {
            let text = std::str::from_utf8(answer).expect("text");
            let (head, body) = text.split_once("\r\n\r\n").expect("head");
            assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{text}");
            assert!(head.contains("connection: close"));
        }
    }

    #[test]
    fn a_shed_client_is_told_when_to_come_back() {
        let response = local_response(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers().get(RETRY_AFTER), Some(&RETRY_AFTER_SECONDS));
        assert!(!response.headers().contains_key(CONNECTION));
    }
}
