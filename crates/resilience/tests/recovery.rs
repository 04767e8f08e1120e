//! What active probes know about an endpoint that calls have given up.

#![allow(clippy::unwrap_used)] // Helpers of tests may fail like tests.

use holdfast_resilience::{BreakerPolicy, EndpointPolicy, EndpointState, FailureKind, Outcome, Phase, Rng};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

fn given_up(why: FailureKind, now: Instant) -> Arc<EndpointState> {
    let breaker = BreakerPolicy { consecutive: Some(1), rate: None, jitter: 0.0, ..BreakerPolicy::default() };
    let policy = EndpointPolicy { breaker: Some(breaker), outlier: None, ..EndpointPolicy::default() };
    let state = EndpointState::new(&policy, now);
    state.admit(now, &mut Rng::with_seed(1)).unwrap().finish(Outcome::Failed(why), now);
    assert!(matches!(state.breaker_phase(now), Phase::Refusing { .. }));
    state
}

#[test]
fn a_probe_that_reaches_an_unreachable_endpoint_lets_the_next_call_try_it() {
    let start = Instant::now();
    for why in [FailureKind::Connect, FailureKind::Tls, FailureKind::Reset] {
        let state = given_up(why, start);
        let now = start + Duration::from_millis(300);
        state.record_probe(true, now);
        assert_eq!(state.breaker_phase(now), Phase::Probing, "{why:?}");
        let permit = state.admit(now, &mut Rng::with_seed(2)).unwrap();
        assert!(permit.is_probe(), "{why:?}: it is tried, not trusted");
    }
}

#[test]
fn a_probe_does_not_vouch_for_answers_or_slowness() {
    let start = Instant::now();
    for why in [FailureKind::Status(500), FailureKind::Timeout] {
        let state = given_up(why, start);
        state.record_probe(true, start + Duration::from_millis(300));
        let phase = state.breaker_phase(start + Duration::from_millis(300));
        assert!(matches!(phase, Phase::Refusing { .. }), "{why:?}: {phase:?}");
    }
}

#[test]
fn a_failed_probe_changes_nothing_for_the_breaker() {
    let start = Instant::now();
    let state = given_up(FailureKind::Connect, start);
    let before = state.breaker_phase(start);
    state.record_probe(false, start);
    assert_eq!(state.breaker_phase(start), before);
}

#[test]
fn an_invited_call_that_fails_doubles_the_open_time_as_ever() {
    let start = Instant::now();
    let state = given_up(FailureKind::Connect, start);
    let until = |state: &EndpointState, now| match state.breaker_phase(now) {
        Phase::Refusing { until } => until - now,
        Phase::Admitting | Phase::Probing => Duration::ZERO,
    };
    let first = until(&state, start);
    state.record_probe(true, start);
    state.admit(start, &mut Rng::with_seed(3)).unwrap().finish(Outcome::Failed(FailureKind::Connect), start);
    assert_eq!(until(&state, start), first * 2);
}

#[test]
fn an_endpoint_that_returns_is_not_held_to_the_penalties_of_its_death() {
    let start = Instant::now();
    let policy = EndpointPolicy { breaker: None, outlier: None, ..EndpointPolicy::default() };
    let state = EndpointState::new(&policy, start);
    state.admit(start, &mut Rng::with_seed(1)).unwrap().finish(Outcome::Failed(FailureKind::Reset), start);
    assert!(state.latency(start).unwrap() >= Duration::from_secs(1), "the failure cost it");
    for second in 1..=9 {
        state.record_probe(second > 5, start + Duration::from_secs(second));
    }
    assert!(state.healthy());
    assert_eq!(state.latency(start + Duration::from_secs(9)), None, "it starts anew");
}
