//! Everything known about one endpoint, shared by all workers and kept across reloads while the endpoint stays.

mod permit;
mod roster;
mod snapshot;

use crate::{
    breaker::{Breaker, BreakerHeld, BreakerPolicy, Call, PhaseKind, Seen, Ticket},
    health::{HealthChange, Hysteresis, ProbePolicy},
    load::{Load, LoadPolicy},
    outcome::{FailureKind, Outcome},
    outlier::{Outlier, OutlierPolicy},
    slow_start::SlowStart,
    sync::{AtomicBool, AtomicU64, Mutex, Ordering},
    timeline::{Timeline, nanos_of},
};
use fastrand::Rng;
pub use permit::Permit;
pub(crate) use roster::Roster;
pub use snapshot::{EndpointSnapshot, Phase, Transitions};
use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

/// How an endpoint is judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointPolicy {
    /// Circuit breaker. `None` = off (default).
    pub breaker: Option<BreakerPolicy>,
    /// Passive ejection. `None` = off (default).
    pub outlier: Option<OutlierPolicy>,
    /// Active probes.
    pub probe: ProbePolicy,
    /// Ramp of a joining or returning endpoint.
    pub slow_start: SlowStart,
    /// Latency average.
    pub load: LoadPolicy,
}

/// Why an endpoint does not take a call now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The breaker is open.
    #[error("circuit open, next probe in {retry_after:?}")]
    Open {
        /// Until the next probe may go.
        retry_after: Duration,
    },
    /// The breaker is half open and all its probes are on their way.
    #[error("circuit half open, all probes are in flight")]
    ProbesBusy,
}

/// State of one endpoint. All methods may be called from any thread.
#[derive(Debug)]
pub struct EndpointState {
    timeline: Timeline,
    load: Load,
    breaker: Option<Breaker>,
    outlier: Option<Outlier>,
    probe_policy: ProbePolicy,
    hysteresis: Mutex<Hysteresis>,
    unhealthy: AtomicBool,
    slow_start: SlowStart,
    penalty: Duration,
    penalty_max: Duration,
    /// When the present ramp began.
    ramp_start: AtomicU64,
    rosters: Mutex<Vec<Weak<Roster>>>,
}

impl EndpointState {
    /// A new endpoint, healthy, at the beginning of its ramp.
    pub fn new(policy: &EndpointPolicy, now: Instant) -> Arc<Self> {
        let timeline = Timeline::new(now);
        Arc::new(Self {
            timeline,
            load: Load::new(&policy.load),
            breaker: policy.breaker.as_ref().map(Breaker::new),
            outlier: policy.outlier.map(Outlier::new),
            probe_policy: policy.probe,
            hysteresis: Mutex::new(Hysteresis::new()),
            unhealthy: AtomicBool::new(false),
            slow_start: policy.slow_start,
            penalty: policy.load.penalty,
            penalty_max: policy.load.penalty_max,
            ramp_start: AtomicU64::new(timeline.nanos(now)),
            rosters: Mutex::new(Vec::new()),
        })
    }

    /// Lets one attempt through or says why not. Takes a half-open slot if the breaker is probing; the slot is taken
    /// in the same step that checks for it.
    #[inline]
    pub fn admit(self: &Arc<Self>, now: Instant, rng: &mut Rng) -> Result<Permit, Refused> {
        let at = self.timeline.nanos(now);
        let chance = rng.u32(..);
        let Some(breaker) = &self.breaker else {
            return Ok(Permit::new(Arc::clone(self), Ticket::default(), at, chance));
        };
        match breaker.admit(at, chance) {
            Ok((ticket, changed)) => {
                if changed {
                    self.tell_rosters();
                }
                Ok(Permit::new(Arc::clone(self), ticket, at, chance))
            }
            Err(BreakerHeld::Busy) => Err(Refused::ProbesBusy),
            Err(BreakerHeld::Until(until)) => {
                Err(Refused::Open { retry_after: Duration::from_nanos(until.saturating_sub(at)) })
            }
        }
    }

    /// The breaker's phase; a pure read. A refusal whose time is over reads as `Probing`: the next call is a probe.
    pub fn breaker_phase(&self, now: Instant) -> Phase {
        match self.look(self.timeline.nanos(now)) {
            Seen::Admitting => Phase::Admitting,
            Seen::Refusing { until } => Phase::Refusing { until: self.timeline.instant(until) },
            Seen::Probing { .. } => Phase::Probing,
        }
    }

    /// Takes the result of an active probe. A healthy run of `rise` also ends an ejection; a single healthy one ends the open
    /// time of a breaker that opened because the endpoint could not be reached.
    pub fn record_probe(&self, healthy: bool, now: Instant) -> Option<HealthChange> {
        let at = self.timeline.nanos(now);
        let mut hysteresis = self.hysteresis.lock();
        let mut change = hysteresis.record(self.probe_policy, healthy);
        self.unhealthy.store(!hysteresis.healthy(), Ordering::Release);
        let ejection = self.outlier.as_ref().filter(|outlier| outlier.ejected(at));
        if healthy
            && hysteresis.risen(self.probe_policy)
            && let Some(outlier) = ejection
        {
            outlier.pardon(at);
            change = Some(HealthChange::BecameHealthy);
        }
        drop(hysteresis);
        if change == Some(HealthChange::BecameHealthy) {
            // It is another process now, or a mended one: the penalties of the old one would keep it idle for a minute.
            self.load.forget();
            self.ramp_start.store(at, Ordering::Release);
        }
        let invited = healthy && self.breaker.as_ref().is_some_and(|breaker| breaker.invite(at));
        if change.is_some() || invited {
            self.tell_rosters();
        }
        change
    }

    /// A look at everything, for `/status` and metrics.
    pub fn snapshot(&self, now: Instant) -> EndpointSnapshot {
        let at = self.timeline.nanos(now);
        let [admitting, refusing, probing] = self.breaker.as_ref().map_or([0; 3], Breaker::entered);
        let ejected_until = self.outlier.as_ref().map_or(0, Outlier::until);
        EndpointSnapshot {
            phase: self.breaker_phase(now),
            transitions: Transitions { admitting, refusing, probing },
            in_flight: self.load.in_flight(),
            latency: self.latency(now),
            healthy: self.healthy(),
            ejected_until: (at < ejected_until).then(|| self.timeline.instant(ejected_until)),
            ejections: self.outlier.as_ref().map_or(0, Outlier::total),
            ramp: self.ramp(now),
        }
    }

    /// Requests in flight.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.load.in_flight()
    }

    /// Average latency decayed to now; `None` if never measured.
    pub fn latency(&self, now: Instant) -> Option<Duration> {
        self.load.latency(self.timeline.nanos(now)).map(|nanos| Duration::from_nanos(nanos as u64))
    }

    /// The opinion of the active probes; healthy until shown otherwise.
    #[inline]
    pub fn healthy(&self) -> bool {
        !self.unhealthy.load(Ordering::Acquire)
    }

    /// Whether it sits out as an outlier.
    #[inline]
    pub fn ejected(&self, now: Instant) -> bool {
        self.outlier.as_ref().is_some_and(|outlier| outlier.ejected(self.timeline.nanos(now)))
    }

    /// The share of its weight it has now, 1 when up to speed.
    pub fn ramp(&self, now: Instant) -> f64 {
        let at = self.timeline.nanos(now);
        self.slow_start.factor(Duration::from_nanos(at.saturating_sub(self.ramp_began(at))))
    }

    #[inline]
    pub(crate) fn cost(&self, now: Instant) -> f32 {
        self.load.cost(self.timeline.nanos(now))
    }

    /// Both costs. Endpoints that were created together share an origin, and one conversion of `now` does.
    #[inline]
    pub(crate) fn costs(&self, other: &Self, now: Instant) -> (f32, f32) {
        let at = self.timeline.nanos(now);
        let same = self.timeline == other.timeline;
        (self.load.cost(at), if same { other.load.cost(at) } else { other.cost(now) })
    }

    pub(crate) fn seen(&self, now: Instant) -> Seen {
        self.look(self.timeline.nanos(now))
    }

    /// When this endpoint's availability or weight changes by time alone, if nothing else happens.
    pub(crate) fn next_change(&self, now: Instant) -> Option<Instant> {
        /// Steps that a ramp is cut into.
        const RAMP_STEPS: u32 = 100;
        let at = self.timeline.nanos(now);
        let breaker = match self.look(at) {
            Seen::Admitting => None,
            Seen::Refusing { until } | Seen::Probing { until, .. } => Some(until),
        };
        let ejection = self.outlier.as_ref().map(Outlier::until).filter(|until| at < *until);
        let window = nanos_of(self.slow_start.window);
        let ramping = at.saturating_sub(self.ramp_began(at)) < window;
        let ramp = ramping.then(|| at.saturating_add(window / u64::from(RAMP_STEPS)).saturating_add(1));
        let earliest = [breaker, ejection, ramp].into_iter().flatten().min()?;
        (earliest != u64::MAX).then(|| self.timeline.instant(earliest))
    }

    /// A ticket for a verdict that comes after the first one: judged as a call of the present epoch, never a probe.
    fn late_ticket(&self) -> Ticket {
        self.breaker.as_ref().map_or_else(Ticket::default, Breaker::present)
    }

    #[inline]
    fn judge(&self, ticket: Ticket, outcome: Outcome, latency: u64, (now, at): (Instant, u64), chance: u32) {
        let Outcome::Failed(kind) = outcome else {
            if let Some(outlier) = &self.outlier {
                outlier.succeeded();
            }
            return self.judge_breaker(
                ticket,
                Call { failed: false, overload: false, unreachable: false, latency },
                at,
                chance,
            );
        };
        self.penalise(kind, at);
        let overload = kind.is_overload();
        self.judge_breaker(
            ticket,
            Call { failed: true, overload, unreachable: kind.is_unreachable(), latency },
            at,
            chance,
        );
        let Some(outlier) = &self.outlier else { return };
        if !overload && outlier.failed(at) && Roster::try_eject(self, now) {
            self.hysteresis.lock().start_over();
            self.tell_rosters();
        }
    }

    #[inline]
    fn judge_breaker(&self, ticket: Ticket, call: Call, at: u64, chance: u32) {
        let Some(breaker) = &self.breaker else { return };
        if let Some(phase) = breaker.judge(ticket, call, at, chance) {
            self.entered(phase, at);
        }
    }

    #[inline]
    fn release(&self, ticket: Ticket) {
        if let Some(breaker) = &self.breaker {
            breaker.release(ticket);
        }
    }

    #[cold]
    fn entered(&self, phase: PhaseKind, at: u64) {
        if phase == PhaseKind::Admitting {
            self.load.forget();
            self.ramp_start.store(at, Ordering::Release);
        }
        self.tell_rosters();
    }

    /// A failure counts as a long latency: the penalty, or the `Retry-After` if that is longer, and never below what
    /// the average says now.
    fn penalise(&self, kind: FailureKind, at: u64) {
        let wish = kind.retry_after().unwrap_or_default().min(self.penalty_max);
        self.load.observe_at_least(nanos_of(wish.max(self.penalty)), at);
    }

    /// An ejection that ended by time began a ramp when it ended.
    fn ramp_began(&self, at: u64) -> u64 {
        let ejected_until = self.outlier.as_ref().map_or(0, Outlier::until);
        let began = self.ramp_start.load(Ordering::Acquire);
        if ejected_until <= at { began.max(ejected_until) } else { began }
    }

    #[inline]
    fn look(&self, at: u64) -> Seen {
        self.breaker.as_ref().map_or(Seen::Admitting, |breaker| breaker.look(at))
    }

    fn tell_rosters(&self) {
        for roster in self.rosters.lock().iter().filter_map(Weak::upgrade) {
            roster.changed();
        }
    }
}
