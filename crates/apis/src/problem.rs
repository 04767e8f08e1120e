//! Answers that the gateway gives instead of an upstream: problem details (RFC 9457).
//!
//! They say what went wrong, where (route and request id, to be found in the access record) and what to do. They never
//! show an upstream's address or a cause in its words: those are for the log.

use holdfast_edge::Body;
use holdfast_telemetry::RecordOutcome;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};
use std::time::Duration;

/// Methods that a plain route passes on, for `Allow`.
pub(crate) const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// One kind of answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Status.
    pub status: StatusCode,
    /// Stable name of the problem, also the `reason` of the access record.
    pub code: &'static str,
    /// What went wrong, in a sentence.
    pub detail: &'static str,
    /// What the reader can do.
    pub remedy: &'static str,
    /// When asking again makes sense.
    pub retry_after: Option<Duration>,
    /// How the access record counts it.
    pub outcome: RecordOutcome,
}

impl Problem {
    const fn refused(
        status: StatusCode,
        code: &'static str,
        detail: &'static str,
        remedy: &'static str,
    ) -> Self {
        Self { status, code, detail, remedy, retry_after: None, outcome: RecordOutcome::Rejected }
    }

    /// TRACE and CONNECT.
    pub(crate) const METHOD: Self = Self::refused(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "this method is not passed on",
        "use another method",
    );
    /// See [`crate::check_path`].
    pub(crate) const PATH: Self = Self::refused(
        StatusCode::BAD_REQUEST,
        "ambiguous_path",
        "the path has `.` or `..` as a segment, or is not absolute",
        "resolve the path before sending it",
    );
    /// No host, or more than one.
    pub(crate) const HOST: Self = Self::refused(
        StatusCode::BAD_REQUEST,
        "bad_host",
        "the request does not name exactly one valid host",
        "send one Host header",
    );
    /// An expectation other than 100-continue (RFC 9110 section 10.1.1).
    pub(crate) const EXPECTATION: Self = Self::refused(
        StatusCode::EXPECTATION_FAILED,
        "unknown_expectation",
        "the Expect header asks for something other than 100-continue",
        "send the request without Expect",
    );
    /// Beyond `max_body_bytes`.
    pub(crate) const BODY_TOO_LARGE: Self = Self::refused(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        "the request body is larger than this route's max_body_bytes",
        "send less, or ask the operator to raise max_body_bytes",
    );

    /// The upstream switched protocols without being asked.
    pub(crate) const UNASKED_UPGRADE: Self = Self {
        status: StatusCode::BAD_GATEWAY,
        code: "unasked_upgrade",
        detail: "this route's upstream switched to another protocol without being asked",
        remedy: "operators: look at the upstream",
        retry_after: None,
        outcome: RecordOutcome::UpstreamError,
    };

    /// The answer. A response to HEAD has the same head and no body (RFC 9110 section 9.3.2).
    pub fn response(&self, route: &str, request_id: &str, method: &Method) -> Response<Body> {
        let body = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
            "remedy": self.remedy,
            "route": route,
            "request_id": request_id,
        });
        let text = body.to_string();
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds(wait)));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static(ALLOWED));
        }
        if *method == Method::HEAD {
            headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(text.len()));
        } else {
            *response.body_mut() = Body::full(text);
        }
        response
    }
}

/// Whole seconds, rounded up, at least one: `Retry-After: 0` invites a storm.
fn seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn a_problem_says_what_where_and_what_to_do() {
        let problem = Problem { retry_after: Some(Duration::from_millis(1200)), ..Problem::PATH };
        let response = problem.response("r\"1", "id-7", &Method::GET);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!((&value["status"], &value["code"]), (&400.into(), &"ambiguous_path".into()));
        assert_eq!((&value["route"], &value["request_id"]), (&"r\"1".into(), &"id-7".into()));
        assert!(value["detail"].is_string() && value["remedy"].is_string());
    }

    #[tokio::test]
    async fn head_gets_the_same_head_and_no_body() {
        let get = Problem::METHOD.response("r", "i", &Method::GET);
        let head = Problem::METHOD.response("r", "i", &Method::HEAD);
        let length = get.into_body().collect().await.unwrap().to_bytes().len();
        assert_eq!(head.headers()["content-length"], length.to_string().as_str());
        assert!(head.headers().contains_key(ALLOW));
        assert!(head.into_body().collect().await.unwrap().to_bytes().is_empty());
    }

    #[test]
    fn retry_after_is_never_zero() {
        assert_eq!([0, 1, 1000, 1001].map(|ms| seconds(Duration::from_millis(ms))), [1, 1, 1, 2]);
    }
}
