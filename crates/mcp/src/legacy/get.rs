//! GET: what the server says on its own, and streams that are taken up again.

use super::{
    deliver::{attach, from_start, reading},
    pump::{Carries, Pump},
    rebind::{Stuck, rebind},
    relay::relay,
    request::gone_error,
    resume::resume,
    server_events::{Closed, LAST_EVENT_ID, open_upstream},
    session::{Bound, Session},
    translate::Translator,
};
use crate::{
    caller::{Caller, seal_failure},
    ids::Epoch,
    reply,
    source::Source,
    state::{Binding, streams::shared_log},
    token::{EventId, StreamRecord, unix_now},
};
use holdfast_edge::Body;
use holdfast_store::Owner;
use holdfast_upstream::clock;
use http::Response;
use std::sync::Arc;

/// Answers a GET of a session.
pub(crate) async fn get(caller: Arc<Caller>) -> Response<Body> {
    let session = match Session::open(&caller).await {
        Ok(session) => session,
        Err(error) => return reply::error(&error, None),
    };
    of_session(&caller, &session).await
}

/// Answers a GET of an open session.
pub(crate) async fn of_session(caller: &Arc<Caller>, session: &Arc<Session>) -> Response<Body> {
    let resumed = match place(caller, session) {
        Some(place) => resume(caller, session, &place).await,
        None => None,
    };
    match resumed {
        Some(response) => {
            caller.server.metrics.streams_resumed.inc();
            response
        }
        None => fresh(caller, session).await,
    }
}

/// Where the client left a stream; `None` when it names none, or none of ours.
fn place(caller: &Caller, session: &Session) -> Option<EventId> {
    let text = caller.text(&LAST_EVENT_ID).filter(|text| !text.is_empty())?;
    match EventId::open(&caller.shared.ring, session.audience(), session.uid, text, unix_now()) {
        Ok(place) => Some(place),
        // At the merged endpoint most ids are those of another member.
        Err(_) if session.is_part => None,
        Err(refused) => {
            caller.server.metrics.seal_failures.inc(seal_failure(refused.reason()));
            None
        }
    }
}

/// The session's GET stream: the one that is there, here or at another replica, or a new one.
async fn fresh(caller: &Arc<Caller>, session: &Arc<Session>) -> Response<Body> {
    let state = &caller.shared.state;
    if let Some(stream) = state.streams.get_stream(session.uid)
        && stream.end().is_none()
        // The server has one stream open for this session. What nobody has read yet is not lost.
        && let Some(response) = attach(caller, &stream, stream.unread(), true)
    {
        return response;
    }
    let mut before = None;
    if let Some(store) = state.store()
        && let Some((owner, stream)) =
            shared_log::listener(store, session.uid, clock::after(clock::now(), shared_log::UNHURRIED)).await
    {
        if let Some(response) = relay(caller, session, owner.replica, stream, None).await {
            return response;
        }
        before = Some(owner);
    }
    let (binding, source) = match open_anywhere(caller, session).await {
        Ok(opened) => opened,
        Err(response) => return response,
    };
    listen(caller, session, binding.epoch, source, before)
}

/// Makes what the server has just opened the session's listening stream, after the one of `before`.
fn listen(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
    epoch: Epoch,
    source: Source,
    before: Option<Owner>,
) -> Response<Body> {
    let state = &caller.shared.state;
    let stream = state.streams.open(session.uid, reading(caller));
    state.streams.set_get_stream(session.uid, &stream);
    let record = StreamRecord { epoch, awaiting: None };
    let mut log = state.log(session.uid, stream.id, Owner::first(state.replica()), &record);
    if let Some(log) = &mut log {
        log.listen(shared_log::next_listener(state.replica(), before));
    }
    let translator = Translator::new(&caller.shared, session, stream.id, epoch, None);
    if session.version.has_priming_events() {
        stream.push(translator.priming(stream.next_sequence()));
    }
    let response = from_start(caller, &stream, true);
    let pump = Pump { caller: Arc::clone(caller), stream, translator, carries: Carries::Unasked, log };
    pump.start(Vec::new(), source);
    response
}

async fn open_anywhere(
    caller: &Arc<Caller>,
    session: &Arc<Session>,
) -> Result<(Binding, Source), Response<Body>> {
    let mut bound = session.binding(caller).await;
    for last in [false, true] {
        let (epoch, endpoint) = match &bound {
            Bound::To(binding) => (binding.epoch, binding.endpoint.clone()),
            Bound::Gone(epoch) => (*epoch, None),
        };
        if let Bound::To(binding) = &bound {
            match open_upstream(caller, session, binding, None).await {
                Ok(source) => return Ok((binding.clone(), source)),
                Err(Closed::Says(response)) => return Err(response),
                Err(Closed::Gone) => {}
            }
        }
        if last {
            break;
        }
        match rebind(caller, session, epoch, endpoint.as_ref()).await {
            Ok(binding) => bound = Bound::To(binding),
            Err(stuck) => return Err(reply::error(&gone_error(&stuck), None)),
        }
    }
    Err(reply::error(&gone_error(&Stuck::NoTaker), None))
}
