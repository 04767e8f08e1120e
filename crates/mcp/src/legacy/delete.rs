//! DELETE: the client ends its session.

use super::{
    rebind::bind,
    session::{Bound, Session},
};
use crate::{
    caller::Caller,
    errors::{McpError, Problem},
    exchange::{Hold, ask},
    reply,
    state::Full,
    token::unix_now,
};
use holdfast_edge::Body;
use holdfast_resilience::Safety;
use holdfast_upstream::clock;
use http::{Method, Response, StatusCode};

/// Ends a session here until its token expires, and at its server as far as that can be reached. The session is ours, so
/// what its server says to the DELETE changes nothing for the client.
pub(crate) async fn delete(caller: &Caller) -> Response<Body> {
    let session = match Session::open(caller) {
        Ok(session) => session,
        Err(error) => return reply::error(&error, None),
    };
    let state = &caller.shared.state;
    let bound = session.binding(caller);
    if let Err(Full) = state.revoked.insert(session.uid, session.expires, unix_now()) {
        let error = McpError::new(Problem::Overloaded)
            .detail("sessions.max_entries sessions are already ended and not expired yet")
            .retry_after(std::time::Duration::from_mins(1));
        return reply::error(&error, None);
    }
    state.journal.forget(session.uid);
    state.streams.forget_session(session.uid);
    if let Bound::To(binding) = bound
        && binding.upstream_session.is_some()
    {
        let mut out = caller.bare(Method::DELETE, Safety::Idempotent);
        out.until = caller.until.min(clock::after(clock::now(), caller.server.initialize_timeout));
        bind(&mut out, &session, &binding);
        match ask(&caller.server, out, None, Hold::OnlyAnswer).await {
            Ok(answer) => caller.note_head(answer.head()),
            Err(failure) => caller.note_failure(&failure),
        }
    }
    reply::empty(StatusCode::NO_CONTENT)
}
