//! Versions with a handshake (2025-03-26 to 2025-11-25 over Streamable HTTP): the client's token is the session.

mod batch;
mod body;
mod delete;
mod deliver;
pub(crate) mod ended;
mod expire;
mod get;
mod initialize;
mod messages;
mod outlive;
mod pump;
mod rebind;
mod relay;
mod replicas;
mod request;
mod resume;
mod server_events;
mod session;
mod translate;

pub(crate) use body::EventBody;
pub(crate) use get::of_session as get_stream;
pub(crate) use initialize::handshake;
pub(crate) use rebind::{close, initialized};
pub(crate) use session::{Bound, Session, sole};

use crate::{
    caller::{Caller, PROTOCOL_VERSION, reason},
    era::{Era, Version, classify},
    errors::{McpError, Problem},
    frame::{Frame, FrameError, Kind},
    reply,
    tally::Tally,
    token::SessionUid,
};
use deliver::{Outcome, respond};
pub use expire::Reach;
pub(crate) use expire::expire;
use holdfast_edge::Body;
use holdfast_telemetry::metrics::{MappedEra, McpOutcome};
use http::{HeaderMap, Response};
use outlive::outlive;
use std::sync::Arc;

/// Answers a POST that holds one legacy message. A client that goes away does not cancel it.
pub(crate) async fn post(caller: Arc<Caller>, frame: Frame) -> Response<Body> {
    if frame.kind() == Kind::Request && frame.is("initialize") {
        return Box::pin(initialize::initialize(&caller, &frame)).await;
    }
    let session = match Session::open(&caller).await {
        Ok(session) => session,
        Err(error) => return refuse(&caller, &error, frame.id()),
    };
    if let Err(error) = agree(&caller.headers, session.version, &frame) {
        return refuse(&caller, &error, frame.id());
    }
    one(caller, session, frame).await
}

/// Answers one message of an open session.
pub(crate) async fn one(caller: Arc<Caller>, session: Arc<Session>, frame: Frame) -> Response<Body> {
    outlive(async move {
        let outcome = match frame.kind() {
            Kind::Request => request::request(&caller, &session, &frame).await,
            // Boxed, as every rarer way is: the size of a future is that of its largest part, and each move copies it whole.
            Kind::Notification => Box::pin(messages::notification(&caller, &session, &frame)).await,
            Kind::Response | Kind::ErrorResponse => {
                Box::pin(messages::answer(&caller, &session, &frame)).await
            }
        };
        respond(&caller, &session, outcome)
    })
    .await
}

/// Answers a POST that holds an array.
pub(crate) async fn post_batch(
    caller: Arc<Caller>,
    frames: Vec<Result<Frame, FrameError>>,
) -> Response<Body> {
    let session = match Session::open(&caller).await {
        Ok(session) => session,
        Err(error) => return refuse(&caller, &error, None),
    };
    if !session.version.has_batches() {
        let error = McpError::new(Problem::InvalidRequest)
            .detail(format!("version {} has no batches: send one message", session.version.as_str()));
        return refuse(&caller, &error, None);
    }
    outlive(batch::batch(caller, session, frames)).await
}

/// Asks the session's server, and waits for the answer alone. The gateway's own use: none if there is no answer that can be read.
pub(crate) async fn fetch(caller: &Caller, session: &Session, frame: &Frame) -> Option<Frame> {
    let tally = Tally::own(&caller.server, frame, MappedEra::Legacy);
    match request::counted(caller, session, frame, tally).await {
        Outcome::Message { body, .. } => {
            Frame::parse(body, &crate::source::answer_limits(caller.shared.response_max)).ok()
        }
        Outcome::Events { events, .. } => events.into_iter().rev().find_map(|event| event.frame),
        Outcome::Open { tally, .. } => {
            tally.end(McpOutcome::UpstreamError);
            None
        }
        Outcome::Accepted | Outcome::Refused { .. } => None,
    }
}

/// Answers a GET.
pub(crate) async fn get(caller: Arc<Caller>) -> Response<Body> {
    get::get(caller).await
}

/// Ends a session, or one member's part of it, here and at the other replicas. False if there is no room to remember that.
pub(crate) async fn end(caller: &Caller, session: SessionUid, expires: u64) -> bool {
    let state = &caller.shared.state;
    if state.end(session, expires).is_err() {
        return false;
    }
    replicas::end(state, session, expires, replicas::until(caller)).await;
    true
}

/// Answers a DELETE. Runs to its end even if the client does not wait.
pub(crate) async fn delete(caller: Arc<Caller>) -> Response<Body> {
    outlive(async move { delete::delete(&caller).await }).await
}

/// The version header must be one we know and the session's (2025-06-18, "Protocol Version Header").
pub(crate) fn agree(headers: &HeaderMap, version: Version, frame: &Frame) -> Result<(), McpError> {
    let header = headers.get(&PROTOCOL_VERSION).and_then(|value| value.to_str().ok());
    match classify(frame, header, Some(version)) {
        Era::Legacy(_) => Ok(()),
        Era::Modern | Era::Initialize | Era::Sessionless | Era::BadVersion => {
            let supported = Version::LEGACY.iter().map(|known| known.as_str());
            let error = McpError::unsupported_version(supported, header.unwrap_or_default());
            Err(error.detail(format!("this session speaks {}", version.as_str())))
        }
    }
}

fn refuse(caller: &Caller, error: &McpError, id: Option<&[u8]>) -> Response<Body> {
    caller.note_outcome(McpOutcome::Refused, reason(error));
    reply::error(error, id)
}
