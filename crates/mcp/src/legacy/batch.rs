//! JSON-RPC batches, which 2025-03-26 alone has: split, sent one by one, joined again.
//!
//! Servers of today refuse arrays, so an endpoint never sees one. Answers that are all there at once become a JSON array;
//! if one of them streams, all become events of one stream (2025-03-26 transports, "Sending Messages to the Server").

use super::{
    deliver::{Outcome, from_start, reading},
    messages,
    pump::{Carries, Ended, Pump},
    request::request,
    session::Session,
    translate::Translator,
};
use crate::{
    batch::join,
    caller::Caller,
    errors::{McpError, Problem, Refusal as _},
    frame::{Frame, FrameError, Kind},
    ids::Epoch,
    reply,
    state::streams::{End, LiveStream},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use holdfast_edge::Body;
use http::{Response, StatusCode};
use std::sync::Arc;

/// Answers a batch of a session.
pub(crate) async fn batch(
    caller: Arc<Caller>,
    session: Arc<Session>,
    frames: Vec<Result<Frame, FrameError>>,
) -> Response<Body> {
    let wanted =
        frames.iter().any(|frame| frame.as_ref().map_or(true, |frame| frame.kind() == Kind::Request));
    let outcomes = join_all(frames.iter().map(|frame| one(&caller, &session, frame))).await;
    let outcomes: Vec<Outcome> =
        outcomes.into_iter().filter(|outcome| !matches!(outcome, Outcome::Accepted)).collect();
    if !wanted {
        // Notifications and answers only. The first that was refused speaks for all.
        return match outcomes.into_iter().next() {
            Some(outcome) => super::deliver::respond(&caller, &session, outcome),
            None => reply::empty(StatusCode::ACCEPTED),
        };
    }
    if let Some(gone) = session_gone(&outcomes) {
        return reply::error(gone, None);
    }
    match whole(&outcomes) {
        Some(messages) => reply::json(StatusCode::OK, join(&messages).unwrap_or_default()),
        None => stream(&caller, &session, outcomes),
    }
}

async fn one(caller: &Caller, session: &Session, frame: &Result<Frame, FrameError>) -> Outcome {
    let frame = match frame {
        Ok(frame) => frame,
        Err(error) => return Outcome::refused(error.to_mcp(), error.id.clone()),
    };
    match frame.kind() {
        Kind::Request => request(caller, session, frame).await,
        Kind::Notification => messages::notification(caller, session, frame).await,
        Kind::Response | Kind::ErrorResponse => messages::answer(caller, session, frame).await,
    }
}

/// A dead session is the whole batch's matter: the client must see the 404.
fn session_gone(outcomes: &[Outcome]) -> Option<&McpError> {
    outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Refused { error, .. } if error.problem() == Problem::SessionDead => Some(error),
        _ => None,
    })
}

/// All answers as messages, if every one of them is there and none came as a stream.
fn whole(outcomes: &[Outcome]) -> Option<Vec<Bytes>> {
    outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Message { body, .. } => Some(body.clone()),
            Outcome::Refused { error, id } => Some(error.render(id.as_deref())),
            Outcome::Events { .. } | Outcome::Open { .. } | Outcome::Accepted => None,
        })
        .collect()
}

fn stream(caller: &Arc<Caller>, session: &Arc<Session>, outcomes: Vec<Outcome>) -> Response<Body> {
    let stream = caller.shared.state.streams.open(session.uid, reading(caller));
    let translator = |epoch| Translator::new(&caller.shared, session, stream.id, epoch, None);
    let own = translator(Epoch::default());
    let mut pumps: Vec<_> = Vec::new();
    for outcome in outcomes {
        match outcome {
            Outcome::Message { body, .. } => put(&stream, &own, &body),
            Outcome::Refused { error, id } => put(&stream, &own, &error.render(id.as_deref())),
            Outcome::Accepted => {}
            Outcome::Events { epoch, events } => {
                let mut translator = translator(epoch);
                for event in &events {
                    stream.push(translator.event(event, stream.next_sequence(), true));
                }
            }
            Outcome::Open { epoch, events, source, id, tally, allowance } => {
                let pump = Pump {
                    caller: Arc::clone(caller),
                    stream: Arc::clone(&stream),
                    translator: translator(epoch),
                    carries: Carries::Answer { id, tally, allowance },
                    // Several answers share the stream, and a log is of one.
                    log: None,
                };
                pumps.push((pump, events, source));
            }
        }
    }
    let response = from_start(caller, &stream, false);
    let caller = Arc::clone(caller);
    let own = Translator::new(&caller.shared, session, stream.id, Epoch::default(), None);
    tokio::spawn(async move {
        let mut running: FuturesUnordered<_> =
            pumps.into_iter().map(|(pump, events, source)| pump.carry(events, source)).collect();
        while let Some(ended) = running.next().await {
            // Several answers share this stream, so none of them can be waited for by polling.
            if let Ended::Suspended(resume) = ended {
                put(&stream, &own, &McpError::new(Problem::UpstreamLost).render(resume.awaiting.as_deref()));
            }
        }
        stream.finish(End::Complete);
        caller.shared.state.streams.finished(stream.id);
    });
    response
}

fn put(stream: &LiveStream, own: &Translator, message: &Bytes) {
    stream.push(own.own(message, stream.next_sequence()));
}
