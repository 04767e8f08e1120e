//! What must hold under every interleaving of threads. The library's own sources are compiled here a second time,
//! against a `sync` whose every operation is a point where shuttle's scheduler may switch: same code, other atomics,
//! no feature and no generic in the library.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests may fail like tests.
#![allow(dead_code, unreachable_pub, unused_imports, missing_docs, clippy::large_enum_variant)] // Only a part of the sources is used here.

#[path = "../src/breaker/mod.rs"]
mod breaker;
#[path = "../src/endpoint/mod.rs"]
mod endpoint;
#[path = "../src/gcra.rs"]
mod gcra;
#[path = "../src/health.rs"]
mod health;
#[path = "../src/keyed_counter.rs"]
mod keyed_counter;
#[path = "../src/limit/mod.rs"]
mod limit;
#[path = "../src/load.rs"]
mod load;
#[path = "../src/outcome.rs"]
mod outcome;
#[path = "../src/outlier.rs"]
mod outlier;
#[path = "../src/retry/mod.rs"]
mod retry;
#[path = "../src/slow_start.rs"]
mod slow_start;
#[path = "../src/timeline.rs"]
mod timeline;

/// The library's `sync`, watched by the scheduler.
mod sync {
    use shuttle::sync::MutexGuard;
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }

    impl<T> std::fmt::Debug for Mutex<T> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Mutex")
        }
    }
}

use breaker::{BreakerPolicy, RatePolicy, Window};
use endpoint::{EndpointPolicy, EndpointState, Phase, Roster};
use fastrand::Rng;
use gcra::{Gcra, GcraCell, Verdict};
use limit::{AimdPolicy, Limiter, Sample};
use outcome::{FailureKind, Outcome};
use outlier::OutlierPolicy;
use retry::{Budget, BudgetPolicy};
use shuttle::thread;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use sync::{AtomicU32, Ordering};

const RUNS: usize = 2_000;
/// Preemptions that the second scheduler places.
const DEPTH: usize = 3;
const FAILED: Outcome = Outcome::Failed(FailureKind::Reset);

/// Random schedules, then schedules with few but well-placed preemptions.
fn check(body: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(body.clone(), RUNS);
    shuttle::check_pct(body, RUNS, DEPTH);
}

fn on_threads(count: u64, body: impl Fn(u64) + Send + Sync + 'static) {
    let body = Arc::new(body);
    let threads: Vec<_> = (0..count)
        .map(|index| {
            let body = Arc::clone(&body);
            thread::spawn(move || body(index))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

fn breaker(consecutive: u32, probes: u32) -> EndpointPolicy {
    let breaker = BreakerPolicy {
        consecutive: Some(consecutive),
        rate: None,
        open: Duration::from_secs(1),
        probes_concurrent: probes,
        successes: 2,
        ..BreakerPolicy::default()
    };
    EndpointPolicy { breaker: Some(breaker), ..EndpointPolicy::default() }
}

/// An endpoint whose breaker tripped at `now` and is due for a probe two seconds later.
fn tripped(probes: u32, now: Instant) -> Arc<EndpointState> {
    let state = EndpointState::new(&breaker(1, probes), now);
    state.admit(now, &mut Rng::with_seed(1)).unwrap().finish(FAILED, now);
    assert!(matches!(state.breaker_phase(now), Phase::Refusing { .. }));
    state
}

#[test]
fn half_open_slots_are_taken_in_the_step_that_checks_them() {
    check(|| {
        let start = Instant::now();
        let state = tripped(2, start);
        let due = start + Duration::from_secs(2);
        let out = Arc::new(AtomicU32::new(0));
        let shared = (Arc::clone(&state), Arc::clone(&out));
        on_threads(4, move |seed| {
            let (state, out) = &shared;
            if let Ok(permit) = state.admit(due, &mut Rng::with_seed(seed)) {
                assert!(permit.is_probe());
                assert!(out.fetch_add(1, Ordering::SeqCst) < 2, "a third probe went out");
                out.fetch_sub(1, Ordering::SeqCst);
                drop(permit);
            }
        });
        let mut rng = Rng::with_seed(9);
        let held = (state.admit(due, &mut rng), state.admit(due, &mut rng));
        assert!(held.0.is_ok() && held.1.is_ok(), "dropped probes gave their slots back");
        assert!(state.admit(due, &mut rng).is_err());
    });
}

#[test]
fn permits_are_conserved_whatever_becomes_of_them() {
    check(|| {
        let start = Instant::now();
        let state = tripped(1, start);
        let shared = Arc::clone(&state);
        on_threads(3, move |seed| {
            let mut rng = Rng::with_seed(seed);
            for step in 0..3u64 {
                let now = start + Duration::from_secs(2 + 400 * step);
                let Ok(mut permit) = shared.admit(now, &mut rng) else { continue };
                permit.first_byte(now);
                match (seed + step) % 4 {
                    0 => permit.finish(Outcome::Ok, now),
                    1 => permit.finish(FAILED, now),
                    2 => permit.finish(Outcome::Neutral, now),
                    _ => drop(permit),
                }
            }
        });
        assert_eq!(state.in_flight(), 0);
        let later = start + Duration::from_secs(100_000);
        let permit = state.admit(later, &mut Rng::with_seed(7));
        assert!(permit.is_ok(), "no slot was lost for ever");
    });
}

#[test]
fn one_trip_is_one_transition() {
    check(|| {
        let start = Instant::now();
        let state = EndpointState::new(&breaker(2, 1), start);
        let shared = Arc::clone(&state);
        on_threads(4, move |seed| {
            if let Ok(permit) = shared.admit(start, &mut Rng::with_seed(seed)) {
                permit.finish(FAILED, start);
            }
        });
        assert_eq!(state.snapshot(start).transitions.refusing, 1);
    });
}

#[test]
fn a_count_window_loses_no_call() {
    check(|| {
        let start = Instant::now();
        let rate = RatePolicy { window: Window::Count(4), minimum_calls: 4, ..RatePolicy::default() };
        let breaker = BreakerPolicy { consecutive: None, rate: Some(rate), ..BreakerPolicy::default() };
        let policy = EndpointPolicy { breaker: Some(breaker), ..EndpointPolicy::default() };
        let state = EndpointState::new(&policy, start);
        let shared = Arc::clone(&state);
        on_threads(3, move |seed| {
            let outcome = if seed == 0 { FAILED } else { Outcome::Ok };
            shared.admit(start, &mut Rng::with_seed(seed)).unwrap().finish(outcome, start);
        });
        state.admit(start, &mut Rng::with_seed(5)).unwrap().finish(FAILED, start);
        assert!(matches!(state.breaker_phase(start), Phase::Refusing { .. }), "2 of 4 failed");
    });
}

#[test]
fn a_set_keeps_its_share_even_while_it_is_replaced() {
    check(|| {
        let start = Instant::now();
        let outlier = OutlierPolicy { consecutive: 1, ..OutlierPolicy::default() };
        let policy = EndpointPolicy { outlier: Some(outlier), ..EndpointPolicy::default() };
        let states: Vec<_> = (0..3).map(|_| EndpointState::new(&policy, start)).collect();
        let old = Roster::new(states.iter());
        let shared = states.clone();
        on_threads(4, move |index| {
            let Some(state) = shared.get(index as usize) else {
                drop(Roster::new(shared.iter()));
                return;
            };
            state.admit(start, &mut Rng::with_seed(index)).unwrap().finish(FAILED, start);
        });
        let ejected = states.iter().filter(|state| state.ejected(start)).count();
        assert_eq!(ejected, 1, "half of three is one, and at least one may go");
        drop(old);
    });
}

#[test]
fn two_retries_never_spend_the_same_token() {
    check(|| {
        let start = Instant::now();
        let policy = BudgetPolicy { ratio: 0.5, min_per_second: 0, ttl: Duration::from_secs(10) };
        let budget = Arc::new(Budget::new(policy, start));
        let made = Arc::new(AtomicU32::new(0));
        let shared = (Arc::clone(&budget), Arc::clone(&made));
        on_threads(4, move |_| {
            shared.0.deposit(start);
            shared.1.fetch_add(u32::from(shared.0.withdraw(start)), Ordering::SeqCst);
        });
        assert!(made.load(Ordering::SeqCst) <= 2);
        assert_eq!(budget.balance(start) + made.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn tokens_never_exceed_the_limit_and_all_come_back() {
    check(|| {
        let start = Instant::now();
        let limiter = Limiter::aimd(AimdPolicy { initial: 2, min: 2, max: 2, ..AimdPolicy::default() });
        let out = Arc::new(AtomicU32::new(0));
        let shared = (Arc::clone(&limiter), out);
        on_threads(4, move |_| {
            let Some(token) = shared.0.try_acquire(start) else { return };
            assert!(shared.1.fetch_add(1, Ordering::SeqCst) < 2);
            shared.1.fetch_sub(1, Ordering::SeqCst);
            token.finish(Sample::Ok, start);
        });
        assert_eq!(limiter.in_flight(), 0);
    });
}

#[test]
fn a_quota_admits_its_burst_and_no_more() {
    check(|| {
        let start = Instant::now();
        let rule = Gcra::new(1, Duration::from_secs(1), 2);
        let cell = Arc::new(GcraCell::new(start));
        let passed = Arc::new(AtomicU32::new(0));
        let shared = (cell, Arc::clone(&passed));
        on_threads(4, move |_| {
            let allowed = matches!(shared.0.acquire(&rule, start, 1), Verdict::Allowed { .. });
            shared.1.fetch_add(u32::from(allowed), Ordering::SeqCst);
        });
        assert_eq!(passed.load(Ordering::SeqCst), 2);
    });
}
