//! Probes with hysteresis, ejections, latency averages and ramps.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests may fail like tests.

use holdfast_resilience::{
    Balancer, BalancerPolicy, EndpointId, EndpointPolicy, EndpointState, FailureKind, HealthChange,
    LoadPolicy, Member, Outcome, OutlierPolicy, ProbePolicy, Rng, SlowStart,
};
use proptest::prelude::*;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const SECOND: Duration = Duration::from_secs(1);
const FAILED: Outcome = Outcome::Failed(FailureKind::Reset);

fn call(state: &Arc<EndpointState>, outcome: Outcome, from: Instant, to: Instant) {
    state.admit(from, &mut Rng::with_seed(1)).unwrap().finish(outcome, to);
}

fn set(count: u32, outlier: OutlierPolicy, now: Instant) -> Balancer {
    let policy = EndpointPolicy { outlier: Some(outlier), ..EndpointPolicy::default() };
    let member = |id| Member {
        id: EndpointId(id),
        identity: u64::from(id),
        weight: 1,
        priority: 0,
        zone: None,
        state: EndpointState::new(&policy, now),
    };
    Balancer::new((0..count).map(member).collect(), BalancerPolicy::default(), now, &mut Rng::with_seed(1))
}

fn fail_times(set: &Balancer, id: usize, times: u32, now: Instant) {
    (0..times).for_each(|_| call(&set.members()[id].state, FAILED, now, now));
}

proptest! {
    #[test]
    fn health_changes_only_after_a_whole_run(
        fall in 1u32..5, rise in 1u32..5, probes in prop::collection::vec(any::<bool>(), 1..100),
    ) {
        let now = Instant::now();
        let policy = EndpointPolicy { probe: ProbePolicy { fall, rise }, ..EndpointPolicy::default() };
        let state = EndpointState::new(&policy, now);
        let mut healthy = true;
        for (index, result) in probes.iter().enumerate() {
            let needed = if healthy { fall } else { rise } as usize;
            // Out or in if the last `needed` probes all say the opposite of what it is.
            let run = probes[..=index].iter().rev().take_while(|probe| **probe != healthy).count();
            let changes = run >= needed;
            healthy ^= changes;
            let expected = changes.then_some(
                if healthy { HealthChange::BecameHealthy } else { HealthChange::BecameUnhealthy },
            );
            prop_assert_eq!(state.record_probe(*result, now), expected);
            prop_assert_eq!(state.healthy(), healthy);
        }
    }
}

#[test]
fn ejections_grow_with_their_number_and_are_forgiven_with_time() {
    let mut now = Instant::now();
    let set = set(2, OutlierPolicy::default(), now);
    let state = &set.members()[0].state;
    let mut times = Vec::new();
    for _ in 0..12 {
        fail_times(&set, 0, 5, now);
        let until = state.snapshot(now).ejected_until.unwrap();
        times.push((until - now).as_secs());
        now = until;
    }
    assert_eq!(times, [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]);
    now += 30 * 11 * SECOND;
    fail_times(&set, 0, 5, now);
    assert_eq!(state.snapshot(now).ejected_until, Some(now + 60 * SECOND), "11 of 12 were forgiven");
    assert_eq!(state.snapshot(now).ejections, 13);
}

#[test]
fn a_success_or_an_overload_is_no_part_of_a_run() {
    let now = Instant::now();
    let set = set(2, OutlierPolicy::default(), now);
    let state = &set.members()[0].state;
    fail_times(&set, 0, 4, now);
    (0..9).for_each(|_| call(state, Outcome::Failed(FailureKind::Status(429)), now, now));
    assert!(!state.ejected(now));
    call(state, Outcome::Ok, now, now);
    fail_times(&set, 0, 4, now);
    assert!(!state.ejected(now));
    fail_times(&set, 0, 1, now);
    assert!(state.ejected(now));
}

#[test]
fn a_single_endpoint_is_never_ejected_and_a_place_is_free_again_after_time() {
    let now = Instant::now();
    let alone = set(1, OutlierPolicy::default(), now);
    fail_times(&alone, 0, 50, now);
    assert!(!alone.members()[0].state.ejected(now));
    let three = set(3, OutlierPolicy { max_share: 0.1, ..OutlierPolicy::default() }, now);
    fail_times(&three, 0, 5, now);
    fail_times(&three, 1, 5, now);
    assert!(three.members()[0].state.ejected(now), "at least one may go");
    assert!(!three.members()[1].state.ejected(now));
    let later = now + 30 * SECOND;
    fail_times(&three, 1, 1, later);
    assert!(three.members()[1].state.ejected(later));
}

#[test]
fn healthy_probes_end_an_ejection_but_only_those_after_it() {
    let now = Instant::now();
    let set = set(2, OutlierPolicy::default(), now);
    let state = &set.members()[0].state;
    (0..9).for_each(|_| assert_eq!(state.record_probe(true, now), None));
    fail_times(&set, 0, 5, now);
    assert_eq!(state.record_probe(true, now), None, "one is no run");
    assert!(state.ejected(now));
    assert_eq!(state.record_probe(true, now), Some(HealthChange::BecameHealthy));
    assert!(!state.ejected(now));
}

#[test]
fn a_peak_is_believed_at_once_and_forgotten_slowly() {
    let start = Instant::now();
    let state = EndpointState::new(&EndpointPolicy::default(), start);
    let ms = Duration::from_millis(1);
    call(&state, Outcome::Ok, start, start + 10 * ms);
    let mut now = start + 10 * ms;
    call(&state, Outcome::Ok, now, now + 500 * ms);
    now += 500 * ms;
    let close = |now: Instant, expected: f64| {
        let got = state.latency(now).unwrap().as_secs_f64();
        assert!((got / expected - 1.0).abs() < 0.002, "{got} instead of {expected}");
    };
    close(now, 0.5);
    for seconds in [1u32, 5, 10, 20, 40] {
        close(now + seconds * SECOND, 0.5 * (-f64::from(seconds) / 10.0).exp());
    }
    close(now, 0.5); // Reading changed nothing.
    let later = now + 10 * SECOND;
    call(&state, Outcome::Ok, later, later);
    close(later, 0.5 * (-1f64).exp());
}

#[test]
fn a_failure_costs_its_penalty_and_a_long_retry_after_costs_more() {
    let now = Instant::now();
    let latency = |kind| {
        let state = EndpointState::new(&EndpointPolicy::default(), now);
        call(&state, Outcome::Failed(kind), now, now);
        state.latency(now).unwrap().as_secs_f64().round()
    };
    let overloaded = |secs| FailureKind::Overloaded { retry_after: Some(Duration::from_secs(secs)) };
    let got = [FailureKind::Status(500), overloaded(1), overloaded(60), overloaded(9_999)].map(latency);
    assert_eq!(got.map(|seconds| seconds as u64), [5, 5, 60, 300]);
    assert_eq!(LoadPolicy::default().penalty_max, 300 * SECOND);
}

#[test]
fn an_aborted_call_teaches_only_that_it_took_at_least_so_long() {
    let now = Instant::now();
    let state = EndpointState::new(&EndpointPolicy::default(), now);
    call(&state, Outcome::Ok, now, now + SECOND);
    let then = now + SECOND;
    call(&state, Outcome::Neutral, then, then);
    assert!(state.latency(then).unwrap() > Duration::from_millis(990));
    call(&state, Outcome::Neutral, then, then + 9 * SECOND);
    assert!(state.latency(then + 9 * SECOND).unwrap() > Duration::from_millis(8_900));
}

#[test]
fn a_ramp_has_a_floor_and_a_shape() {
    let straight = SlowStart { window: 100 * SECOND, ..SlowStart::default() };
    let bent = SlowStart { aggression: 2.0, ..straight };
    let at = |ramp: SlowStart, seconds| (ramp.factor(seconds * SECOND) * 100.0).round() as u32;
    assert_eq!([0, 5, 25, 100, 200].map(|seconds| at(straight, seconds)), [10, 10, 25, 100, 100]);
    assert_eq!([0, 25, 64].map(|seconds| at(bent, seconds)), [10, 50, 80]);
    assert_eq!(at(SlowStart::default(), 0), 100, "off");
}
