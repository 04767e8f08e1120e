//! A modern request: anywhere, or where its handle leads.

use super::{
    body::{CallBody, Ending, write},
    forward_headers,
    handles::{self, Rewrite, declares_tasks, tasks_not_declared},
    mirrored, refuse,
};
use crate::{
    caller::{Caller, may_repeat, reason},
    errors::{McpError, Problem},
    exchange::{Answer, Hold, ask, bare_error},
    failure::Failure,
    frame::{Frame, Member},
    headers,
    policy::Allowance,
    reply,
    seal::Purpose,
    tally::{Tally, failure_verdict, verdict},
};
use bytes::{Bytes, BytesMut};
use holdfast_edge::Body;
use holdfast_resilience::Safety;
use holdfast_telemetry::metrics::{MappedEra, McpOutcome};
use holdfast_upstream::EndpointKey;
use http::{HeaderValue, Response, StatusCode};
use std::sync::Arc;

/// A request as its endpoint gets it.
struct Prepared {
    body: Bytes,
    /// `Mcp-Name`, where it is not the client's.
    name: Option<HeaderValue>,
    pin: Option<EndpointKey>,
    rewrite: Rewrite,
}

/// Answers a modern request. Dropping the future cancels it at its endpoint.
pub(crate) async fn call(caller: &Arc<Caller>, frame: &Frame, allowance: Allowance) -> Response<Body> {
    if let Err(error) = mirrored::check(caller, frame).await {
        return refuse(caller, frame, &error);
    }
    let prepared = match prepare(caller, frame) {
        Ok(prepared) => prepared,
        Err(Unfit::Error(error)) => return refuse(caller, frame, &error),
        Err(Unfit::TasksNotDeclared) => {
            Tally::new(caller, frame, MappedEra::Modern).end(McpOutcome::Refused);
            return reply::json(StatusCode::BAD_REQUEST, tasks_not_declared(frame.id().unwrap_or(b"null")));
        }
    };
    let tally = Tally::new(caller, frame, MappedEra::Modern);
    match exchange(caller, frame, &prepared, &allowance, None).await {
        Ok(answer) => deliver(caller, frame, answer, prepared.rewrite, tally, allowance),
        Err(failure) => {
            let error = match prepared.pin {
                Some(_) if failure.endpoint_gone() => McpError::new(Problem::EndpointGone),
                _ => failure.to_error(),
            };
            let outcome = failure_verdict(&failure);
            tracing::debug!(server = &*caller.server.name, %failure, "no answer");
            tally.end(outcome);
            caller.note_outcome(outcome, reason(&error));
            reply::error(&error, frame.id())
        }
    }
}

/// Asks a safe request's answer of `caller`'s server, whatever comes before it. The gateway's own use: nothing in it is sealed.
pub(crate) async fn fetch(caller: &Caller, frame: &Frame) -> Result<Frame, McpError> {
    let tally = Tally::own(&caller.server, frame, MappedEra::Modern);
    let prepared =
        Prepared { body: frame.bytes().clone(), name: None, pin: None, rewrite: Rewrite::default() };
    match exchange(caller, frame, &prepared, &caller.unlimited(), Some(Hold::OnlyAnswer)).await {
        Ok(answer) => {
            let outcome = answer.response().map_or(McpOutcome::UpstreamError.into(), verdict);
            tally.end(outcome);
            answer.response().cloned().ok_or_else(|| bare_error(answer.head().status))
        }
        Err(failure) => {
            tally.end(failure_verdict(&failure));
            Err(failure.to_error())
        }
    }
}

/// Why a request is not sent.
enum Unfit {
    Error(McpError),
    TasksNotDeclared,
}

impl From<McpError> for Unfit {
    fn from(error: McpError) -> Self {
        Self::Error(error)
    }
}

/// Opens what the client carries for us. Handles are attacker-controlled until they open ("Server Requirements", 4).
fn prepare(caller: &Caller, frame: &Frame) -> Result<Prepared, Unfit> {
    let (purpose, member) = match &*frame.method_bytes() {
        b"tasks/get" | b"tasks/update" | b"tasks/cancel" => (Purpose::Task, Member::TaskId),
        _ if frame.has(Member::RequestState) => (Purpose::RequestState, Member::RequestState),
        _ => {
            let (body, rewrite) = (frame.bytes().clone(), Rewrite::default());
            return Ok(Prepared { body, name: None, pin: None, rewrite });
        }
    };
    let invalid = || {
        McpError::new(Problem::InvalidParams).detail(format!("`params.{}` must be a string", member.key()))
    };
    let presented = frame.text(member).ok_or_else(invalid)?;
    let opened = match handles::open(caller, purpose, &presented) {
        Ok(opened) => opened,
        Err(_) if purpose == Purpose::Task && !declares_tasks(frame) => return Err(Unfit::TasksNotDeclared),
        Err(error) => return Err(error.into()),
    };
    let body = frame.splice().set_text(member, &opened.original).finish();
    let body = body.map_err(|_| McpError::new(Problem::Internal))?;
    let (mut name, mut rewrite) = (None, Rewrite::default());
    if purpose == Purpose::Task {
        let value = HeaderValue::from_str(&headers::encode_value(&opened.original));
        name = Some(value.map_err(|_| McpError::new(Problem::Internal))?);
        rewrite.task = Some((opened.original, presented.into_owned()));
    }
    Ok(Prepared { body, name, pin: Some(opened.endpoint), rewrite })
}

/// `hold` as its safety wants, if the caller does not say.
async fn exchange(
    caller: &Caller,
    frame: &Frame,
    prepared: &Prepared,
    allowance: &Allowance,
    hold: Option<Hold>,
) -> Result<Answer, Failure> {
    let safety = caller.safety(frame);
    let usual = if safety == Safety::Unsafe { Hold::FirstMessage } else { Hold::Answer };
    let hold = hold.unwrap_or(usual);
    let mut avoid: Vec<EndpointKey> = Vec::new();
    let mut left = caller.server.attempts_max;
    loop {
        let mut out = caller.message(caller.about(frame), prepared.body.clone(), safety);
        forward_headers(caller, &mut out.headers);
        if let Some(name) = &prepared.name {
            out.headers.insert(headers::NAME, name.clone());
        }
        (out.until, out.answer_max) = (allowance.until, allowance.answer_max);
        out.pin.clone_from(&prepared.pin);
        out.avoid.clone_from(&avoid);
        left -= 1;
        match ask(&caller.server, out, frame.id(), hold).await {
            Ok(answer) => {
                caller.note_head(answer.head());
                return Ok(answer);
            }
            Err(failure) => {
                caller.note_failure(&failure);
                if left == 0 || !failure.broken() || !may_repeat(&failure, safety) {
                    return Err(failure);
                }
                avoid.extend(failure.endpoint().cloned());
            }
        }
    }
}

fn deliver(
    caller: &Arc<Caller>,
    frame: &Frame,
    answer: Answer,
    rewrite: Rewrite,
    tally: Tally,
    allowance: Allowance,
) -> Response<Body> {
    if let Some(response) = answer.response() {
        if caller.server.trust_hints && frame.is("tools/list") {
            caller.shared.state.hints.learn(&caller.server.name, response);
        }
        mirrored::learn(caller, frame, response);
        tally.end(verdict(response));
        return whole(caller, frame, &answer, &rewrite)
            .unwrap_or_else(|error| reply::error(&error, frame.id()));
    }
    match answer {
        Answer::Open(head, events, source) => {
            caller.notes.lock().streaming = true;
            let ending = Ending {
                caller: Arc::clone(caller),
                endpoint: head.endpoint,
                id: frame.id_bytes().unwrap_or_default(),
                rewrite,
                tally: Some(tally),
                allowance,
            };
            reply::events(Body::boxed(CallBody::new(events, source, ending)))
        }
        Answer::Message(head, _) | Answer::Events(head, _) | Answer::Bare(head) => {
            tally.end(McpOutcome::UpstreamError);
            let error = bare_error(head.status);
            caller.note_outcome(McpOutcome::UpstreamError, reason(&error));
            reply::error(&error, frame.id())
        }
    }
}

/// An answer that was read whole.
fn whole(
    caller: &Caller,
    frame: &Frame,
    answer: &Answer,
    rewrite: &Rewrite,
) -> Result<Response<Body>, McpError> {
    match answer {
        Answer::Message(head, response) => {
            let body = rewrite.response(caller, &head.endpoint, response)?;
            Ok(reply::json(head.status, body))
        }
        Answer::Events(head, events) => {
            let mut out = BytesMut::new();
            for event in events {
                out.extend_from_slice(&write(caller, &head.endpoint, event, frame.id(), rewrite)?);
            }
            Ok(reply::events(Body::full(out.freeze())))
        }
        Answer::Open(..) | Answer::Bare(_) => Err(McpError::new(Problem::Internal)),
    }
}
