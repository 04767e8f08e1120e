//! What a client sends without waiting for an answer: notifications, and answers to the server's own requests.

use super::{
    deliver::Outcome,
    rebind::{Stuck, bind, rebind},
    request::{current_epoch, gone_error},
    session::{Bound, Session},
};
use crate::{
    caller::Caller,
    errors::{McpError, Problem},
    exchange::{Answer, Hold, ask, bare_error},
    frame::{Frame, Member},
    ids,
    tally::{Tally, failure_verdict},
};
use bytes::Bytes;
use holdfast_resilience::{Safety, Sent};
use holdfast_telemetry::metrics::{MappedEra, McpOutcome};
use http::StatusCode;

/// Forwards a notification to where the session lives.
pub(crate) async fn notification(caller: &Caller, session: &Session, frame: &Frame) -> Outcome {
    forward(caller, session, frame, frame.bytes().clone(), true).await
}

/// Forwards a client's answer to a request of the server. The id leads back to the binding the request came over; an
/// answer to one that is gone is taken and dropped, because nobody waits for it.
pub(crate) async fn answer(caller: &Caller, session: &Session, frame: &Frame) -> Outcome {
    let epoch = current_epoch(caller, session).await;
    let question = frame.id().and_then(ids::unwrap);
    let Some(question) = question.filter(|question| question.epoch == epoch) else {
        caller.server.metrics.stale_answers.inc();
        return Outcome::Accepted;
    };
    match frame.splice().set(Member::Id, question.original).finish() {
        Ok(body) => forward(caller, session, frame, body, false).await,
        Err(_) => Outcome::refused(McpError::new(Problem::Internal), None),
    }
}

/// `moves` says whether the message still means something on another endpoint.
async fn forward(caller: &Caller, session: &Session, frame: &Frame, body: Bytes, moves: bool) -> Outcome {
    let tally = Tally::new(caller, frame, MappedEra::Legacy).in_version(session.version);
    let mut bound = session.binding(caller).await;
    for last in [false, true] {
        let (epoch, endpoint) = match &bound {
            Bound::To(binding) => (binding.epoch, binding.endpoint.clone()),
            Bound::Gone(epoch) => (*epoch, None),
        };
        if let Bound::To(binding) = &bound {
            let mut out = caller.message(caller.about(frame), body.clone(), Safety::Unsafe);
            bind(&mut out, session, binding);
            match ask(&caller.server, out, None, Hold::OnlyAnswer).await {
                Ok(answer) if answer.head().status != StatusCode::NOT_FOUND || endpoint.is_none() => {
                    caller.note_head(answer.head());
                    return taken(answer, tally);
                }
                Ok(_) => {}
                Err(failure)
                    if failure.sent() == Sent::Nothing && failure.endpoint_gone() && endpoint.is_some() =>
                {
                    caller.note_failure(&failure);
                }
                Err(failure) => {
                    caller.note_failure(&failure);
                    tally.end(failure_verdict(&failure));
                    return Outcome::refused(failure.to_error(), None);
                }
            }
        }
        if last {
            break;
        }
        match rebind(caller, session, epoch, endpoint.as_ref()).await {
            // What the new endpoint was never told of is dropped like any other stale answer.
            Ok(_) if !moves || frame.is("notifications/initialized") => {
                tally.end(McpOutcome::Ok);
                return Outcome::Accepted;
            }
            Ok(binding) => bound = Bound::To(binding),
            Err(stuck) => {
                tally.end(McpOutcome::UpstreamError);
                return Outcome::refused(gone_error(&stuck), None);
            }
        }
    }
    tally.end(McpOutcome::UpstreamError);
    Outcome::refused(gone_error(&Stuck::NoTaker), None)
}

fn taken(answer: Answer, tally: Tally) -> Outcome {
    match answer {
        Answer::Bare(head) if !head.status.is_success() => {
            tally.end(McpOutcome::UpstreamError);
            Outcome::refused(bare_error(head.status), None)
        }
        Answer::Message(head, frame) if !head.status.is_success() => {
            tally.end(McpOutcome::CallerError);
            Outcome::Message { status: head.status, body: frame.into_bytes() }
        }
        // 202 is what the specification asks for; a server that says 200 means the same.
        Answer::Bare(_) | Answer::Message(..) | Answer::Events(..) | Answer::Open(..) => {
            tally.end(McpOutcome::Ok);
            Outcome::Accepted
        }
    }
}
