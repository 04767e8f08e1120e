//! GET: what the server says on its own, and streams that are taken up again.

use super::{
    deliver::{attach, from_start},
    pump::{Carries, Pump},
    rebind::{Stuck, bind, rebind},
    request::gone_error,
    session::{Bound, Session},
    translate::Translator,
};
use crate::{
    caller::{Caller, Tally, seal_failure},
    errors::{McpError, Problem},
    exchange::{Answer, Hold, ask, bare_error},
    reply,
    source::Source,
    state::{
        Binding,
        streams::{End, LiveStream, Resume},
    },
    token::{EventId, unix_now},
};
use bytes::Bytes;
use holdfast_edge::Body;
use holdfast_resilience::Safety;
use holdfast_telemetry::metrics::{MappedEra, MethodClass};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use std::sync::Arc;

/// Header by which a client resumes (HTML, "Server-sent events").
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ACCEPT_EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// Answers a GET of a session.
pub(crate) async fn get(caller: Arc<Caller>) -> Response<Body> {
    let session = match Session::open(&caller) {
        Ok(session) => session,
        Err(error) => return reply::error(&error, None),
    };
    let resumed = match place(&caller, &session) {
        Some(place) => resume(&caller, &session, &place).await,
        None => None,
    };
    match resumed {
        Some(response) => {
            caller.server.metrics.streams_resumed.inc();
            response
        }
        None => fresh(&caller, &session).await,
    }
}

/// Where the client left a stream; `None` when it names none, or none of ours.
fn place(caller: &Caller, session: &Session) -> Option<EventId> {
    let text = caller.text(&LAST_EVENT_ID).filter(|text| !text.is_empty())?;
    match EventId::open(&caller.shared.ring, session.audience(), session.uid, text, unix_now()) {
        Ok(place) => Some(place),
        Err(refused) => {
            caller.server.metrics.seal_failures.inc(seal_failure(refused.reason()));
            None
        }
    }
}

/// Takes a stream up again: from the log of this replica, or through the server that knows its own event id. `None` if
/// neither works: then a new stream is all there is.
async fn resume(caller: &Arc<Caller>, session: &Arc<Session>, place: &EventId) -> Option<Response<Body>> {
    let state = &caller.shared.state;
    let id = crate::state::streams::StreamId(place.stream);
    if let Some(stream) = state.streams.find(id, session.uid) {
        let unasked = state.streams.get_stream(session.uid).is_some_and(|get| get.id == stream.id);
        if stream.end() == Some(End::Lost) && stream.next_sequence() <= place.sequence + 1 {
            return None;
        }
        if let Some(resume) = stream.wake() {
            let stream = Arc::clone(&stream);
            go_on(caller, session, &stream, resume).await;
        }
        return attach(caller, &stream, place.sequence + 1, unasked);
    }
    let upstream_event = Bytes::from(place.upstream.clone()?);
    let Bound::To(binding) = session.binding(caller).await else { return None };
    if binding.epoch != place.epoch {
        return None;
    }
    let source = open_upstream(caller, session, &binding, Some(&upstream_event)).await.ok()?;
    let stream = state.streams.open(session.uid);
    let mut translator = Translator::new(&caller.shared, session, stream.id, binding.epoch);
    translator.resumed_at(upstream_event);
    let response = from_start(caller, &stream, true);
    let pump = Pump { caller: Arc::clone(caller), stream, translator, carries: Carries::Unasked };
    pump.start(Vec::new(), source);
    Some(response)
}

/// Lets a suspended stream go on where its server left it.
async fn go_on(caller: &Arc<Caller>, session: &Arc<Session>, stream: &Arc<LiveStream>, resume: Resume) {
    let bound = match session.binding(caller).await {
        Bound::To(binding) if binding.epoch == resume.epoch => Some(binding),
        Bound::To(_) | Bound::Gone(_) => None,
    };
    let mut translator = Translator::new(&caller.shared, session, stream.id, resume.epoch);
    translator.resumed_at(resume.upstream_event.clone());
    let source = match &bound {
        Some(binding) => open_upstream(caller, session, binding, Some(&resume.upstream_event)).await.ok(),
        None => None,
    };
    let carries = match resume.awaiting.clone() {
        Some(id) => {
            let tally = Tally::of(&caller.server, MethodClass::Other, MappedEra::Legacy);
            Carries::Answer { id, tally }
        }
        None => Carries::Unasked,
    };
    if let Some(source) = source {
        let pump = Pump { caller: Arc::clone(caller), stream: Arc::clone(stream), translator, carries };
        return pump.start(Vec::new(), source);
    }
    if let Some(id) = resume.awaiting {
        let error = McpError::new(Problem::UpstreamLost).render(Some(&id));
        stream.push(translator.own(&error, stream.next_sequence()));
        stream.finish(End::Complete);
    } else {
        stream.finish(End::Lost);
    }
    caller.shared.state.streams.finished(stream.id);
}

/// The session's GET stream: the one that is there, or a new one.
async fn fresh(caller: &Arc<Caller>, session: &Arc<Session>) -> Response<Body> {
    let state = &caller.shared.state;
    if let Some(stream) = state.streams.get_stream(session.uid)
        && stream.end().is_none()
        // The server has one stream open for this session. What nobody has read yet is not lost.
        && let Some(response) = attach(caller, &stream, stream.unread(), true)
    {
        return response;
    }
    let (binding, source) = match open_anywhere(caller, session).await {
        Ok(opened) => opened,
        Err(response) => return response,
    };
    let stream = state.streams.open(session.uid);
    state.streams.set_get_stream(session.uid, &stream);
    let translator = Translator::new(&caller.shared, session, stream.id, binding.epoch);
    if session.version.has_priming_events() {
        stream.push(translator.priming(stream.next_sequence()));
    }
    let response = from_start(caller, &stream, true);
    let pump = Pump { caller: Arc::clone(caller), stream, translator, carries: Carries::Unasked };
    pump.start(Vec::new(), source);
    response
}

/// Why the server opened no stream.
#[allow(
    clippy::large_enum_variant,
    reason = "moved a few times per message; a box would cost an allocation each"
)]
enum Closed {
    Gone,
    Says(Response<Body>),
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

async fn open_upstream(
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
    out.until = caller.until.min(holdfast_upstream::clock::after(
        holdfast_upstream::clock::now(),
        caller.server.initialize_timeout,
    ));
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
