//! The event stream of a session at its server.

use super::{rebind::bind, session::Session};
use crate::{
    caller::Caller,
    exchange::{Answer, Hold, ask, bare_error},
    reply,
    source::Source,
    state::Binding,
};
use bytes::Bytes;
use holdfast_edge::Body;
use holdfast_resilience::Safety;
use holdfast_upstream::clock;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};

/// Header by which a client resumes (HTML, "Server-sent events").
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ACCEPT_EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// Why the server opened no stream.
#[allow(
    clippy::large_enum_variant,
    reason = "moved a few times per message; a box would cost an allocation each"
)]
pub(super) enum Closed {
    Gone,
    Says(Response<Body>),
}

/// Asks the server for events of `binding`'s session: after one it named, or new ones.
pub(super) async fn open_upstream(
    caller: &Caller,
    session: &Session,
    binding: &Binding,
    after: Option<&Bytes>,
) -> Result<Source, Closed> {
    let mut out = caller.bare(Method::GET, Safety::Safe);
    bind(&mut out, session, binding);
    out.headers.insert(header::ACCEPT, ACCEPT_EVENTS);
    if let Some(id) = after.and_then(|id| HeaderValue::from_bytes(id).ok()) {
        out.headers.insert(LAST_EVENT_ID, id);
    }
    out.until = caller.until.min(clock::after(clock::now(), caller.server.initialize_timeout));
    match ask(&caller.server, out, None, Hold::OnlyAnswer).await {
        Ok(Answer::Open(head, _, source)) => {
            caller.note_head(&head);
            Ok(source)
        }
        Ok(answer) if answer.head().status == StatusCode::NOT_FOUND && binding.upstream_session.is_some() => {
            Err(Closed::Gone)
        }
        // "or else return HTTP 405": the server offers no such stream, and says so itself.
        Ok(Answer::Message(head, frame)) => Err(Closed::Says(reply::json(head.status, frame.into_bytes()))),
        Ok(answer) if answer.head().status == StatusCode::METHOD_NOT_ALLOWED => {
            let mut response = reply::empty(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST, DELETE"));
            Err(Closed::Says(response))
        }
        Ok(answer) => Err(Closed::Says(reply::error(&bare_error(answer.head().status), None))),
        Err(failure) => {
            caller.note_failure(&failure);
            if failure.endpoint_gone() || failure.broken() {
                return Err(Closed::Gone);
            }
            Err(Closed::Says(reply::error(&failure.to_error(), None)))
        }
    }
}
