//! The attempt path: pick, permit, attempt, outcome, and again if that is right.

mod answer;

use crate::{
    Call, CallError, EndpointKey, Limit, Reply,
    attempt::{self, Ask, Failure, Progress},
    clock,
    hold::{Hold, Place},
    set::EndpointSet,
    upstream::Upstream,
};
use holdfast_resilience::{
    Attempt, AttemptFailure, Deadline, Decision, EndpointId, FailureKind, GiveUp, NoEndpointWhy, Phase,
    Refused, Rng, Sent, Tried,
};
use holdfast_telemetry::metrics::{RetryBudgetLabel, Unroutable};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A refused response is read this far, without waiting, to keep its connection.
const DISCARD_MAX: u64 = 64 * 1024;

/// Longest wait for the verdict on an endpoint that is being tried, when no other can take the call; and the pause between looks.
const VERDICT_WAIT: Duration = Duration::from_millis(500);
const VERDICT_LOOK: Duration = Duration::from_millis(5);

/// An attempt is not begun with less time than this.
const ATTEMPT_MIN: Duration = Duration::from_millis(1);

/// One call on its way.
struct Run<'a> {
    upstream: &'a Upstream,
    set: Arc<EndpointSet>,
    ask: Ask,
    rng: Rng,
    start: Instant,
    deadline: Deadline,
    pin: Option<EndpointKey>,
    hash: Option<u64>,
    streaming: bool,
    /// Endpoints attempted, or to be avoided.
    tried: Tried,
    /// Endpoints that could not be connected to: never again within this call.
    dead: Tried,
    number: u32,
    sent: Sent,
    /// Why the last choice found nobody.
    unroutable: Option<Unroutable>,
}

/// What an attempt came to, while the next one can still be made.
enum Ended {
    Response(Reply, Option<FailureKind>),
    Failed(Failure),
}

pub(crate) async fn send(upstream: &Upstream, call: Call) -> Result<Reply, CallError> {
    let start = clock::now();
    let Some(place) = upstream.bulkhead.enter() else {
        upstream.metrics.unroutable.inc(Unroutable::Saturated);
        return Err(CallError::Overloaded { upstream: upstream.name().into(), limit: Limit::Requests });
    };
    if call.deadline.expired(start) {
        return Err(CallError::Deadline { upstream: upstream.name().into(), sent: Sent::Nothing });
    }
    upstream.budget.deposit(start);
    upstream.shared.budget.deposit(start);
    let set = upstream.set_in_time(call.deadline).await?;
    let mut run = Run::new(upstream, set, call, start);
    let (mut hold, mut place) = (run.choose_patiently().await?, place);
    loop {
        run.number += 1;
        let ended = run.attempt(hold, place).await;
        let (kind, sent) = match &ended {
            Ended::Response(_, None) => return ended.result(),
            Ended::Response(_, Some(kind)) => (*kind, Sent::Maybe),
            Ended::Failed(failure) => (failure.kind, failure.sent),
        };
        let Some((next, pause)) = run.again(kind, sent, ended.is_final()).await else {
            return ended.result();
        };
        let Some(again) = upstream.bulkhead.enter() else { return ended.result() };
        if let Ended::Response(reply, _) = ended {
            reply.response.into_body().discard(DISCARD_MAX);
        }
        upstream.metrics.retries.inc();
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        (hold, place) = (next, again);
    }
}

impl<'a> Run<'a> {
    fn new(upstream: &'a Upstream, set: Arc<EndpointSet>, call: Call, start: Instant) -> Self {
        let mut avoided = Tried::new();
        for id in call.avoid.iter().filter_map(|key| set.find(key)) {
            avoided.insert(id);
        }
        Self {
            upstream,
            set,
            rng: Rng::new(),
            start,
            deadline: call.deadline,
            pin: call.pin.clone(),
            hash: call.hash,
            streaming: call.streaming,
            tried: avoided,
            dead: Tried::new(),
            number: 0,
            sent: Sent::Nothing,
            unroutable: None,
            ask: Ask::new(call),
        }
    }

    /// As [`Self::choose`], but waits a moment for the verdict on an endpoint that is being tried when nobody else can take the call:
    /// a half-open breaker admits one call at a time, and the others would be refused although an answer is milliseconds
    /// away. A breaker that refuses is not waited for. Callers that wait hold their place under `max_requests`.
    async fn choose_patiently(&mut self) -> Result<Hold, CallError> {
        let mut end = None;
        loop {
            let chosen = self.choose();
            // The usual case: no look at the clock.
            if chosen.is_ok() {
                return chosen;
            }
            let end = *end.get_or_insert_with(|| self.deadline.within(clock::now(), VERDICT_WAIT));
            let patient = matches!(chosen, Err(CallError::Refused { .. })) && self.is_trying();
            if !patient || end.expired(clock::now()) {
                if let (Err(_), Some(label)) = (&chosen, self.unroutable.take()) {
                    self.upstream.metrics.unroutable.inc(label);
                }
                return chosen;
            }
            tokio::time::sleep(VERDICT_LOOK).await;
        }
    }

    /// Whether an endpoint that this call could use is half open.
    fn is_trying(&self) -> bool {
        let now = clock::now();
        self.set.endpoints.iter().any(|endpoint| {
            self.pin.as_ref().is_none_or(|pin| *pin == endpoint.key)
                && self.set.find(&endpoint.key).is_some_and(|id| !self.dead.contains(id))
                && endpoint.state.breaker_phase(now) == Phase::Probing
        })
    }

    /// The next endpoint and its permit. Endpoints not tried yet come first; then those that were tried but accepted a
    /// connection.
    fn choose(&mut self) -> Result<Hold, CallError> {
        if let Some(pin) = self.pin.clone() {
            return self.pinned(&pin);
        }
        let fresh = self.tried;
        match self.pick(fresh) {
            Err(CallError::NoEndpoint { .. } | CallError::Refused { .. })
                if self.tried.len() > self.dead.len() =>
            {
                self.pick(self.dead)
            }
            picked => picked,
        }
    }

    fn pick(&mut self, mut without: Tried) -> Result<Hold, CallError> {
        let now = if self.number == 0 { self.start } else { clock::now() };
        let mut refused = None;
        loop {
            let picked = match self.set.balancer.pick(now, &mut self.rng, self.hash, &without) {
                Ok(picked) => picked,
                Err(none) => return Err(self.unroutable(none.why, refused.or(none.retry_after))),
            };
            match self.set.balancer.admit(picked, now, &mut self.rng) {
                Some(Ok(permit)) => return self.held(picked.id, permit),
                // Another worker was faster.
                Some(Err(Refused::Open { retry_after })) => {
                    refused = Some(refused.map_or(retry_after, |least: Duration| least.min(retry_after)));
                }
                Some(Err(Refused::ProbesBusy)) => refused = refused.or(Some(Duration::ZERO)),
                None => {}
            }
            if !without.insert(picked.id) {
                return Err(self.unroutable(NoEndpointWhy::AllTried, refused));
            }
        }
    }

    fn held(&mut self, id: EndpointId, permit: holdfast_resilience::Permit) -> Result<Hold, CallError> {
        let Some(endpoint) = self.set.get(id) else {
            return Err(self.unroutable(NoEndpointWhy::Empty, None));
        };
        self.tried.insert(id);
        Ok(Hold::new(Arc::clone(endpoint), permit))
    }

    fn pinned(&mut self, pin: &EndpointKey) -> Result<Hold, CallError> {
        let Some(id) = self.set.find(pin) else {
            self.upstream.metrics.unroutable.inc(Unroutable::PinnedGone);
            return Err(CallError::PinnedGone {
                upstream: self.upstream.name().into(),
                endpoint: pin.clone(),
            });
        };
        let picked = holdfast_resilience::Picked { id, panic: false };
        match self.set.balancer.admit(picked, clock::now(), &mut self.rng) {
            Some(Ok(permit)) => self.held(id, permit),
            Some(Err(Refused::Open { retry_after })) => {
                Err(self.unroutable(NoEndpointWhy::AllRefusing, Some(retry_after)))
            }
            Some(Err(Refused::ProbesBusy)) | None => Err(self.unroutable(NoEndpointWhy::AllRefusing, None)),
        }
    }

    fn unroutable(&mut self, why: NoEndpointWhy, retry_after: Option<Duration>) -> CallError {
        let upstream = self.upstream.name().into();
        let (label, reason) = match why {
            NoEndpointWhy::Empty => (Unroutable::Empty, "it is empty"),
            NoEndpointWhy::Drained => (Unroutable::Drained, "all are drained (weight 0)"),
            NoEndpointWhy::AllUnhealthy => (Unroutable::Refusing, "none is healthy"),
            NoEndpointWhy::AllRefusing => (Unroutable::Refusing, ""),
            NoEndpointWhy::AllTried if retry_after.is_some() => (Unroutable::Refusing, ""),
            NoEndpointWhy::AllTried => (Unroutable::Tried, "all were tried"),
        };
        self.unroutable = Some(label);
        if reason.is_empty() {
            return CallError::Refused { upstream, retry_after };
        }
        CallError::NoEndpoint { upstream, reason, retry_after }
    }

    async fn attempt(&mut self, mut hold: Hold, place: Place) -> Ended {
        // The first attempt begins with the call: one look at the clock less.
        let begun = if self.number == 1 { self.start } else { clock::now() };
        let endpoint = Arc::clone(hold.endpoint());
        if let Some(span) = self.ask.span(&endpoint, self.number) {
            hold.record(span);
        }
        let whole = self.deadline;
        let until = self.upstream.per_try_timeout.map_or(whole, |limit| whole.within(begun, limit));
        let mut progress = Progress::new();
        let making = attempt::make(&self.ask, &endpoint, self.upstream, begun, &mut progress);
        let made = clock::timeout_from(begun, until.instant(), making).await;
        let now = clock::now();
        let failure = match made {
            Ok(Ok(head)) if self.is_switching(&head) => {
                return self.switched(head, hold, place, &progress, (begun, now));
            }
            Ok(Ok(head)) => return self.answered(head, hold, place, &progress, (begun, now)),
            Ok(Err(failure)) => failure,
            Err(_elapsed) => {
                // Cut off by the whole deadline after others used it up, the endpoint had no fair chance.
                // Nor has it where the client's body was what took the time: slow clients must not open a breaker.
                let fair = self.ask.body.fed().is_ok_and(|fed| {
                    let span = now - if until < whole { begun } else { self.start };
                    now - fed.map_or(begun, |fed| fed.max(begun)) >= span / 2
                });
                Failure::timed_out(&endpoint, &progress, fair)
            }
        };
        if matches!(failure.kind, FailureKind::Connect | FailureKind::Tls)
            && let Some(id) = self.set.find(&endpoint.key)
        {
            self.dead.insert(id);
        }
        if failure.sent == Sent::Maybe {
            self.sent = Sent::Maybe;
        }
        hold.end(failure.outcome);
        Ended::Failed(self.name_deadline(failure))
    }

    /// A failure at the very deadline of the call is the deadline's.
    fn name_deadline(&self, failure: Failure) -> Failure {
        if failure.kind != FailureKind::Timeout || !self.deadline.expired(clock::now()) {
            return failure;
        }
        let error = CallError::Deadline { upstream: self.upstream.name().into(), sent: self.sent };
        Failure { error, ..failure }
    }

    /// The next endpoint and the pause before it, if another attempt is right. It is picked before the last response is
    /// thrown away: where nobody is left, that response is the answer.
    async fn again(&mut self, kind: FailureKind, sent: Sent, ours: bool) -> Option<(Hold, Duration)> {
        if ours || self.pin.is_some() || !self.ask.body.is_whole() {
            return None;
        }
        let now = clock::now();
        let others = self.tried.len() < self.set.endpoints.len();
        let attempt = Attempt {
            number: self.number,
            failure: AttemptFailure { kind, sent },
            safety: self.ask.safety,
            remaining: self.deadline.remaining(now),
            needed: ATTEMPT_MIN,
            others,
        };
        // A request that never left is moved, not repeated: no server gets it twice, so no budget is drawn on.
        let moved = matches!(kind, FailureKind::Connect | FailureKind::Tls) && sent == Sent::Nothing;
        let both = [&*self.upstream.budget, &*self.upstream.shared.budget];
        let budgets = if moved { &both[..0] } else { &both[..] };
        let decision = self.upstream.retry.decide(&attempt, budgets, now, &mut self.rng);
        match decision {
            Decision::RetryAfter(pause) => {
                let Ok(hold) = self.choose_patiently().await else {
                    for budget in budgets {
                        budget.refund(now);
                    }
                    return None;
                };
                Some((hold, if moved && others { Duration::ZERO } else { pause }))
            }
            Decision::GiveUp(GiveUp::Budget) => {
                let own = self.upstream.budget.balance(now) == 0;
                let label = if own { RetryBudgetLabel::Upstream } else { RetryBudgetLabel::Process };
                self.upstream.metrics.retries_refused.inc(label);
                None
            }
            Decision::GiveUp(_) => None,
        }
    }
}

impl Ended {
    /// Errors that no other endpoint would mend.
    fn is_final(&self) -> bool {
        let Self::Failed(failure) = self else { return false };
        matches!(
            failure.error,
            CallError::RequestBody { .. } | CallError::Target | CallError::Deadline { .. }
        )
    }

    fn result(self) -> Result<Reply, CallError> {
        match self {
            Self::Response(reply, _) => Ok(reply),
            Self::Failed(failure) => Err(failure.error),
        }
    }
}
