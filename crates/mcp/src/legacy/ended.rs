//! Sessions that ended, by the semantic conventions: how long they were open towards the client and towards the server.
//!
//! A session's beginning rides in its token, in whole seconds. That of a binding which a session was moved to does not: sessions with
//! servers are measured as long as they were never moved.

use super::session::Session;
use crate::{caller::Caller, era::Version, ids::Epoch, token::unix_now};
use holdfast_telemetry::metrics::{ServerOperations, SessionOf};
use std::time::Duration;

/// The client ended its session.
pub(crate) fn of_client(operations: &ServerOperations, caller: &Caller, version: Version, issued: u64) {
    operations.session_served(ended(version, caller.piped, "", issued));
}

/// The session with the server has ended, or is lost; `error` says why, if that was not wanted.
pub(crate) fn of_server(caller: &Caller, session: &Session, epoch: Epoch, error: &'static str) {
    if epoch == Epoch(0) && !session.is_unbound {
        let server = &caller.server;
        server.metrics.operations.session_sent(ended(
            session.version,
            server.is_program,
            error,
            session.issued,
        ));
    }
}

/// `error` is empty if it ended as it should.
pub(crate) fn ended(version: Version, piped: bool, error: &'static str, issued: u64) -> SessionOf {
    let took = Duration::from_secs(unix_now().saturating_sub(issued));
    SessionOf { version: version.label(), piped, error, took }
}
