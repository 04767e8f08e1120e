//! Whether another link may be opened now: a server that fails at its start is not started again and again.

use holdfast_resilience::{
    EndpointPolicy, EndpointSnapshot, EndpointState, FailureKind, Outcome, Permit, Phase,
};
use holdfast_telemetry::metrics::{LinkEnd, LinkMetrics, LinkOpening};
use holdfast_upstream::clock;
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Pause after the first failure; it doubles with each further one. Full jitter.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Longest pause that a request waits for; a longer one is told to its client.
const PAUSE_WAIT: Duration = Duration::from_secs(2);
/// What a client is told whose request would have been a further probe.
const PROBES_BUSY: Duration = Duration::from_secs(1);

/// How the last openings of a server's links went.
#[derive(Debug)]
pub(crate) struct Start {
    /// None where endpoints are judged one by one, by whoever connects to them.
    state: Option<Arc<EndpointState>>,
    pause: Mutex<Pause>,
    metrics: Arc<LinkMetrics>,
}

#[derive(Debug)]
struct Pause {
    failures: u32,
    until: Instant,
}

/// Not now. Nothing was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooSoon {
    pub(crate) retry_after: Duration,
}

/// An opening under way: the breaker hears of it when the server speaks, or ends before that.
#[derive(Debug)]
pub(crate) struct Started {
    start: Arc<Start>,
    /// Until the verdict.
    open: Mutex<Option<Verdict>>,
}

/// The breaker's permit, if there is a breaker.
#[derive(Debug)]
struct Verdict(Option<Permit>);

impl Start {
    pub(crate) fn new(policy: Option<&EndpointPolicy>, metrics: &Arc<LinkMetrics>) -> Arc<Self> {
        let now = clock::now();
        Arc::new(Self {
            state: policy.map(|policy| EndpointState::new(policy, now)),
            pause: Mutex::new(Pause { failures: 0, until: now }),
            metrics: Arc::clone(metrics),
        })
    }

    /// Lets one link be opened. Waits out a short pause if that ends before `until`. Cancel safe.
    pub(crate) async fn admit(self: &Arc<Self>, until: Instant) -> Result<Started, TooSoon> {
        let Some(state) = &self.state else { return Ok(self.started(None)) };
        let resume = self.pause.lock().until;
        let now = clock::now();
        if resume > now {
            let left = resume - now;
            if resume >= until || left > PAUSE_WAIT {
                return Err(self.refuse(left));
            }
            tokio::time::sleep_until(resume.into()).await;
        }
        let admitted = state.admit(clock::now(), &mut fastrand::Rng::new());
        self.show();
        match admitted {
            Ok(permit) => Ok(self.started(Some(permit))),
            Err(holdfast_resilience::Refused::Open { retry_after }) => Err(self.refuse(retry_after)),
            Err(holdfast_resilience::Refused::ProbesBusy) => Err(self.refuse(PROBES_BUSY)),
        }
    }

    fn started(self: &Arc<Self>, permit: Option<Permit>) -> Started {
        Started { start: Arc::clone(self), open: Mutex::new(Some(Verdict(permit))) }
    }

    fn refuse(&self, retry_after: Duration) -> TooSoon {
        self.metrics.openings.inc(LinkOpening::Refused);
        TooSoon { retry_after }
    }

    /// For `/status`.
    pub(crate) fn snapshot(&self) -> Option<EndpointSnapshot> {
        self.state.as_ref().map(|state| state.snapshot(clock::now()))
    }

    /// The gauge of the breaker.
    pub(crate) fn show(&self) {
        let Some(state) = &self.state else { return };
        self.metrics.breaker.set(match state.breaker_phase(clock::now()) {
            Phase::Admitting => 0,
            Phase::Probing => 1,
            Phase::Refusing { .. } => 2,
        });
    }

    fn failed(&self) {
        self.metrics.openings.inc(LinkOpening::Failed);
        let mut pause = self.pause.lock();
        let longest = PAUSE_MIN.saturating_mul(1 << pause.failures.min(16)).min(PAUSE_MAX);
        pause.failures = pause.failures.saturating_add(1);
        // Those that were started at one moment fail at one moment: a later pause is not cut short.
        let until = clock::now() + longest.mul_f64(fastrand::f64());
        pause.until = pause.until.max(until);
    }
}

impl Started {
    /// The server said something: it works.
    pub(crate) fn spoke(&self) {
        let Some(Verdict(permit)) = self.open.lock().take() else { return };
        if let Some(permit) = permit {
            permit.finish(Outcome::Ok, clock::now());
        }
        self.start.metrics.openings.inc(LinkOpening::Ok);
        self.start.pause.lock().failures = 0;
        self.start.show();
    }

    /// It could not be opened.
    pub(crate) fn failed(&self) {
        let Some(Verdict(permit)) = self.open.lock().take() else { return };
        if let Some(permit) = permit {
            permit.finish(Outcome::Failed(FailureKind::Connect), clock::now());
        }
        self.start.failed();
        self.start.show();
    }

    /// The link ended. Before its first word, and by itself, that is a failure.
    pub(crate) fn ended(&self, why: LinkEnd) {
        match why {
            LinkEnd::Lost | LinkEnd::TooLarge => self.failed(),
            LinkEnd::Closed | LinkEnd::Idle | LinkEnd::Retired => drop(self.open.lock().take()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_resilience::BreakerPolicy;
    use holdfast_telemetry::Registry;
    use std::collections::BTreeMap;

    fn start() -> Arc<Start> {
        let registry = Registry::new(&BTreeMap::new()).unwrap();
        let breaker = BreakerPolicy { consecutive: Some(3), ..BreakerPolicy::default() };
        let policy = EndpointPolicy { breaker: Some(breaker), ..EndpointPolicy::default() };
        Start::new(Some(&policy), &Arc::new(LinkMetrics::new(&registry, "s")))
    }

    fn soon() -> Instant {
        clock::now() + Duration::from_secs(10)
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_fails_at_its_start_is_refused_until_its_breaker_probes() {
        let start = start();
        for _ in 0..3 {
            start.admit(soon()).await.unwrap().ended(LinkEnd::Lost);
        }
        let TooSoon { retry_after } = start.admit(soon()).await.unwrap_err();
        assert!(retry_after > Duration::ZERO);
        tokio::time::advance(Duration::from_mins(1)).await;
        start.admit(soon()).await.unwrap().spoke();
        assert_eq!(start.metrics.openings.get(LinkOpening::Failed).get(), 3);
        assert_eq!(start.metrics.openings.get(LinkOpening::Ok).get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_was_ended_by_us_judges_nothing() {
        let start = start();
        for _ in 0..10 {
            start.admit(soon()).await.unwrap().ended(LinkEnd::Idle);
            drop(start.admit(soon()).await.unwrap());
        }
        assert_eq!(start.snapshot().unwrap().phase, Phase::Admitting);
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_spoke_may_end_without_a_verdict() {
        let start = start();
        for _ in 0..10 {
            let started = start.admit(soon()).await.unwrap();
            started.spoke();
            started.ended(LinkEnd::Lost);
        }
        assert_eq!(start.pause.lock().failures, 0);
    }
}
