//! Moving a session to another endpoint when its own is gone.
//!
//! Only for servers that the operator calls `session: replayable`. The stored `initialize` is repeated on another
//! endpoint, and the replicas remember the new binding under a higher epoch. One request of a replica does it, the others of the
//! session wait; of two replicas that do it at once, the first to write the shared journal wins.
//!
//! All sessions of a dead endpoint come at once. So many of a server move at the same time as its operator allows
//! (`max_reinitializations`), the others wait in the order they came, and those who waited are spread a little, because the
//! server's other replicas are told of the death at the same moment.

use super::{
    ended,
    replicas::{self, Published},
    session::Session,
};
use crate::{
    caller::{Caller, PROTOCOL_VERSION},
    exchange::{Answer, Hold, Outgoing, SESSION, ask},
    frame::Member,
    ids::Epoch,
    operation::About,
    state::Binding,
};
use bytes::Bytes;
use holdfast_edge::Turn;
use holdfast_resilience::Safety;
use holdfast_telemetry::metrics::{OperationMethod, Rebinding};
use holdfast_upstream::{EndpointKey, clock};
use http::{HeaderValue, Method, StatusCode};
use std::time::{Duration, Instant};

/// Id of the gateway's own `initialize`. The client never sees the answer.
const ID: &[u8] = b"\"holdfast-rebind\"";
const INITIALIZED: Bytes = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);

/// Who waited for a turn begins up to this much later.
const JITTER: Duration = Duration::from_millis(20);

/// Why a session cannot move.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stuck {
    /// The operator did not allow it, or the parameters did not fit into the token.
    #[error("the session cannot be replayed")]
    NotReplayable,
    /// No endpoint took it.
    #[error("no other endpoint took the session")]
    NoTaker,
    /// Its turn did not come within the request's deadline.
    #[error("too many sessions of the server are moving")]
    Crowded,
}

/// Binds `session` anew, away from `dead`. Returns the binding of a later epoch than `epoch`, made here or by a request
/// that was faster.
pub(crate) async fn rebind(
    caller: &Caller,
    session: &Session,
    epoch: Epoch,
    dead: Option<&EndpointKey>,
) -> Result<Binding, Stuck> {
    // What was never bound loses nothing by being bound now.
    let may = caller.server.replayable || (session.is_unbound && epoch == Epoch(0));
    let (true, Some(params)) = (may, &session.initialize) else {
        return Err(Stuck::NotReplayable);
    };
    let journal = &caller.shared.state.journal;
    // Whoever holds it may be waiting for a turn.
    let flight = clock::timeout_at(caller.until, journal.fly(session.uid)).await;
    let _flight = flight.map_err(|_| crowded(caller))?;
    if let Some(binding) = replicas::later(caller, session.uid, epoch).await {
        return Ok(binding);
    }
    let turn = turn(caller).await?;
    // It may have been moved at another replica in the meantime.
    if turn.waited()
        && let Some(binding) = replicas::later(caller, session.uid, epoch).await
    {
        return Ok(binding);
    }
    let until = caller.until.min(clock::after(clock::now(), caller.server.initialize_timeout));
    let moved = replay(caller, session, params, epoch, dead, until).await;
    drop(turn);
    let verdict = if moved.is_some() { Rebinding::Ok } else { Rebinding::Failed };
    caller.server.metrics.rebindings.inc(verdict);
    let mut binding = moved.ok_or(Stuck::NoTaker)?;
    ended::of_server(caller, session, epoch, "endpoint_gone");
    if let Published::Theirs(theirs) = replicas::publish(caller, session.uid, session.expires, &binding).await
    {
        // What was just opened is nobody's. A server that is not told keeps it until it expires there.
        close(caller, session, &binding).await;
        binding = theirs;
    }
    journal.put(session.uid, binding.clone(), clock::now());
    Ok(binding)
}

/// Ends the session at the server, as far as it can be reached.
pub(crate) async fn close(caller: &Caller, session: &Session, binding: &Binding) {
    if binding.upstream_session.is_none() {
        return;
    }
    let mut out = caller.bare(Method::DELETE, Safety::Idempotent);
    out.until = caller.until.min(clock::after(clock::now(), caller.server.initialize_timeout));
    bind(&mut out, session, binding);
    ended::of_server(caller, session, binding.epoch, "");
    match ask(&caller.server, out, None, Hold::OnlyAnswer).await {
        Ok(answer) => caller.note_head(answer.head()),
        Err(failure) => caller.note_failure(&failure),
    }
}

/// The turn to initialise one session anew. As many can wait as there are sessions with a request in flight.
async fn turn(caller: &Caller) -> Result<Turn, Stuck> {
    let server = &caller.server;
    let turns = caller.shared.state.moving.of(&server.name, server.reinitializations_max);
    let taking = turns.take(&server.metrics.rebindings_waiting);
    let turn = clock::timeout_at(caller.until, taking).await.map_err(|_| crowded(caller))?;
    if turn.waited() {
        tokio::time::sleep(JITTER.mul_f64(fastrand::f64())).await;
    }
    Ok(turn)
}

fn crowded(caller: &Caller) -> Stuck {
    caller.server.metrics.rebindings.inc(Rebinding::Overloaded);
    tracing::debug!(server = &*caller.server.name, "mcp.servers[].max_reinitializations are under way");
    Stuck::Crowded
}

async fn replay(
    caller: &Caller,
    session: &Session,
    params: &Bytes,
    epoch: Epoch,
    dead: Option<&EndpointKey>,
    until: Instant,
) -> Option<Binding> {
    let body =
        [br#"{"jsonrpc":"2.0","id":"#, ID, br#","method":"initialize","params":"#, params, b"}"].concat();
    let mut out = caller.message(Some(About::own(OperationMethod::Initialize)), body.into(), Safety::Safe);
    out.avoid.extend(dead.cloned());
    out.until = until;
    let answer = ask(&caller.server, out, Some(ID), Hold::OnlyAnswer).await.ok()?;
    let version = answer.response()?.text(Member::ProtocolVersion)?;
    // The client has settled on a version; a session of another one is of no use to it.
    if answer.head().status != StatusCode::OK || version != session.version.as_str() {
        return None;
    }
    let head = answer.head();
    let binding = Binding {
        endpoint: head.session.is_some().then(|| head.endpoint.clone()),
        upstream_session: head.session.clone(),
        epoch: Epoch(epoch.0.saturating_add(1)),
    };
    initialized(caller, session, &binding, until).await.then_some(binding)
}

/// Tells the server that the session is open. Whether it took that.
pub(crate) async fn initialized(
    caller: &Caller,
    session: &Session,
    binding: &Binding,
    until: Instant,
) -> bool {
    let mut out =
        caller.message(Some(About::own(OperationMethod::Initialized)), INITIALIZED, Safety::Idempotent);
    bind(&mut out, session, binding);
    out.until = until;
    match ask(&caller.server, out, None, Hold::OnlyAnswer).await {
        Ok(Answer::Bare(head)) => head.status.is_success(),
        Ok(Answer::Message(..) | Answer::Events(..) | Answer::Open(..)) | Err(_) => false,
    }
}

/// Addresses `out` to where `binding` says, in the session's version.
pub(crate) fn bind(out: &mut Outgoing, session: &Session, binding: &Binding) {
    out.pin.clone_from(&binding.endpoint);
    out.version = session.version.label();
    if let Some(id) = &binding.upstream_session
        && let Ok(value) = HeaderValue::from_str(id)
    {
        out.headers.insert(SESSION, value);
    }
    if session.version.has_version_header() {
        out.headers.insert(PROTOCOL_VERSION, HeaderValue::from_static(session.version.as_str()));
    }
}
