//! 2026-07-28: every request stands alone, so any endpoint will do, except where the server itself said otherwise.

mod body;
mod call;
mod fallback;
mod handles;
mod listen;
mod listen_body;
mod merge;
mod mirrored;
mod subscription;

pub(crate) use call::{call, fetch};
pub(crate) use listen::{Wanted, listen_all};

use crate::{
    caller::{Caller, reason},
    era::Version,
    errors::{McpError, Problem},
    exchange::{Answer, Hold, ask, bare_error},
    frame::{Frame, Kind},
    headers, pinning, probe, reply,
    tally::{Tally, failure_verdict, refusal},
};
use holdfast_edge::Body;
use holdfast_resilience::Safety;
use holdfast_telemetry::metrics::{MappedEra, McpOutcome};
use http::{HeaderMap, Response, StatusCode};
use std::sync::Arc;

/// Requests that this version took away; the server is not asked ("MUST respond with 404 Not Found").
pub(crate) const REMOVED: [&[u8]; 5] =
    [b"initialize", b"ping", b"logging/setLevel", b"resources/subscribe", b"resources/unsubscribe"];

/// The request whose answer is a stream that stays open.
pub(crate) const LISTEN: &str = "subscriptions/listen";

/// Answers a POST that holds one modern message. A client that goes away cancels it.
pub(crate) async fn post(caller: Arc<Caller>, frame: Frame) -> Response<Body> {
    if let Err(error) = headers::check_modern(&caller.headers, &frame, &Version::MODERN) {
        return refuse(&caller, &frame, &error);
    }
    if !probe::speaks_modern(&caller).await {
        return fallback::answer(&caller, &frame);
    }
    if frame.kind() == Kind::Notification {
        return Box::pin(notification(&caller, &frame)).await;
    }
    if REMOVED.contains(&&*frame.method_bytes()) {
        return refuse(&caller, &frame, &McpError::new(Problem::MethodNotFound));
    }
    let allowance = match caller.admit(&frame) {
        Ok(allowance) => allowance,
        Err(error) => return refuse(&caller, &frame, &error),
    };
    if let Err(error) = pinning::verify(&caller, &frame, None).await {
        return refuse(&caller, &frame, &error);
    }
    if frame.is(LISTEN) {
        return Box::pin(listen::listen(caller, frame)).await;
    }
    call(&caller, &frame, allowance).await
}

/// The headers of a modern message as its client sent them; they were checked against the body.
fn forward_headers(caller: &Caller, to: &mut HeaderMap) {
    for (name, value) in &caller.headers {
        if !name.as_str().starts_with("mcp-") {
            continue;
        }
        if [headers::PROTOCOL_VERSION, headers::METHOD, headers::NAME].contains(name) {
            to.insert(name, value.clone());
        } else if name.as_str().starts_with(headers::PARAM_PREFIX) {
            // "MUST forward it and otherwise ignore it"
            to.append(name, value.clone());
        }
    }
}

async fn notification(caller: &Caller, frame: &Frame) -> Response<Body> {
    let tally = Tally::new(caller, frame, MappedEra::Modern);
    let mut out = caller.message(caller.about(frame), frame.bytes().clone(), Safety::Unsafe);
    forward_headers(caller, &mut out.headers);
    match ask(&caller.server, out, None, Hold::OnlyAnswer).await {
        Ok(answer) => {
            caller.note_head(answer.head());
            match answer {
                Answer::Message(head, error) if !head.status.is_success() => {
                    tally.end(McpOutcome::CallerError);
                    reply::json(head.status, error.into_bytes())
                }
                Answer::Bare(head) if !head.status.is_success() => {
                    tally.end(McpOutcome::UpstreamError);
                    reply::error(&bare_error(head.status), None)
                }
                Answer::Message(..) | Answer::Bare(_) | Answer::Events(..) | Answer::Open(..) => {
                    tally.end(McpOutcome::Ok);
                    reply::empty(StatusCode::ACCEPTED)
                }
            }
        }
        Err(failure) => {
            caller.note_failure(&failure);
            tally.end(failure_verdict(&failure));
            reply::error(&failure.to_error(), None)
        }
    }
}

fn refuse(caller: &Caller, frame: &Frame, error: &McpError) -> Response<Body> {
    Tally::new(caller, frame, MappedEra::Modern).end(refusal(error));
    caller.note_outcome(McpOutcome::Refused, reason(error));
    reply::error(error, if frame.kind() == Kind::Request { frame.id() } else { None })
}
