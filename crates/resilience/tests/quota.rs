//! GCRA, budgets and limits against plain models.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests may fail like tests.

use holdfast_resilience::{
    Aimd, AimdPolicy, Budget, BudgetPolicy, Gcra, GcraCell, Gradient2, Gradient2Policy, Limiter, Sample,
    Verdict,
};
use proptest::prelude::*;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

/// A bucket that drips: the textbook form of the same quota, in whole nanoseconds.
struct Bucket {
    emission: u128,
    size: u128,
    level: u128,
    at: u128,
}

impl Bucket {
    fn ask(&mut self, now: u128, quantity: u32) -> bool {
        let level = self.level.saturating_sub(now - self.at);
        let wanted = level + self.emission * u128::from(quantity);
        if wanted > self.size {
            return false;
        }
        (self.level, self.at) = (wanted, now);
        true
    }
}

proptest! {
    #[test]
    fn gcra_is_a_leaky_bucket(
        limit in 1u32..50, burst in 1u32..20, asks in prop::collection::vec((0u64..2_000, 1u32..4), 1..200),
    ) {
        let start = Instant::now();
        let period = Duration::from_secs(1);
        let rule = Gcra::new(limit, period, burst);
        let cell = GcraCell::new(start);
        let emission = period.as_nanos().div_ceil(u128::from(limit));
        let mut bucket = Bucket { emission, size: emission * u128::from(burst), level: 0, at: 0 };
        let mut now = Duration::ZERO;
        for (wait, quantity) in asks {
            now += Duration::from_micros(wait * 100);
            let verdict = cell.acquire(&rule, start + now, quantity);
            let expected = bucket.ask(now.as_nanos(), quantity);
            prop_assert_eq!(matches!(verdict, Verdict::Allowed { .. }), expected);
            prop_assert_eq!(verdict == Verdict::Never, quantity > burst);
            if let Verdict::Limited { retry_after } = verdict {
                // Not a nanosecond earlier, and asking writes nothing.
                let just_before = now + retry_after.saturating_sub(Duration::from_nanos(1));
                let early = cell.acquire(&rule, start + just_before, quantity);
                let on_time = matches!(early, Verdict::Limited { .. });
                prop_assert!(on_time, "{:?}", early);
            }
        }
    }

    #[test]
    fn what_is_told_to_wait_passes_then(limit in 1u32..50, burst in 1u32..5) {
        let start = Instant::now();
        let rule = Gcra::new(limit, Duration::from_secs(1), burst);
        let cell = GcraCell::new(start);
        for left in (0..burst).rev() {
            let verdict = cell.acquire(&rule, start, 1);
            let passed = matches!(verdict, Verdict::Allowed { remaining, .. } if remaining == left);
            prop_assert!(passed, "{:?}", verdict);
        }
        let Verdict::Limited { retry_after } = cell.acquire(&rule, start, 1) else { panic!("burst is over") };
        prop_assert_eq!(retry_after.as_nanos(), 1_000_000_000u128.div_ceil(u128::from(limit)));
        let passed = matches!(cell.acquire(&rule, start + retry_after, 1), Verdict::Allowed { .. });
        prop_assert!(passed);
        prop_assert!(!cell.idle(start));
        prop_assert!(cell.idle(start + Duration::from_mins(10)));
    }

    #[test]
    fn a_budget_never_gives_more_than_its_window_allows(
        ratio in 0.0f64..1.0, reserve in 0u32..3, ops in prop::collection::vec((any::<bool>(), 0u64..900), 1..300),
    ) {
        let start = Instant::now();
        let policy = BudgetPolicy { ratio, min_per_second: reserve, ttl: Duration::from_secs(10) };
        let budget = Budget::new(policy, start);
        let (mut requests, mut retries) = (Vec::<u64>::new(), Vec::<u64>::new());
        let mut now = 0u64;
        for (retry, wait) in ops {
            now += wait;
            let at = start + now as u32 * MS;
            if !retry {
                budget.deposit(at);
                requests.push(now);
                continue;
            }
            let recent = |all: &[u64]| all.iter().filter(|then| now / 1_000 - *then / 1_000 < 10).count() as f64;
            let allowed = recent(&requests) * ratio + f64::from(reserve * 10);
            let expected = recent(&retries) + 1.0 <= allowed;
            prop_assert_eq!(budget.withdraw(at), expected);
            if expected {
                retries.push(now);
            }
        }
    }
}

#[test]
fn more_than_a_burst_can_never_pass() {
    let start = Instant::now();
    let cell = GcraCell::new(start);
    assert_eq!(cell.acquire(&Gcra::new(10, Duration::from_secs(1), 5), start, 6), Verdict::Never);
    assert!(cell.idle(start), "and writes nothing");
}

#[test]
fn gradient2_shrinks_when_latency_grows_and_grows_back() {
    let policy = Gradient2Policy { min: 4, initial: 50, ..Gradient2Policy::default() };
    let mut limit = Gradient2::new(policy);
    for _ in 0..50 {
        limit.on_sample(10 * MS, limit.limit(), false);
    }
    let steady = limit.limit();
    assert!(steady > 50, "room is used: {steady}");
    for _ in 0..100 {
        limit.on_sample(100 * MS, limit.limit(), false);
    }
    let crowded = limit.limit();
    assert!(crowded < steady / 2, "{crowded} of {steady}");
    for _ in 0..500 {
        limit.on_sample(10 * MS, limit.limit(), false);
    }
    assert!(limit.limit() > crowded * 2);
}

#[test]
fn gradient2_learns_nothing_from_an_idle_endpoint() {
    let mut limit = Gradient2::new(Gradient2Policy::default());
    for _ in 0..1_000 {
        limit.on_sample(MS, 1, false);
    }
    assert_eq!(limit.limit(), 20);
}

#[test]
fn aimd_adds_one_and_takes_a_tenth() {
    let mut limit = Aimd::new(AimdPolicy { min: 1, initial: 100, ..AimdPolicy::default() });
    assert_eq!(limit.on_sample(MS, 60, false), 101);
    assert_eq!(limit.on_sample(MS, 10, false), 101, "not under half load");
    assert_eq!(limit.on_sample(MS, 60, true), 90);
    assert_eq!(limit.on_sample(6_000 * MS, 60, false), 81, "a late first byte is a sign too");
    for _ in 0..200 {
        limit.on_sample(MS, 60, true);
    }
    assert_eq!(limit.limit(), 1);
}

#[test]
fn a_full_limit_refuses_and_a_dropped_token_returns() {
    let start = Instant::now();
    let limiter = Limiter::gradient2(Gradient2Policy::default());
    let mut tokens: Vec<_> = (0..20).map(|_| limiter.try_acquire(start).unwrap()).collect();
    assert!(limiter.try_acquire(start).is_none());
    drop(tokens.pop());
    tokens.pop().unwrap().finish(Sample::Dropped, start);
    assert_eq!(limiter.in_flight(), 18);
    assert!(limiter.try_acquire(start).is_some());
}
