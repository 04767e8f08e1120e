//! What replicas tell each other of a session: where it lives since it moved, and that it has ended (decision 0012).
//!
//! None of it is needed to answer: without the store each replica finds out for itself.

use crate::{
    caller::Caller,
    ids::Epoch,
    state::{Binding, Known, McpState, Note},
    token::{BindingRecord, EndpointTag, SessionUid, refused_from, unix_now},
};
use holdfast_store::{Entry, SessionId, Swapped};
use holdfast_telemetry::metrics::JournalRead;
use holdfast_upstream::clock;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Longest wait for the store. It is asked where an endpoint is gone or a session ends, never on the way of an ordinary request.
const STORE_WAIT: Duration = Duration::from_millis(250);

/// What became of a binding made here.
pub(crate) enum Published {
    /// It is the session's.
    Ours,
    /// Another replica was faster.
    Theirs(Binding),
}

/// The session's binding, if there is one later than `epoch`: what this replica knows, what another has said, or what the shared
/// journal holds, in this order. What comes from elsewhere is remembered here.
pub(crate) async fn later(caller: &Caller, session: SessionUid, epoch: Epoch) -> Option<Binding> {
    let journal = &caller.shared.state.journal;
    let said = match journal.get(session, clock::now()) {
        Some(Known::To(binding)) if binding.epoch > epoch => return Some(binding),
        Some(Known::Elsewhere(later, Some(record))) if later > epoch => bound(caller, later, record),
        Some(Known::To(_) | Known::Elsewhere(..)) | None => None,
    };
    let found = match said {
        Some(binding) => binding,
        None => read(caller, session).await.filter(|binding| binding.epoch > epoch)?,
    };
    journal.put(session, found.clone(), clock::now());
    Some(found)
}

/// What the shared journal says. Of all sessions that lost their endpoint together only so many ask at once; one whose turn does
/// not come in time goes on without, as if the journal could not be read.
async fn read(caller: &Caller, session: SessionUid) -> Option<Binding> {
    let state = &caller.shared.state;
    let store = state.store()?;
    let (metrics, until) = (&caller.server.metrics, until(caller));
    let Ok(_turn) = clock::timeout_at(until, state.reading.take(&metrics.journal_reads_waiting)).await else {
        metrics.journal_reads.inc(JournalRead::Full);
        tracing::debug!("the shared journal was not read: sessions.max_journal_reads are under way");
        return None;
    };
    let (result, binding) = match store.journal().read(SessionId(session.0), until).await {
        Ok(Some(entry)) => (JournalRead::Found, theirs(caller, &entry)),
        Ok(None) => (JournalRead::Nothing, None),
        Err(error) => {
            tracing::debug!(%error, "the shared journal was not read");
            (JournalRead::Failed, None)
        }
    };
    metrics.journal_reads.inc(result);
    binding
}

/// What another replica has said, as a binding; `None` if its endpoint is unknown here.
fn bound(caller: &Caller, epoch: Epoch, record: BindingRecord) -> Option<Binding> {
    let endpoint = match record.endpoint {
        Some(tag) => Some(caller.server.endpoint(tag)?),
        None => None,
    };
    Some(Binding { endpoint, upstream_session: record.upstream_session.map(Arc::from), epoch })
}

/// Makes `binding` the session's for all replicas, unless one of them was faster.
pub(crate) async fn publish(
    caller: &Caller,
    session: SessionUid,
    expires: u64,
    binding: &Binding,
) -> Published {
    let state = &caller.shared.state;
    let record = BindingRecord {
        endpoint: binding.endpoint.as_ref().map(|key| EndpointTag::of(key.as_str())),
        upstream_session: binding.upstream_session.as_deref().map(str::to_owned),
    };
    let moved = Note::Moved { session, epoch: binding.epoch, binding: record.clone() };
    let Some(store) = state.store() else {
        state.tell_peers(&moved);
        return Published::Ours;
    };
    let entry =
        Entry { epoch: holdfast_store::Epoch(u64::from(binding.epoch.0)), value: record.encode().into() };
    let life = Duration::from_secs(refused_from(expires).saturating_sub(unix_now()));
    match store.journal().swap(SessionId(session.0), entry, life, until(caller)).await {
        Ok(Swapped::Stored) => Published::Ours,
        // One whose endpoint is unknown here is of no use here.
        Ok(Swapped::Newer(entry)) => theirs(caller, &entry).map_or(Published::Ours, Published::Theirs),
        Err(error) => {
            tracing::debug!(%error, "the shared journal was not written");
            state.tell_peers(&moved);
            Published::Ours
        }
    }
}

/// Tells all replicas that the session has ended. The store goes on telling them if it cannot do so now.
pub(crate) async fn end(state: &McpState, session: SessionUid, expires: u64, until: Instant) {
    state.tell_peers(&Note::Ended { session, expires });
    let Some(store) = state.store() else { return };
    let session = SessionId(session.0);
    let (revoked, forgotten, unused) = tokio::join!(
        store.revocations().revoke(session, expires, until),
        store.journal().forget(session, until),
        store.activity().end(session, until)
    );
    for error in [revoked.err(), forgotten.err(), unused.err()].into_iter().flatten() {
        tracing::debug!(%error, "the end of a session was not stored");
    }
}

fn theirs(caller: &Caller, entry: &Entry) -> Option<Binding> {
    let record = BindingRecord::decode(&entry.value)?;
    bound(caller, Epoch(u32::try_from(entry.epoch.0).ok()?), record)
}

pub(crate) fn until(caller: &Caller) -> Instant {
    caller.until.min(clock::after(clock::now(), STORE_WAIT))
}
