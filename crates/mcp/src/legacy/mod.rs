//! Versions with a handshake (2025-03-26 to 2025-11-25 over Streamable HTTP): the client's token is the session.

mod batch;
mod body;
mod delete;
mod deliver;
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

use crate::{
    caller::{Caller, PROTOCOL_VERSION, reason},
    era::{Era, Version, classify},
    errors::{McpError, Problem},
    frame::{Frame, FrameError, Kind},
    reply,
};
use deliver::respond;
pub use expire::Reach;
pub(crate) use expire::expire;
use holdfast_edge::Body;
use holdfast_telemetry::metrics::McpOutcome;
use http::Response;
use outlive::outlive;
use session::Session;
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
    if let Err(error) = agree(&caller, &session, &frame) {
        return refuse(&caller, &error, frame.id());
    }
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

/// Answers a GET.
pub(crate) async fn get(caller: Arc<Caller>) -> Response<Body> {
    get::get(caller).await
}

/// Answers a DELETE. Runs to its end even if the client does not wait.
pub(crate) async fn delete(caller: Arc<Caller>) -> Response<Body> {
    outlive(async move { delete::delete(&caller).await }).await
}

/// The version header must be one we know and the session's (2025-06-18, "Protocol Version Header").
fn agree(caller: &Caller, session: &Session, frame: &Frame) -> Result<(), McpError> {
    let header = caller.text(&PROTOCOL_VERSION);
    match classify(frame, header, Some(session.version)) {
        Era::Legacy(_) => Ok(()),
        Era::Modern | Era::Initialize | Era::Sessionless | Era::BadVersion => {
            Err(McpError::unsupported_version(
                Version::LEGACY.iter().map(|v| v.as_str()),
                header.unwrap_or_default(),
            )
            .detail(format!("this session speaks {}", session.version.as_str())))
        }
    }
}

fn refuse(caller: &Caller, error: &McpError, id: Option<&[u8]>) -> Response<Body> {
    caller.note_outcome(McpOutcome::Refused, reason(error));
    reply::error(error, id)
}
