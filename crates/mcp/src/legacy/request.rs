//! A request within a session: to its endpoint, or, where that is allowed, to the one that takes the session over.

use super::{
    deliver::Outcome,
    rebind::{Stuck, bind, rebind},
    session::{Bound, Session},
};
use crate::{
    caller::{Caller, may_repeat, reason},
    errors::{McpError, Problem},
    exchange::{Answer, Hold, ask, bare_error},
    failure::Failure,
    frame::Frame,
    ids::Epoch,
    pinning,
    policy::Allowance,
    state::Binding,
    tally::{Tally, failure_verdict, verdict},
};
use bytes::Bytes;
use holdfast_resilience::Safety;
use holdfast_telemetry::metrics::{MappedEra, McpOutcome, SessionRefusal, Verdict};
use holdfast_upstream::EndpointKey;
use http::StatusCode;
use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

/// Re-bindings one request may cause. A second is needed when the new endpoint dies at once.
const REBINDINGS_MAX: u32 = 2;

/// When a client should come again whose session did not get its turn, in seconds: spread, or they all come together again.
const CROWDED_RETRY: RangeInclusive<u64> = 1..=5;

/// One attempt's outcome, as far as the session is concerned.
#[allow(
    clippy::large_enum_variant,
    reason = "moved a few times per message; a box would cost an allocation each"
)]
enum Step {
    Done(Outcome),
    /// The endpoint does not hold the session any more and has processed nothing.
    Lost,
    /// The same endpoint may be asked once more: its connection broke under a request that changes nothing.
    Again,
}

/// One request on its way.
struct Asking<'a> {
    caller: &'a Caller,
    session: &'a Session,
    frame: &'a Frame,
    id: Bytes,
    safety: Safety,
    tally: Option<Tally>,
    until: Instant,
    answer_max: usize,
    /// Goes with an answer that streams.
    allowance: Option<Allowance>,
}

/// Sends a client's request and reads the answer as far as its safety wants.
pub(crate) async fn request(caller: &Caller, session: &Session, frame: &Frame) -> Outcome {
    let tally = Tally::new(caller, frame, MappedEra::Legacy).in_version(session.version);
    counted(caller, session, frame, tally).await
}

/// As [`request`], counted otherwise.
pub(crate) async fn counted(caller: &Caller, session: &Session, frame: &Frame, tally: Tally) -> Outcome {
    let Some(id) = frame.id_bytes() else {
        return Outcome::refused(McpError::new(Problem::InvalidRequest), None);
    };
    let allowance = match admit(caller, session, frame).await {
        Ok(allowance) => allowance,
        Err(error) => {
            tally.end(McpOutcome::Refused);
            // As a server would answer: some clients of these versions take another status for the end of the connection.
            return match error.problem() {
                Problem::NotPermitted | Problem::NotPinned => {
                    Outcome::Message { status: StatusCode::OK, body: error.render(Some(&id)) }
                }
                _ => Outcome::refused(error, Some(id)),
            };
        }
    };
    let (until, answer_max, allowance) = (allowance.until, allowance.answer_max, Some(allowance));
    let tally = Some(tally);
    let safety = caller.safety(frame);
    let mut asking = Asking { caller, session, frame, id, safety, tally, until, answer_max, allowance };
    let mut bound = session.binding(caller).await;
    let mut reconnected = false;
    for moves in 0..=REBINDINGS_MAX {
        let (epoch, endpoint) = loop {
            let binding = match bound {
                Bound::To(binding) => binding,
                Bound::Gone(epoch) => break (epoch, None),
            };
            match asking.attempt(&binding).await {
                Step::Done(outcome) => return outcome,
                // Its connection broke, which does not mean that it is dead, and its sessions are worth one more connection.
                Step::Again if !reconnected => {
                    reconnected = true;
                    bound = Bound::To(binding);
                }
                Step::Again | Step::Lost => break (binding.epoch, binding.endpoint),
            }
        };
        if moves == REBINDINGS_MAX {
            break;
        }
        reconnected = false;
        match Box::pin(rebind(caller, session, epoch, endpoint.as_ref())).await {
            Ok(binding) => bound = Bound::To(binding),
            Err(stuck) => return asking.lost(&stuck),
        }
    }
    asking.lost(&Stuck::NoTaker)
}

/// Lets a request pass, or says why not; see [`Caller::admit`].
async fn admit(caller: &Caller, session: &Session, frame: &Frame) -> Result<Allowance, McpError> {
    let allowance = caller.admit(frame)?;
    pinning::verify(caller, frame, Some(session)).await?;
    Ok(allowance)
}

impl Asking<'_> {
    async fn attempt(&mut self, binding: &Binding) -> Step {
        let caller = self.caller;
        let hold = if self.safety == Safety::Unsafe { Hold::FirstMessage } else { Hold::Answer };
        let mut avoid: Vec<EndpointKey> = Vec::new();
        let mut left = caller.server.attempts_max;
        loop {
            let mut out = caller.message(caller.about(self.frame), self.frame.bytes().clone(), self.safety);
            bind(&mut out, self.session, binding);
            (out.until, out.answer_max) = (self.until, self.answer_max);
            out.avoid.clone_from(&avoid);
            left -= 1;
            let failure = match ask(&caller.server, out, Some(&self.id), hold).await {
                Ok(answer) => {
                    caller.note_head(answer.head());
                    return self.accept(binding, answer);
                }
                Err(failure) => failure,
            };
            caller.note_failure(&failure);
            let pinned = binding.endpoint.is_some();
            if pinned && failure.endpoint_gone() {
                return Step::Lost;
            }
            if failure.broken() && may_repeat(&failure, self.safety) {
                if pinned {
                    return Step::Again;
                }
                // A server without sessions: any endpoint will do.
                if left > 0 {
                    avoid.extend(failure.endpoint().cloned());
                    continue;
                }
            }
            return Step::Done(self.failed(&failure));
        }
    }

    fn accept(&mut self, binding: &Binding, answer: Answer) -> Step {
        // Session management, 3: a server answers 404 to a session it does not have. It has processed nothing.
        if answer.head().status == StatusCode::NOT_FOUND && binding.upstream_session.is_some() {
            return Step::Lost;
        }
        if let Some(response) = answer.response() {
            if self.caller.server.trust_hints && self.frame.is("tools/list") {
                self.caller.shared.state.hints.learn(&self.caller.server.name, response);
            }
            self.end(verdict(response));
        }
        let epoch = binding.epoch;
        Step::Done(match answer {
            Answer::Message(head, response) => {
                Outcome::Message { status: head.status, body: response.into_bytes() }
            }
            Answer::Events(_, events) => Outcome::Events { epoch, events },
            Answer::Open(_, events, source) => match self.tally.take().zip(self.allowance.take()) {
                Some((tally, allowance)) => {
                    Outcome::Open { epoch, events, source, id: self.id.clone(), tally, allowance }
                }
                None => Outcome::refused(McpError::new(Problem::Internal), Some(self.id.clone())),
            },
            Answer::Bare(head) => {
                self.end(McpOutcome::UpstreamError);
                Outcome::refused(bare_error(head.status), Some(self.id.clone()))
            }
        })
    }

    fn failed(&mut self, failure: &Failure) -> Outcome {
        let error = failure.to_error();
        let outcome = failure_verdict(failure);
        self.caller.note_outcome(outcome, reason(&error));
        tracing::debug!(server = &*self.caller.server.name, %failure, "no answer");
        self.end(outcome);
        Outcome::refused(error, Some(self.id.clone()))
    }

    /// The session is over for its client: 404 makes it initialise anew. When replaying was allowed and nobody took it, the
    /// session may still come back, so that is said instead.
    fn lost(&mut self, stuck: &Stuck) -> Outcome {
        let error = gone_error(stuck);
        if matches!(stuck, Stuck::Crowded) {
            self.caller.note_outcome(McpOutcome::Refused, reason(&error));
            self.end(McpOutcome::Refused);
        } else {
            self.end(McpOutcome::UpstreamError);
            self.caller.server.metrics.sessions_refused.inc(SessionRefusal::EndpointGone);
        }
        Outcome::refused(error, Some(self.id.clone()))
    }

    fn end(&mut self, verdict: impl Into<Verdict>) {
        if let Some(tally) = self.tally.take() {
            tally.end(verdict);
        }
    }
}

/// The typed answer to a session whose endpoint is gone.
pub(crate) fn gone_error(stuck: &Stuck) -> McpError {
    match stuck {
        Stuck::NotReplayable => {
            McpError::new(Problem::SessionDead).detail("the endpoint that held it is gone; initialize again")
        }
        Stuck::NoTaker => McpError::new(Problem::NoEndpoint)
            .detail("the session's endpoint is gone and no other one took it over")
            .retry_after(Duration::from_secs(1)),
        Stuck::Crowded => McpError::new(Problem::Overloaded)
            .detail("the session's endpoint is gone and max_reinitializations others are moving")
            .retry_after(Duration::from_secs(fastrand::u64(CROWDED_RETRY))),
    }
}

/// The epoch requests of `session` go under now.
pub(crate) async fn current_epoch(caller: &Caller, session: &Session) -> Epoch {
    match session.binding(caller).await {
        Bound::To(binding) => binding.epoch,
        Bound::Gone(epoch) => epoch,
    }
}
