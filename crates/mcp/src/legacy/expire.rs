//! The end of a session whose time is over, idle or absolute: everywhere, and at its server.

use super::{ended::ended, replicas};
use crate::{
    caller::PROTOCOL_VERSION,
    era::Version,
    exchange::{Hold, Outgoing, SESSION, ask},
    ids::Epoch,
    server::Server,
    shared::Shared,
    state::{Known, McpState, Room},
    token::{BindingRecord, EndingRecord, EndpointTag, SessionUid, refused_from, unix_now},
};
use bytes::Bytes;
use holdfast_edge::{REQUEST_ID, RequestId};
use holdfast_resilience::Safety;
use holdfast_store::{Due, SessionId};
use holdfast_telemetry::metrics::SessionEnd;
use holdfast_upstream::clock;
use http::{HeaderMap, HeaderValue, Method};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Longest wait for the store while a session ends.
const STORE_WAIT: Duration = Duration::from_secs(1);
/// Longest wait for the server's answer to the DELETE, if its `initialize_timeout` is longer.
const SERVER_WAIT: Duration = Duration::from_secs(10);

/// The way to a server of one snapshot, for what no client asked for.
pub struct Reach {
    shared: Arc<Shared>,
    server: Arc<Server>,
}

impl Reach {
    pub(crate) fn new(shared: &Arc<Shared>, server: &Arc<Server>) -> Self {
        Self { shared: Arc::clone(shared), server: Arc::clone(server) }
    }
}

/// Ends a session that this replica has claimed from the store, so that no other ends it too. First nobody serves it any more, then its
/// server hears of it. Not to be dropped before its end: nobody would tell the server then.
pub(crate) async fn expire(state: &McpState, due: Due, reach: &impl Fn(&str) -> Option<Reach>) -> SessionEnd {
    let session = SessionUid(due.session.0);
    if state.revoked.contains(session) {
        return SessionEnd::Ended;
    }
    let record = due.ending.as_deref().and_then(EndingRecord::decode);
    let now = unix_now();
    let is_over = record.as_ref().is_some_and(|record| state.uses.over_at(record.expires) <= now);
    if !is_over && state.uses.keep(session, due.ending.as_ref()) {
        return SessionEnd::Kept;
    }
    if !is_over && state.uses.may_be_used_elsewhere() {
        return SessionEnd::Left;
    }
    let local = moved_here(state, session);
    let expires = record.as_ref().map_or_else(|| now.saturating_add(state.uses.life()), |it| it.expires);
    let refused_from = refused_from(expires);
    if state.end(session, refused_from).is_err() {
        // With a shared store absence from it refuses the token; without one the server does, which is told now.
        tracing::warn!("sessions.max_entries sessions are ended and not expired: an end was not remembered");
    }
    let until = clock::after(clock::now(), STORE_WAIT);
    let moved = later(local, moved_elsewhere(state, session, until).await);
    replicas::end(state, session, refused_from, until).await;
    let Some(record) = record else { return SessionEnd::Gone };
    let to = reach(&record.server);
    if let Some(Reach { shared, server }) = &to {
        measure(shared, server, &record, is_over, moved.is_some());
    }
    let (endpoint, id) = match moved {
        Some((epoch, to)) if epoch > record.epoch => (to.endpoint, to.upstream_session),
        _ => (Some(record.endpoint), record.upstream_session),
    };
    let Some(id) = id else { return SessionEnd::Untold };
    match (to, endpoint) {
        (Some(reach), Some(endpoint)) => tell(&reach, endpoint, &id, record.version).await,
        _ => SessionEnd::Gone,
    }
}

/// How long it was: its beginning is as long before its end as `sessions.absolute_ttl` says now.
fn measure(shared: &Shared, server: &Server, record: &EndingRecord, is_over: bool, moved: bool) {
    let issued = record.expires.saturating_sub(shared.session_ttl.as_secs());
    let error = if is_over { "expired" } else { "idle" };
    let session = ended(record.version, server.is_program, error, issued);
    server.metrics.operations.session_served(session);
    if !moved && record.epoch == Epoch(0) && record.upstream_session.is_some() {
        server.metrics.operations.session_sent(session);
    }
}

type Moved = Option<(Epoch, BindingRecord)>;

fn later(one: Moved, other: Moved) -> Moved {
    [one, other].into_iter().flatten().max_by_key(|(epoch, _)| *epoch)
}

fn moved_here(state: &McpState, session: SessionUid) -> Moved {
    match state.journal.get(session, clock::now())? {
        Known::To(binding) => {
            let endpoint = binding.endpoint.map(|key| EndpointTag::of(key.as_str()));
            let upstream_session = binding.upstream_session.as_deref().map(str::to_owned);
            Some((binding.epoch, BindingRecord { endpoint, upstream_session }))
        }
        Known::Elsewhere(epoch, record) => Some((epoch, record?)),
    }
}

async fn moved_elsewhere(state: &McpState, session: SessionUid, until: Instant) -> Moved {
    let entry = state.store()?.journal().read(SessionId(session.0), until).await.ok()??;
    Some((Epoch(u32::try_from(entry.epoch.0).ok()?), BindingRecord::decode(&entry.value)?))
}

/// "Clients that no longer need a particular session SHOULD send an HTTP DELETE" (session management, 5). Whatever the server answers,
/// 405 included, it has heard it.
async fn tell(reach: &Reach, endpoint: EndpointTag, id: &str, version: Version) -> SessionEnd {
    let Reach { shared, server } = reach;
    let (Some(endpoint), Ok(id)) = (server.endpoint(endpoint), HeaderValue::from_str(id)) else {
        return SessionEnd::Gone;
    };
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(REQUEST_ID, RequestId::generate(&mut fastrand::Rng::new()).header_value());
    headers.insert(SESSION, id);
    if version.has_version_header() {
        headers.insert(PROTOCOL_VERSION, HeaderValue::from_static(version.as_str()));
    }
    if let Some((name, value)) = &server.credential {
        headers.insert(name.clone(), value.clone());
    }
    let out = Outgoing {
        method: Method::DELETE,
        headers,
        body: Bytes::new(),
        // A session of a server that is linked is found by its id alone.
        principal: None,
        pin: Some(endpoint),
        avoid: Vec::new(),
        // At most once: what may have arrived is not sent again.
        safety: Safety::Unsafe,
        until: clock::after(clock::now(), server.initialize_timeout.min(SERVER_WAIT)),
        answer_max: shared.response_max,
        room: Room {
            answers: Arc::clone(&shared.state.answers),
            limit: shared.responses_max,
            metrics: Arc::clone(&server.metrics),
        },
        view: None,
        about: None,
        version: version.label(),
        trace: None,
        continued: false,
    };
    match ask(server, out, None, Hold::OnlyAnswer).await {
        Ok(_) => SessionEnd::Told,
        Err(failure) => {
            tracing::debug!(server = &*server.name, %failure, "the server did not hear of a session's end");
            SessionEnd::Failed
        }
    }
}
