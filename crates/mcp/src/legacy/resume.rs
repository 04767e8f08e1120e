//! GET with `Last-Event-ID`: a stream goes on, wherever it was carried before (decision 0012).
//!
//! | the stream | answer |
//! |---|---|
//! | is here | from its log in memory; one that its server had paused is taken up there |
//! | its replica lives and has it | relayed from there |
//! | the shared log knows it | claimed: what was logged after the named event, then the server is asked for the rest |
//! | nobody knows it | the server is asked for what follows its own event id |
//! | that cannot be done | the request it would have answered gets its typed error; a stream without one begins anew |

use super::{
    deliver::{attach, from_start, reading},
    pump::{Carries, Pump},
    relay::relay,
    server_events::open_upstream,
    session::{Bound, Session},
    translate::Translator,
};
use crate::{
    caller::Caller,
    errors::Problem,
    ids::Epoch,
    source::Source,
    state::streams::{End, LiveStream, Resume, SharedLog, StreamId, shared_log},
    tally::Tally,
    token::{EventId, LoggedEvent, StreamRecord},
};
use bytes::Bytes;
use holdfast_edge::Body;
use holdfast_store::{Claimed, Owner, Page, PageLimit, ReplicaId, Sequence, Store};
use holdfast_telemetry::metrics::{MappedEra, MethodClass};
use holdfast_upstream::clock;
use http::Response;
use std::{sync::Arc, time::Instant};

/// Events and bytes of the shared log that are read at once.
const PAGE: PageLimit = PageLimit { events: 256, bytes: 1 << 20 };
/// Nothing but what is known of the stream.
const NO_EVENTS: PageLimit = PageLimit { events: 0, bytes: 0 };

/// Goes on after `place`. `None` if a new stream is all there is.
pub(super) async fn resume(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    place: &EventId,
) -> Option<Response<Body>> {
    let state = &caller.shared.state;
    let id = StreamId(place.stream);
    if let Some(stream) = state.streams.find(id, session.uid)
        && stream.end() != Some(End::Moved)
    {
        return here(caller, session, &stream, place);
    }
    if let Some(response) = relay(caller, session, place.replica, id, Some(place.sequence + 1)).await {
        return Some(response);
    }
    if let Some(store) = state.store()
        && let Some(response) = Box::pin(claim(caller, session, place, store)).await
    {
        return Some(response);
    }
    at_server(caller, session, place).await
}

/// From the log of this replica.
fn here(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    stream: &Arc<LiveStream>,
    place: &EventId,
) -> Option<Response<Body>> {
    let state = &caller.shared.state;
    let listening = state.streams.get_stream(session.uid).is_some_and(|get| get.id == stream.id);
    if stream.end() == Some(End::Lost) && stream.next_sequence() <= place.sequence + 1 {
        return None;
    }
    if let Some(resume) = stream.wake() {
        // Whoever asked may leave: the suspension is taken back, so somebody must carry the stream.
        tokio::spawn(go_on(Arc::clone(caller), Arc::clone(session), Arc::clone(stream), resume));
    }
    let attached = attach(caller, stream, place.sequence + 1, listening);
    // What comes next fell out of the log: the answer would come with a hole before it.
    attached.or_else(|| place.awaiting.as_ref().map(|_| lost(caller, session, place)))
}

/// Lets a suspended stream go on where its server left it.
async fn go_on(caller: Arc<Caller>, session: Arc<Session>, stream: Arc<LiveStream>, resume: Resume) {
    let Resume { upstream_event, epoch, awaiting, log } = resume;
    let pump = pump(&caller, &session, &stream, epoch, awaiting, log);
    let source = source_after(&caller, &session, epoch, Some(&upstream_event)).await;
    run(pump, source, Some(upstream_event));
}

/// From the log that all replicas can read. Whoever carried the stream is dead, or hangs; if not, it hears that it does no longer.
async fn claim(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    place: &EventId,
    store: &Store,
) -> Option<Response<Body>> {
    let id = StreamId(place.stream);
    let stream = shared_log::name(session.uid, id);
    let next = Sequence(place.sequence + 1);
    let page = store.events().read(stream, next, NO_EVENTS, soon(caller)).await.ok()??;
    let record = StreamRecord::decode(&page.meta)?;
    // What was dropped for room before it was read is gone.
    if page.first > next {
        return None;
    }
    let me = caller.shared.state.replica();
    if let Some(response) = at_owner(caller, session, place, page.owner.replica).await {
        return Some(response);
    }
    match store.events().claim(stream, page.owner, me, soon(caller)).await.ok()? {
        Claimed::Yours(owner) => Some(take_over(caller, session, place, store, record, owner)),
        Claimed::Lost(owner) => at_owner(caller, session, place, owner.replica).await,
        Claimed::Unknown => None,
    }
}

/// From a replica that the shared log names, unless it was asked already.
async fn at_owner(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    place: &EventId,
    owner: ReplicaId,
) -> Option<Response<Body>> {
    if owner == place.replica {
        return None;
    }
    relay(caller, session, owner, StreamId(place.stream), Some(place.sequence + 1)).await
}

/// Carries the stream from now on. The client follows at once; what it missed and what the server has left come as they are read.
fn take_over(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    place: &EventId,
    store: &Store,
    record: StreamRecord,
    owner: Owner,
) -> Response<Body> {
    let state = &caller.shared.state;
    let id = StreamId(place.stream);
    let stream = state.streams.open_at(session.uid, id, place.sequence + 1, reading(caller));
    let listening = record.awaiting.is_none();
    if listening {
        state.streams.set_get_stream(session.uid, &stream);
    }
    let response = from_start(caller, &stream, listening);
    let (caller, session, store, place) =
        (Arc::clone(caller), Arc::clone(session), store.clone(), place.clone());
    // A client that leaves now finds the stream here when it comes back.
    tokio::spawn(async move {
        let filled = fill(&caller, &session, &stream, &store).await;
        let mut log = caller.shared.state.log(session.uid, id, owner, &record);
        let after = match &filled {
            Some(filled) => {
                log = log.map(|log| log.going_on_after(filled.last));
                // The client may have seen more than was logged.
                filled.upstream.clone().filter(|_| filled.last >= Some(Sequence(place.sequence)))
            }
            None => None,
        };
        let after = after.or_else(|| place.upstream.clone().map(Bytes::from));
        if listening && let Some(log) = &mut log {
            let until = clock::after(clock::now(), shared_log::UNHURRIED);
            let before = shared_log::listener(&store, session.uid, until).await.map(|(owner, _)| owner);
            log.listen(shared_log::next_listener(owner.replica, before));
        }
        if filled.is_some_and(|filled| filled.ended) {
            stream.finish(End::Complete);
            return caller.shared.state.streams.finished(stream.id);
        }
        let pump = pump(&caller, &session, &stream, record.epoch, record.awaiting, log);
        let source = source_after(&caller, &session, record.epoch, after.as_ref()).await;
        run(pump, source, after);
    });
    response
}

/// What was found in a shared log.
struct Filled {
    last: Option<Sequence>,
    /// The server's own id of the last event.
    upstream: Option<Bytes>,
    /// The answer is among what was found.
    ended: bool,
}

/// Reads what the client has missed into `stream`. `None` if the store fails meanwhile.
async fn fill(caller: &Caller, session: &Session, stream: &LiveStream, store: &Store) -> Option<Filled> {
    let name = shared_log::name(session.uid, stream.id);
    let (mut upstream, mut ended) = (None, false);
    loop {
        let from = Sequence(stream.next_sequence());
        let page: Page = store.events().read(name, from, PAGE, soon(caller)).await.ok()??;
        for (sequence, event) in &page.events {
            if let Some(logged) = LoggedEvent::decode(event)
                && stream.push_at(sequence.0, logged.event)
            {
                upstream = logged.upstream;
                ended |= logged.ends;
            }
        }
        if !page.more || page.events.is_empty() {
            return Some(Filled { last: page.last, upstream, ended });
        }
    }
}

/// From the server, by its own event id: no replica knows more.
async fn at_server(caller: &Arc<Caller>, session: &Arc<Session>, place: &EventId) -> Option<Response<Body>> {
    let after = place.upstream.clone().map(Bytes::from);
    match source_after(caller, session, place.epoch, after.as_ref()).await {
        Some(source) => Some(anew(caller, session, place, Some(source), after)),
        None => place.awaiting.as_ref().map(|_| lost(caller, session, place)),
    }
}

/// The typed error in place of the answer that cannot come any more.
fn lost(caller: &Arc<Caller>, session: &Arc<Session>, place: &EventId) -> Response<Body> {
    anew(caller, session, place, None, None)
}

/// A stream of another name that goes on where `place` was.
fn anew(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    place: &EventId,
    source: Option<Source>,
    after: Option<Bytes>,
) -> Response<Body> {
    let state = &caller.shared.state;
    let stream = state.streams.open(session.uid, reading(caller));
    let record = StreamRecord { epoch: place.epoch, awaiting: place.awaiting.clone() };
    let log = state.log(session.uid, stream.id, Owner::first(state.replica()), &record);
    let pump = pump(caller, session, &stream, place.epoch, record.awaiting, log);
    let response = from_start(caller, &stream, place.awaiting.is_none());
    run(pump, source, after);
    response
}

/// The server's events after `after`, over the binding they came over before.
async fn source_after(
    caller: &Caller,
    session: &Session,
    epoch: Epoch,
    after: Option<&Bytes>,
) -> Option<Source> {
    let after = after?;
    match session.binding(caller).await {
        Bound::To(binding) if binding.epoch == epoch => {
            open_upstream(caller, session, &binding, Some(after)).await.ok()
        }
        Bound::To(_) | Bound::Gone(_) => None,
    }
}

fn pump(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    stream: &Arc<LiveStream>,
    epoch: Epoch,
    awaiting: Option<Bytes>,
    log: Option<SharedLog>,
) -> Pump {
    let translator = Translator::new(&caller.shared, session, stream.id, epoch, awaiting.as_ref());
    let carries = match awaiting {
        Some(id) => {
            let tally = Tally::of(&caller.server, MethodClass::Other, MappedEra::Legacy);
            Carries::Answer { id, tally, allowance: caller.unlimited() }
        }
        None => Carries::Unasked,
    };
    Pump { caller: Arc::clone(caller), stream: Arc::clone(stream), translator, carries, log }
}

/// Carries what the server has left; without it, the stream ends as its kind does.
fn run(mut pump: Pump, source: Option<Source>, after: Option<Bytes>) {
    match source {
        Some(source) => {
            if let Some(after) = after {
                pump.translator.resumed_at(after);
            }
            pump.start(Vec::new(), source);
        }
        None => pump.give_up(Problem::UpstreamLost),
    }
}

fn soon(caller: &Caller) -> Instant {
    caller.until.min(clock::after(clock::now(), shared_log::UNHURRIED))
}
