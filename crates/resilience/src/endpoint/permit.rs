//! Leave to make one attempt. It counts as in flight until it ends, and it follows the response body.

use super::EndpointState;
use crate::{breaker::Ticket, outcome::Outcome};
use std::{sync::Arc, time::Instant};

/// One admitted attempt. Ends by [`Permit::finish`], or by drop as cancelled: then everything is released and nothing
/// is judged, so an aborted call can neither leak a half-open slot nor trip a breaker.
#[must_use = "a dropped permit is a cancelled attempt"]
#[derive(Debug)]
pub struct Permit {
    state: Arc<EndpointState>,
    /// Taken by the verdict.
    ticket: Option<Ticket>,
    started: u64,
    first_byte: Option<u64>,
    chance: u32,
}

impl Permit {
    pub(super) fn new(state: Arc<EndpointState>, ticket: Ticket, started: u64, chance: u32) -> Self {
        state.load.begin();
        Self { state, ticket: Some(ticket), started, first_byte: None, chance }
    }

    /// The response head is here: takes the latency sample. Further calls change nothing.
    #[inline]
    pub fn first_byte(&mut self, now: Instant) {
        if self.first_byte.is_none() {
            let at = self.state.timeline.nanos(now);
            self.first_byte = Some(at);
            self.state.load.observe(at.saturating_sub(self.started), at);
        }
    }

    /// Gives the verdict before the body ends, as a stream must: a probe that opened a stream of hours has proved
    /// itself with the head. Afterwards only a failure counts once more, as a call of its own; the permit stays in
    /// flight until it ends. A `Neutral` gives no verdict yet.
    pub fn judge(&mut self, outcome: Outcome, now: Instant) {
        match (outcome, self.ticket.take()) {
            (Outcome::Neutral, ticket) => self.ticket = ticket,
            (_, Some(ticket)) => self.settle(ticket, outcome, now),
            (Outcome::Failed(_), None) => self.settle(self.state.late_ticket(), outcome, now),
            (Outcome::Ok, None) => {}
        }
    }

    /// Ends the attempt.
    #[inline]
    pub fn finish(mut self, outcome: Outcome, now: Instant) {
        if outcome == Outcome::Neutral && self.first_byte.is_none() {
            let at = self.state.timeline.nanos(now);
            self.state.load.observe_at_least(at.saturating_sub(self.started), at);
        }
        self.judge(outcome, now);
    }

    /// Whether this attempt is a probe of an endpoint that is half open.
    pub fn is_probe(&self) -> bool {
        self.ticket.is_some_and(|ticket| ticket.probe)
    }

    /// The endpoint it is for.
    pub fn endpoint(&self) -> &Arc<EndpointState> {
        &self.state
    }

    #[inline]
    fn settle(&self, ticket: Ticket, outcome: Outcome, now: Instant) {
        let at = self.state.timeline.nanos(now);
        let latency = self.first_byte.unwrap_or(at).saturating_sub(self.started);
        if outcome == Outcome::Ok && self.first_byte.is_none() {
            self.state.load.observe(latency, at);
        }
        self.state.judge(ticket, outcome, latency, (now, at), self.chance);
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        self.state.load.end();
        if let Some(ticket) = self.ticket.take() {
            self.state.release(ticket);
        }
    }
}
