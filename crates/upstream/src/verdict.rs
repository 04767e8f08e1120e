//! What a response status says about its endpoint.

use holdfast_resilience::{FailureKind, Outcome};
use http::{HeaderMap, StatusCode, header};
use std::time::{Duration, SystemTime};

/// Judges a response head. 5xx, 408 and 429 are the endpoint's; every other 4xx is the caller's.
pub(crate) fn of(status: StatusCode, headers: &HeaderMap) -> Outcome {
    match status {
        StatusCode::TOO_MANY_REQUESTS => {
            Outcome::Failed(FailureKind::Overloaded { retry_after: retry_after(headers) })
        }
        StatusCode::SERVICE_UNAVAILABLE if headers.contains_key(header::RETRY_AFTER) => {
            Outcome::Failed(FailureKind::Overloaded { retry_after: retry_after(headers) })
        }
        StatusCode::REQUEST_TIMEOUT => Outcome::Failed(FailureKind::Status(status.as_u16())),
        status if status.is_server_error() => Outcome::Failed(FailureKind::Status(status.as_u16())),
        status if status.is_client_error() => Outcome::Neutral,
        _ => Outcome::Ok,
    }
}

/// The failure that may be worth another attempt: 429, 502, 503 and 504.
pub(crate) fn retryable(status: StatusCode, outcome: Outcome) -> Option<FailureKind> {
    let transient = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    match outcome {
        Outcome::Failed(kind) if transient => Some(kind),
        Outcome::Failed(_) | Outcome::Ok | Outcome::Neutral => None,
    }
}

/// `Retry-After` in either form (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    // A date in the past means now.
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

/// Whether the response is a stream of events, whatever the caller expected.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    const EVENT_STREAM: &[u8] = b"text/event-stream";
    let value = headers.get(header::CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
    value.len() >= EVENT_STREAM.len() && value[..EVENT_STREAM.len()].eq_ignore_ascii_case(EVENT_STREAM)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(retry_after: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::RETRY_AFTER, retry_after.parse().unwrap())])
    }

    #[test]
    fn client_errors_judge_nothing_and_server_errors_do() {
        let none = HeaderMap::new();
        for status in [400, 401, 403, 404, 409, 499] {
            assert_eq!(of(StatusCode::from_u16(status).unwrap(), &none), Outcome::Neutral);
        }
        for status in [408, 500, 501, 502, 503, 504] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(of(status, &none), Outcome::Failed(FailureKind::Status(status.as_u16())));
        }
        for status in [200, 204, 301, 304] {
            assert_eq!(of(StatusCode::from_u16(status).unwrap(), &none), Outcome::Ok);
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let wish = |text: &str| match of(StatusCode::SERVICE_UNAVAILABLE, &headers(text)) {
            Outcome::Failed(FailureKind::Overloaded { retry_after }) => retry_after,
            other => panic!("{other:?}"),
        };
        assert_eq!(wish("7"), Some(Duration::from_secs(7)));
        assert_eq!(wish("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wish("soon"), None);
    }

    #[test]
    fn an_internal_error_is_not_retried() {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        assert_eq!(retryable(status, of(status, &HeaderMap::new())), None);
        let status = StatusCode::BAD_GATEWAY;
        assert_eq!(retryable(status, of(status, &HeaderMap::new())), Some(FailureKind::Status(502)));
    }
}
