//! The breaker against a naive model: plain lists, every rule spelled out, no atomics and no packed words.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests may fail like tests.

use holdfast_resilience::{
    BreakerPolicy, EndpointPolicy, EndpointState, FailureKind, Outcome, Permit, Phase, RatePolicy, Rng,
    Window,
};
use proptest::prelude::*;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

#[derive(Clone, Debug)]
enum Op {
    Admit,
    /// Ends the n-th open permit.
    Finish(usize, Ending),
    Wait(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Ok,
    Failed,
    Overloaded,
    Neutral,
    Dropped,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    use Ending::{Dropped, Failed, Neutral, Ok, Overloaded};
    let ending = prop::sample::select(vec![Ok, Ok, Failed, Failed, Overloaded, Neutral, Dropped]);
    let op = prop_oneof![
        4 => Just(Op::Admit),
        4 => (0usize..4, ending).prop_map(|(permit, ending)| Op::Finish(permit, ending)),
        1 => prop::sample::select(vec![1u64, 90, 150, 400, 900, 950, 1_000, 1_800, 2_500, 6_000]).prop_map(Op::Wait),
    ];
    prop::collection::vec(op, 1..200)
}

fn policies() -> impl Strategy<Value = BreakerPolicy> {
    let window = prop_oneof![
        (2u32..8).prop_map(Window::Count),
        (1u64..3).prop_map(|secs| Window::Time(Duration::from_secs(secs))),
    ];
    let rate = (window, 1u32..6, prop::option::of(Just(300u64)));
    let probes = (1u32..3, 1u32..4, prop::option::of(1u32..5));
    (prop::option::of(1u32..4), prop::option::of(rate), probes).prop_map(|(consecutive, rate, probes)| {
        let rate = rate.map(|(window, minimum_calls, slow)| RatePolicy {
            window,
            minimum_calls,
            slow_after: slow.map(Duration::from_millis),
            slow: 0.7,
            failures: 0.5,
        });
        BreakerPolicy {
            consecutive,
            rate,
            jitter: 0.0,
            open: 1_000 * MS,
            open_max: 4_000 * MS,
            probes_concurrent: probes.0,
            successes: probes.1,
            probes_total: probes.2,
            max_half_open: 2_000 * MS,
        }
    })
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Naive {
    Admitting,
    Refusing(u64),
    Probing(u64),
}

/// One judged call: when (ms), failed, slow.
type Judged = (u64, bool, bool);

struct Model {
    policy: BreakerPolicy,
    phase: Naive,
    era: u32,
    opens: u32,
    calls: Vec<Judged>,
    run: u32,
    out: u32,
    probes: Vec<Judged>,
}

impl Model {
    fn new(policy: BreakerPolicy) -> Self {
        let (calls, probes) = (Vec::new(), Vec::new());
        Self { policy, phase: Naive::Admitting, era: 0, opens: 0, calls, run: 0, out: 0, probes }
    }

    fn enter(&mut self, phase: Naive) {
        self.phase = phase;
        self.era += 1;
        self.run = 0;
        self.out = 0;
        self.calls.clear();
        self.probes.clear();
    }

    fn open(&mut self, at: u64) {
        self.opens += 1;
        let wait = (1_000u64 << (self.opens - 1).min(20)).min(4_000);
        self.enter(Naive::Refusing(at + wait));
    }

    fn tick(&mut self, now: u64) {
        if let Naive::Probing(deadline) = self.phase
            && now >= deadline
        {
            self.open(deadline);
        }
    }

    /// The era of the new permit and whether it is a probe.
    fn admit(&mut self, now: u64) -> Option<(u32, bool)> {
        self.tick(now);
        match self.phase {
            Naive::Admitting => return Some((self.era, false)),
            Naive::Refusing(until) if now < until => return None,
            Naive::Refusing(_) => self.enter(Naive::Probing(now + 2_000)),
            Naive::Probing(_) => {}
        }
        let used = self.out + self.probes.len() as u32;
        if self.out >= self.policy.probes_concurrent
            || self.policy.probes_total.is_some_and(|total| used >= total)
        {
            return None;
        }
        self.out += 1;
        Some((self.era, true))
    }

    fn end(&mut self, permit: (u32, bool), ending: Ending, started: u64, now: u64) {
        let judged = !matches!(ending, Ending::Neutral | Ending::Dropped);
        if judged {
            self.tick(now);
        }
        if permit.0 != self.era {
            return;
        }
        self.out -= u32::from(permit.1);
        if !judged {
            return;
        }
        let limit = self.policy.rate.as_ref().and_then(|rate| rate.slow_after);
        let slow = limit.is_some_and(|limit| now - started > limit.as_millis() as u64);
        let call = (now, ending != Ending::Ok, slow);
        if permit.1 { self.end_probe(call) } else { self.end_call(call, ending) }
    }

    fn end_probe(&mut self, call: Judged) {
        self.probes.push(call);
        let good = self.probes.iter().filter(|probe| !probe.1).count() as u32;
        match self.policy.probes_total {
            None if call.1 => self.open(call.0),
            None if good >= self.policy.successes => self.close(),
            None => {}
            Some(total) => {
                let minimum = self.policy.rate.as_ref().map_or(20, |rate| rate.minimum_calls);
                if self.probes.len() as u32 >= total.min(minimum) {
                    if bad_rate(&self.probes, self.policy.rate.as_ref()) {
                        self.open(call.0);
                    } else {
                        self.close();
                    }
                }
            }
        }
    }

    fn close(&mut self) {
        self.opens = 0;
        self.enter(Naive::Admitting);
    }

    fn end_call(&mut self, call: Judged, ending: Ending) {
        self.calls.push(call);
        match ending {
            Ending::Failed => self.run += 1,
            Ending::Ok => self.run = 0,
            Ending::Overloaded | Ending::Neutral | Ending::Dropped => {}
        }
        let by_run =
            ending == Ending::Failed && self.policy.consecutive.is_some_and(|limit| self.run >= limit);
        // A good and fast call never trips.
        if by_run || ((call.1 || call.2) && self.rate_trips(call.0)) {
            self.open(call.0);
        }
    }

    fn rate_trips(&self, now: u64) -> bool {
        let Some(rate) = &self.policy.rate else { return false };
        let (recent, minimum): (Vec<Judged>, u32) = match rate.window {
            Window::Count(size) => {
                let first = self.calls.len().saturating_sub(size as usize);
                (self.calls[first..].to_vec(), rate.minimum_calls.min(size))
            }
            Window::Time(span) => {
                let bucket = span.as_millis() as u64 / 10;
                let fresh = |call: &&Judged| now / bucket - call.0 / bucket < 10;
                (self.calls.iter().filter(fresh).copied().collect(), rate.minimum_calls)
            }
        };
        recent.len() as u32 >= minimum && bad_rate(&recent, Some(rate))
    }
}

fn bad_rate(calls: &[Judged], rate: Option<&RatePolicy>) -> bool {
    let failed = calls.iter().filter(|call| call.1).count() as f64;
    let slow = calls.iter().filter(|call| call.2).count() as f64;
    let all = calls.len() as f64;
    failed >= 0.5 * all || rate.is_some_and(|rate| rate.slow_after.is_some()) && slow >= 0.7 * all
}

fn end(permit: Permit, ending: Ending, now: Instant) {
    match ending {
        Ending::Ok => permit.finish(Outcome::Ok, now),
        Ending::Failed => permit.finish(Outcome::Failed(FailureKind::Timeout), now),
        Ending::Overloaded => permit.finish(Outcome::Failed(FailureKind::Status(429)), now),
        Ending::Neutral => permit.finish(Outcome::Neutral, now),
        Ending::Dropped => drop(permit),
    }
}

/// The model's phase as the breaker shows it: what the next call would meet.
fn shown(model: &Model, now: u64, start: Instant) -> Phase {
    let refusing = |until: u64| {
        if until > now { Phase::Refusing { until: start + until as u32 * MS } } else { Phase::Probing }
    };
    match model.phase {
        Naive::Admitting => Phase::Admitting,
        Naive::Refusing(until) => refusing(until),
        Naive::Probing(deadline) if now < deadline => Phase::Probing,
        Naive::Probing(deadline) => refusing(deadline + (1_000u64 << model.opens.min(20)).min(4_000)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_breaker_does_what_the_model_does(policy in policies(), ops in ops()) {
        let start = Instant::now();
        let endpoint = EndpointPolicy { breaker: Some(policy.clone()), ..EndpointPolicy::default() };
        let state = EndpointState::new(&endpoint, start);
        let mut model = Model::new(policy);
        let mut rng = Rng::with_seed(4);
        let mut held: Vec<(Permit, (u32, bool), u64)> = Vec::new();
        let mut now = 0u64;
        for op in ops {
            let at = start + now as u32 * MS;
            match op {
                Op::Wait(ms) => now += ms,
                Op::Admit => {
                    let (real, expected) = (state.admit(at, &mut rng), model.admit(now));
                    prop_assert_eq!(real.is_ok(), expected.is_some());
                    if let (Ok(permit), Some(expected)) = (real, expected) {
                        prop_assert_eq!(permit.is_probe(), expected.1);
                        held.push((permit, expected, now));
                    }
                }
                Op::Finish(index, ending) if index < held.len() => {
                    let (permit, expected, started) = held.remove(index);
                    end(permit, ending, at);
                    model.end(expected, ending, started, now);
                }
                Op::Finish(..) => {}
            }
            let at = start + now as u32 * MS;
            prop_assert_eq!(state.breaker_phase(at), shown(&model, now, start));
            prop_assert_eq!(state.in_flight() as usize, held.len());
        }
        drop(held);
        prop_assert_eq!(state.in_flight(), 0);
    }
}
