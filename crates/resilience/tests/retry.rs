//! Whether and when a request is tried again.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests may fail like tests.

use holdfast_resilience::{
    Attempt, AttemptFailure, Budget, BudgetPolicy, DEADLINE_MAX, Deadline, Decision, FailureKind, GiveUp,
    RetryOn, RetryPolicy, Rng, Safety, Sent,
};
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn failed(kind: FailureKind, sent: Sent, safety: Safety) -> Attempt {
    let failure = AttemptFailure { kind, sent };
    Attempt { number: 1, failure, safety, remaining: 30 * SECOND, needed: Duration::ZERO, others: true }
}

fn decide(policy: &RetryPolicy, attempt: &Attempt) -> Decision {
    policy.decide(attempt, &[], Instant::now(), &mut Rng::with_seed(1))
}

fn retries(attempt: &Attempt) -> bool {
    matches!(decide(&RetryPolicy::default(), attempt), Decision::RetryAfter(_))
}

#[test]
fn what_may_have_been_processed_is_repeated_only_if_that_is_harmless() {
    use FailureKind::{Connect, Overloaded, Reset, Status, Timeout, Tls};
    let overloaded = Overloaded { retry_after: None };
    for kind in [Connect, Tls, Reset, Timeout, Status(502), Status(503), Status(504), overloaded] {
        for safety in [Safety::Safe, Safety::Idempotent] {
            assert!(retries(&failed(kind, Sent::Maybe, safety)), "{kind:?}");
        }
        assert!(retries(&failed(kind, Sent::Nothing, Safety::Unsafe)), "{kind:?}");
        let never_sent = matches!(kind, Connect | Tls);
        assert_eq!(retries(&failed(kind, Sent::Maybe, Safety::Unsafe)), never_sent, "{kind:?}");
    }
    for status in [500, 501, 505, 408] {
        let decision = decide(&RetryPolicy::default(), &failed(Status(status), Sent::Maybe, Safety::Safe));
        assert_eq!(decision, Decision::GiveUp(GiveUp::NotRetryable));
    }
}

#[test]
fn each_class_can_be_switched_off() {
    let classes = [
        (FailureKind::Reset, RetryOn { connection: false, ..RetryOn::default() }),
        (FailureKind::Timeout, RetryOn { timeout: false, ..RetryOn::default() }),
        (FailureKind::Status(503), RetryOn { transient: false, ..RetryOn::default() }),
    ];
    for (kind, retry_on) in classes {
        let policy = RetryPolicy { retry_on, ..RetryPolicy::default() };
        let decision = decide(&policy, &failed(kind, Sent::Nothing, Safety::Safe));
        assert_eq!(decision, Decision::GiveUp(GiveUp::NotRetryable));
    }
}

#[test]
fn attempts_include_the_first() {
    let mut attempt = failed(FailureKind::Connect, Sent::Nothing, Safety::Safe);
    for (number, expected) in [(1, true), (2, true), (3, false)] {
        attempt.number = number;
        assert_eq!(retries(&attempt), expected);
    }
    let once = RetryPolicy { max_attempts: 0, ..RetryPolicy::default() };
    attempt.number = 1;
    assert_eq!(decide(&once, &attempt), Decision::GiveUp(GiveUp::Attempts));
}

#[test]
fn pauses_double_to_the_cap_and_are_drawn_from_zero() {
    let documented = RetryPolicy { base: SECOND, cap: 5 * SECOND, max_attempts: 9, ..RetryPolicy::default() };
    let bounds = [1, 2, 3, 4, 99].map(|attempt| documented.pause_bound(attempt).as_secs());
    assert_eq!(bounds, [1, 2, 4, 5, 5]);
    let mut rng = Rng::with_seed(5);
    let attempt = Attempt { number: 2, ..failed(FailureKind::Reset, Sent::Maybe, Safety::Safe) };
    let mut draw = || match documented.decide(&attempt, &[], Instant::now(), &mut rng) {
        Decision::RetryAfter(pause) => pause.as_secs_f64(),
        Decision::GiveUp(why) => panic!("{why}"),
    };
    let pauses: Vec<f64> = (0..10_000).map(|_| draw()).collect();
    assert!(pauses.iter().all(|pause| (0.0..2.0).contains(pause)));
    let mean = pauses.iter().sum::<f64>() / 10_000.0;
    assert!((mean - 1.0).abs() < 0.02, "{mean}");
    assert!(pauses.iter().any(|pause| *pause < 0.02) && pauses.iter().any(|pause| *pause > 1.98));
}

#[test]
fn a_retry_after_is_honoured_or_another_endpoint_tried_at_once() {
    let asks = |wish: Duration, others, remaining| {
        let kind = FailureKind::Overloaded { retry_after: Some(wish) };
        let attempt = Attempt { others, remaining, ..failed(kind, Sent::Nothing, Safety::Unsafe) };
        decide(&RetryPolicy::default(), &attempt)
    };
    let hour = Duration::from_hours(1);
    assert_eq!(asks(200 * MS, true, hour), Decision::RetryAfter(200 * MS), "no longer than a usual pause");
    assert_eq!(asks(20 * SECOND, true, hour), Decision::RetryAfter(Duration::ZERO));
    assert_eq!(asks(20 * SECOND, false, hour), Decision::RetryAfter(20 * SECOND));
    assert_eq!(asks(300 * SECOND, false, hour), Decision::RetryAfter(300 * SECOND));
    assert_eq!(asks(301 * SECOND, false, hour), Decision::GiveUp(GiveUp::RetryAfterTooLong));
    assert_eq!(asks(301 * SECOND, true, hour), Decision::RetryAfter(Duration::ZERO));
    assert_eq!(asks(20 * SECOND, false, 20 * SECOND), Decision::GiveUp(GiveUp::Deadline));
}

#[test]
fn no_attempt_begins_that_the_deadline_cannot_hold() {
    let attempt =
        Attempt { remaining: Duration::ZERO, ..failed(FailureKind::Connect, Sent::Nothing, Safety::Safe) };
    assert_eq!(decide(&RetryPolicy::default(), &attempt), Decision::GiveUp(GiveUp::Deadline));
    let slow = Attempt { remaining: 2 * SECOND, needed: 2 * SECOND, ..attempt };
    assert_eq!(decide(&RetryPolicy::default(), &slow), Decision::GiveUp(GiveUp::Deadline));
}

#[test]
fn a_retry_is_charged_to_every_budget_or_to_none() {
    let now = Instant::now();
    let budget = |min_per_second| {
        let policy = BudgetPolicy { ratio: 0.0, min_per_second, ttl: 10 * SECOND };
        Budget::new(policy, now)
    };
    let (pool, process) = (budget(1), budget(0));
    let attempt = failed(FailureKind::Connect, Sent::Nothing, Safety::Safe);
    let decide =
        |budgets: &[&Budget]| RetryPolicy::default().decide(&attempt, budgets, now, &mut Rng::with_seed(1));
    assert_eq!(decide(&[&pool, &process]), Decision::GiveUp(GiveUp::Budget));
    assert_eq!(pool.balance(now), 10, "the pool's token is back");
    for left in (0..10).rev() {
        assert!(matches!(decide(&[&pool]), Decision::RetryAfter(_)));
        assert_eq!(pool.balance(now), left);
    }
    assert_eq!(decide(&[&pool]), Decision::GiveUp(GiveUp::Budget));
}

#[test]
fn a_budget_is_a_fifth_plus_ten_per_second_and_forgets_after_ten() {
    let now = Instant::now();
    let budget = Budget::new(BudgetPolicy::default(), now);
    (0..1_000).for_each(|_| budget.deposit(now));
    let granted = (0..1_000).filter(|_| budget.withdraw(now)).count();
    assert_eq!(granted, 1_000 / 5 + 10 * 10);
    assert!(!budget.withdraw(now + 8 * SECOND));
    assert_eq!(budget.balance(now + 10 * SECOND), 100);
}

#[test]
fn deadlines_only_get_earlier() {
    let now = Instant::now();
    let route = Deadline::after(now, 30 * SECOND);
    let client = Deadline::after(now, 5 * SECOND);
    assert_eq!(route.min(client), client);
    assert_eq!(client.within(now, 10 * SECOND), client);
    assert_eq!(client.within(now, SECOND).remaining(now), SECOND);
    assert_eq!(client.remaining(now + 9 * SECOND), Duration::ZERO);
    assert!(client.expired(now + 5 * SECOND) && !client.expired(now + 4 * SECOND));
    assert_eq!(Deadline::after(now, Duration::MAX).remaining(now), DEADLINE_MAX);
    assert_eq!(Deadline::at(now).instant(), now);
}
