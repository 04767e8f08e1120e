//! DELETE: the client ends its session.

use super::{
    ended,
    rebind::close,
    replicas,
    session::{Bound, Session},
};
use crate::{
    caller::Caller,
    errors::{McpError, Problem},
    reply,
    state::Full,
    token::refused_from,
};
use holdfast_edge::Body;
use http::{Response, StatusCode};

/// Ends a session here and at the other replicas until its token expires, and at its server as far as that can be reached. The session is ours, so
/// what its server says to the DELETE changes nothing for the client.
pub(crate) async fn delete(caller: &Caller) -> Response<Body> {
    let session = match Session::open(caller).await {
        Ok(session) => session,
        Err(error) => return reply::error(&error, None),
    };
    let state = &caller.shared.state;
    let bound = session.binding(caller).await;
    let expires = refused_from(session.expires);
    if let Err(Full) = state.end(session.uid, expires) {
        let error = McpError::new(Problem::Overloaded)
            .detail("sessions.max_entries sessions are already ended and not expired yet")
            .retry_after(std::time::Duration::from_mins(1));
        return reply::error(&error, None);
    }
    ended::of_client(&caller.server.metrics.operations, caller, session.version, session.issued);
    replicas::end(state, session.uid, expires, replicas::until(caller)).await;
    if let Bound::To(binding) = bound {
        close(caller, &session, &binding).await;
    }
    reply::empty(StatusCode::NO_CONTENT)
}
