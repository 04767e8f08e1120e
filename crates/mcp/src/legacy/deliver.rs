//! What became of one client message, as an HTTP response.

use super::{
    body::EventBody,
    pump::{Carries, Pump},
    session::Session,
    translate::Translator,
};
use crate::{
    caller::{Caller, reason},
    drain::Draining,
    errors::{McpError, Problem},
    ids::Epoch,
    policy::Allowance,
    reply,
    source::{Event, Source},
    state::streams::{LiveStream, Reading, StreamId},
    tally::Tally,
    token::StreamRecord,
};
use bytes::{Bytes, BytesMut};
use holdfast_edge::Body;
use holdfast_store::Owner;
use holdfast_telemetry::metrics::McpOutcome;
use http::{Response, StatusCode};
use std::sync::Arc;

/// What became of one message.
#[allow(
    clippy::large_enum_variant,
    reason = "moved a few times per message; a box would cost an allocation each"
)]
pub(crate) enum Outcome {
    /// A JSON answer.
    Message { status: StatusCode, body: Bytes },
    /// A whole event stream, answer included.
    Events { epoch: Epoch, events: Vec<Event> },
    /// An event stream that goes on.
    Open { epoch: Epoch, events: Vec<Event>, source: Source, id: Bytes, tally: Tally, allowance: Allowance },
    /// Taken; there is nothing to say (202).
    Accepted,
    /// An error of ours.
    Refused { error: McpError, id: Option<Bytes> },
}

impl Outcome {
    /// An error of ours for the request `id`.
    pub(crate) fn refused(error: McpError, id: Option<Bytes>) -> Self {
        Self::Refused { error, id }
    }
}

/// The response to a POST that held one message.
pub(crate) fn respond(caller: &Arc<Caller>, session: &Arc<Session>, outcome: Outcome) -> Response<Body> {
    match outcome {
        Outcome::Message { status, body } => reply::json(status, body),
        Outcome::Accepted => reply::empty(StatusCode::ACCEPTED),
        Outcome::Refused { error, id } => {
            caller.note_outcome(McpOutcome::Refused, reason(&error));
            reply::error(&error, id.as_deref())
        }
        Outcome::Events { epoch, events } => {
            let mut translator =
                Translator::new(&caller.shared, session, StreamId(fastrand::u64(..)), epoch, None);
            let mut body = BytesMut::new();
            for (event, sequence) in events.iter().zip(0..) {
                // Not in a log: only what the upstream itself can repeat gets an id.
                body.extend_from_slice(&translator.event(event, sequence, false));
            }
            reply::events(Body::full(body.freeze()))
        }
        Outcome::Open { epoch, events, source, id, tally, allowance } => {
            let state = &caller.shared.state;
            let stream = state.streams.open(session.uid, reading(caller));
            let translator = Translator::new(&caller.shared, session, stream.id, epoch, Some(&id));
            let record = StreamRecord { epoch, awaiting: Some(id.clone()) };
            let log = state.log(session.uid, stream.id, Owner::first(state.replica()), &record);
            let primed = events.first().is_some_and(|event| event.frame.is_none() && event.id.is_some());
            if session.version.has_priming_events() && !primed {
                stream.push(translator.priming(stream.next_sequence()));
            }
            // Somebody waits for this answer: a drain lets it finish, as it does every other request in flight.
            let body = from_start(caller, &stream, false);
            let pump = Pump {
                caller: Arc::clone(caller),
                stream,
                translator,
                carries: Carries::Answer { id, tally, allowance },
                log,
            };
            pump.start(events, source);
            body
        }
    }
}

/// How another replica reads the streams that this caller opens.
pub(crate) fn reading(caller: &Caller) -> Reading {
    Reading { keep_alive: caller.shared.keep_alive, drain: caller.drain.clone() }
}

/// A response that follows a new stream.
pub(crate) fn from_start(
    caller: &Arc<Caller>,
    stream: &Arc<LiveStream>,
    ends_on_drain: bool,
) -> Response<Body> {
    // Nothing has been read and nothing has fallen out of a log before its first follower came.
    attach(caller, stream, stream.unread(), ends_on_drain)
        .unwrap_or_else(|| reply::error(&McpError::new(Problem::Internal), None))
}

/// A response that follows `stream` from `position`; `None` if its log no longer holds that.
pub(crate) fn attach(
    caller: &Arc<Caller>,
    stream: &Arc<LiveStream>,
    position: u64,
    ends_on_drain: bool,
) -> Option<Response<Body>> {
    let draining = ends_on_drain.then(|| Draining::new(&caller.drain));
    let body = EventBody::attach(stream, position, caller.shared.keep_alive, draining)?;
    caller.notes.lock().streaming = true;
    let body = Body::boxed(body);
    Some(if ends_on_drain { reply::listening(body) } else { reply::events(body) })
}
