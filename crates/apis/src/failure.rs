//! What a failed call means to the client.

use crate::problem::Problem;
use holdfast_edge::RequestBodyError;
use holdfast_telemetry::RecordOutcome::{self, ClientAbort, Rejected, Timeout, UpstreamError};
use holdfast_upstream::CallError;

/// The answer to a call that has no response. Status and `Retry-After` are the upstream room's ([`CallError::wire`]).
pub(crate) fn problem(error: &CallError) -> Problem {
    let (mut status, retry_after) = error.wire();
    if let CallError::RequestBody { source } = error
        && let Some(body) = of_body(&**source)
    {
        if matches!(body, RequestBodyError::TooLarge { .. }) {
            return Problem::BODY_TOO_LARGE;
        }
        status = body.status();
    }
    let (code, detail, remedy, outcome): (_, _, _, RecordOutcome) = match error {
        CallError::NoEndpoint { .. } | CallError::PinnedGone { .. } => (
            "no_endpoint",
            "no endpoint of this route's upstream takes requests",
            "try again later; operators: see /status on the admin port",
            UpstreamError,
        ),
        CallError::Refused { .. } => (
            "breaker_open",
            "every endpoint of this route's upstream failed too often and is left alone for a while",
            "try again after the time in Retry-After",
            UpstreamError,
        ),
        CallError::Overloaded { .. } => (
            "upstream_saturated",
            "too many requests for this route's upstream are under way",
            "try again later; operators: see max_requests and connection_pool.max_waiting",
            UpstreamError,
        ),
        CallError::Connect { .. } | CallError::Tls { .. } | CallError::Forbidden { .. } => (
            "upstream_unreachable",
            "this route's upstream could not be reached; the request was not processed",
            "try again; operators: see /status on the admin port",
            UpstreamError,
        ),
        CallError::Reset { .. } => (
            "upstream_reset",
            "this route's upstream broke off before it answered; it may have processed the request",
            "look at the effect of the request before repeating it",
            UpstreamError,
        ),
        CallError::Timeout { .. } | CallError::Deadline { .. } => (
            "upstream_timeout",
            "this route's upstream did not answer in time; it may have processed the request",
            "look at the effect of the request before repeating it",
            Timeout,
        ),
        CallError::RequestBody { .. } => (
            "request_body",
            "the request body could not be read to its end",
            "send the request again",
            ClientAbort,
        ),
        CallError::Target => (
            "bad_target",
            "the request target does not form a URL with the upstream's",
            "send a shorter or simpler path",
            Rejected,
        ),
        // The type may grow in its room; whatever comes is a failure behind us.
        _ => ("upstream_error", "the request could not be passed on", "try again", UpstreamError),
    };
    Problem { status, code, detail, remedy, retry_after, outcome }
}

/// The body's own error comes wrapped in that of the connection that sent it.
fn of_body<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a RequestBodyError> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_resilience::Sent;
    use std::time::Duration;

    #[test]
    fn an_address_or_a_cause_never_reaches_the_client() {
        let error = CallError::Connect {
            endpoint: "http://10.1.2.3:80".into(),
            source: "refused by 10.1.2.3".into(),
        };
        let problem = problem(&error);
        assert_eq!((problem.status.as_u16(), problem.outcome), (502, UpstreamError));
        assert!(!format!("{problem:?}").contains("10.1.2.3"));
    }

    #[test]
    fn an_open_breaker_says_when_to_come_back() {
        let wait = Duration::from_secs(7);
        let error = CallError::Refused { upstream: "u".into(), retry_after: Some(wait) };
        assert_eq!(problem(&error).retry_after, Some(wait));
        assert_eq!(problem(&error).status.as_u16(), 503);
    }

    #[test]
    fn a_timeout_is_told_apart_and_a_large_body_is_the_callers() {
        let late = CallError::Deadline { upstream: "u".into(), sent: Sent::Maybe };
        assert_eq!((problem(&late).status.as_u16(), problem(&late).outcome), (504, Timeout));
        let large = CallError::RequestBody { source: Box::new(RequestBodyError::TooLarge { limit: 1 }) };
        assert_eq!((problem(&large).status.as_u16(), problem(&large).outcome), (413, Rejected));
        let stalled = CallError::RequestBody { source: Box::new(RequestBodyError::Stalled) };
        assert_eq!((problem(&stalled).status.as_u16(), problem(&stalled).outcome), (408, ClientAbort));
    }
}
