//! A request within a session: to its endpoint, or, where that is allowed, to the one that takes the session over.

use super::{
    deliver::Outcome,
    rebind::{Stuck, bind, rebind},
    session::{Bound, Session},
};
use crate::{
    caller::{Caller, Tally, failure_verdict, may_repeat, reason, verdict},
    errors::{McpError, Problem},
    exchange::{Answer, Failure, Hold, ask, bare_error},
    frame::Frame,
    ids::Epoch,
    state::Binding,
};
use bytes::Bytes;
use holdfast_resilience::Safety;
use holdfast_telemetry::metrics::{MappedEra, McpOutcome, SessionRefusal};
use holdfast_upstream::EndpointKey;
use http::StatusCode;

/// Re-bindings one request may cause. A second is needed when the new endpoint dies at once.
const REBINDINGS_MAX: u32 = 2;

/// One attempt's outcome, as far as the session is concerned.
enum Step {
    Done(Outcome),
    /// The endpoint does not hold the session any more and has processed nothing.
    Lost,
    /// The same endpoint may be asked once more: its connection broke under a request that changes nothing.
    Again(Failure),
}

/// Sends a client's request and reads the answer as far as its safety wants.
pub(crate) async fn request(caller: &Caller, session: &Session, frame: &Frame) -> Outcome {
    let tally = Tally::new(&caller.server, frame, MappedEra::Legacy);
    let Some(id) = frame.id_bytes() else {
        return Outcome::refused(McpError::new(Problem::InvalidRequest), None);
    };
    let safety = caller.safety(frame);
    let mut tally = Some(tally);
    let mut bound = session.binding(caller);
    let mut moves = 0;
    let mut torn: Option<EndpointKey> = None;
    loop {
        let (binding, epoch, endpoint) = match bound {
            Bound::To(binding) => {
                let (epoch, endpoint) = (binding.epoch, binding.endpoint.clone());
                (Some(binding), epoch, endpoint)
            }
            Bound::Gone(epoch) => (None, epoch, None),
        };
        let step = match &binding {
            Some(binding) => attempt(caller, session, binding, frame, &id, safety, torn.as_ref(), &mut tally).await,
            None => Step::Lost,
        };
        match step {
            Step::Done(outcome) => return outcome,
            Step::Again(failure) if torn.is_none() && endpoint.is_some() => {
                torn = failure.endpoint().cloned();
                bound = binding.map_or(Bound::Gone(epoch), Bound::To);
                continue;
            }
            Step::Again(failure) if endpoint.is_none() => {
                return failed(caller, failure, id, tally.take());
            }
            Step::Again(_) | Step::Lost => {}
        }
        if moves == REBINDINGS_MAX {
            return lost(caller, id, tally.take(), &Stuck::NoTaker);
        }
        moves += 1;
        torn = None;
        match rebind(caller, session, epoch, endpoint.as_ref()).await {
            Ok(binding) => bound = Bound::To(binding),
            Err(stuck) => return lost(caller, id, tally.take(), &stuck),
        }
    }
}

#[allow(clippy::too_many_arguments)]
async fn attempt(
    caller: &Caller,
    session: &Session,
    binding: &Binding,
    frame: &Frame,
    id: &Bytes,
    safety: Safety,
    torn: Option<&EndpointKey>,
    tally: &mut Option<Tally>,
) -> Step {
    let hold = if safety == Safety::Unsafe { Hold::FirstMessage } else { Hold::Answer };
    let mut avoid: Vec<EndpointKey> = torn.into_iter().cloned().collect();
    let mut left = caller.server.attempts_max;
    loop {
        let mut out = caller.message(frame.bytes().clone(), safety);
        bind(&mut out, session, binding);
        out.avoid.clone_from(&avoid);
        left -= 1;
        let failure = match ask(&caller.server, out, Some(id), hold).await {
            Ok(answer) => {
                caller.note_head(answer.head());
                return accept(caller, binding, answer, frame, id, tally);
            }
            Err(failure) => failure,
        };
        caller.note_failure(&failure);
        let pinned = binding.endpoint.is_some();
        if pinned && failure.endpoint_gone() {
            return Step::Lost;
        }
        if failure.broken() && may_repeat(&failure, safety) {
            if pinned {
                return Step::Again(failure);
            }
            // A server without sessions: any endpoint will do.
            if left > 0 {
                avoid.extend(failure.endpoint().cloned());
                continue;
            }
        }
        return Step::Done(failed(caller, failure, id.clone(), tally.take()));
    }
}

fn accept(
    caller: &Caller,
    binding: &Binding,
    answer: Answer,
    frame: &Frame,
    id: &Bytes,
    tally: &mut Option<Tally>,
) -> Step {
    // Session management, 3: a server answers 404 to a session it does not have. It has processed nothing.
    if answer.head().status == StatusCode::NOT_FOUND && binding.upstream_session.is_some() {
        return Step::Lost;
    }
    if let (Some(response), Some(tally)) = (answer.response(), tally.take_if(|_| answer.response().is_some())) {
        if caller.server.trust_hints && frame.is("tools/list") {
            caller.shared.state.hints.learn(&caller.server.name, response);
        }
        tally.end(verdict(response));
    }
    let epoch = binding.epoch;
    Step::Done(match answer {
        Answer::Message(head, response) => Outcome::Message { status: head.status, body: response.into_bytes() },
        Answer::Events(_, events) => Outcome::Events { epoch, events },
        Answer::Open(_, events, source) => match tally.take() {
            Some(tally) => Outcome::Open { epoch, events, source, id: id.clone(), tally },
            None => Outcome::refused(McpError::new(Problem::Internal), Some(id.clone())),
        },
        Answer::Bare(head) => {
            if let Some(tally) = tally.take() {
                tally.end(McpOutcome::UpstreamError);
            }
            Outcome::refused(bare_error(head.status), Some(id.clone()))
        }
    })
}

fn failed(caller: &Caller, failure: Failure, id: Bytes, tally: Option<Tally>) -> Outcome {
    let error = failure.to_error();
    let outcome = failure_verdict(&failure);
    caller.note_outcome(outcome, reason(&error));
    tracing::debug!(server = &*caller.server.name, %failure, "no answer");
    if let Some(tally) = tally {
        tally.end(outcome);
    }
    Outcome::refused(error, Some(id))
}

/// The session is over for its client: 404 makes it initialise anew. When replaying was allowed and nobody took it, the
/// session may still come back, so that is said instead.
fn lost(caller: &Caller, id: Bytes, tally: Option<Tally>, stuck: &Stuck) -> Outcome {
    if let Some(tally) = tally {
        tally.end(McpOutcome::UpstreamError);
    }
    caller.server.metrics.sessions_refused.inc(SessionRefusal::EndpointGone);
    Outcome::refused(gone_error(stuck), Some(id))
}

/// The typed answer to a session whose endpoint is gone.
pub(crate) fn gone_error(stuck: &Stuck) -> McpError {
    match stuck {
        Stuck::NotReplayable => {
            McpError::new(Problem::SessionDead).detail("the endpoint that held it is gone; initialize again")
        }
        Stuck::NoTaker => McpError::new(Problem::NoEndpoint)
            .detail("the session's endpoint is gone and no other one took it over")
            .retry_after(std::time::Duration::from_secs(1)),
    }
}

/// The epoch requests of `session` go under now.
pub(crate) fn current_epoch(caller: &Caller, session: &Session) -> Epoch {
    match session.binding(caller) {
        Bound::To(binding) => binding.epoch,
        Bound::Gone(epoch) => epoch,
    }
}
