//! Each known way to get a breaker wrong, by name.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests may fail like tests.

use holdfast_resilience::{
    Balancer, BalancerPolicy, BreakerPolicy, EndpointId, EndpointPolicy, EndpointState, FailureKind, Member,
    NoEndpointWhy, Outcome, OutlierPolicy, Permit, Phase, RatePolicy, Refused, Rng, Tried,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const FAILED: Outcome = Outcome::Failed(FailureKind::Status(500));
const OVERLOADED: Outcome = Outcome::Failed(FailureKind::Overloaded { retry_after: None });
const SECOND: Duration = Duration::from_secs(1);

fn policy(change: impl FnOnce(&mut BreakerPolicy)) -> EndpointPolicy {
    let mut breaker = BreakerPolicy { jitter: 0.0, ..BreakerPolicy::default() };
    change(&mut breaker);
    EndpointPolicy { breaker: Some(breaker), ..EndpointPolicy::default() }
}

fn call(state: &Arc<EndpointState>, now: Instant) -> Result<Permit, Refused> {
    state.admit(now, &mut Rng::with_seed(3))
}

fn fail_times(state: &Arc<EndpointState>, times: u32, now: Instant) {
    (0..times).for_each(|_| call(state, now).unwrap().finish(FAILED, now));
}

/// Tripped at `now`, due 10 s later.
fn tripped(change: impl FnOnce(&mut BreakerPolicy), now: Instant) -> Arc<EndpointState> {
    let state = EndpointState::new(&policy(change), now);
    fail_times(&state, 5, now);
    assert_eq!(state.breaker_phase(now).gauge(), 1);
    state
}

fn set(states: &[Arc<EndpointState>], now: Instant) -> Balancer {
    let member = |(id, state): (u32, &Arc<EndpointState>)| Member {
        id: EndpointId(id),
        identity: u64::from(id),
        weight: 1,
        priority: 0,
        zone: None,
        state: Arc::clone(state),
    };
    let members = (0u32..).zip(states).map(member).collect();
    Balancer::new(members, BalancerPolicy::default(), now, &mut Rng::with_seed(1))
}

#[test]
fn probes_that_end_without_verdict_leak_no_slot() {
    let start = Instant::now();
    let state = tripped(|_| {}, start);
    let due = start + 10 * SECOND;
    for round in 0..100 {
        let permit = call(&state, due).expect("the slot is back");
        assert!(permit.is_probe());
        if round % 2 == 0 { permit.finish(Outcome::Neutral, due) } else { drop(permit) }
    }
    call(&state, due).unwrap().finish(Outcome::Ok, due);
    call(&state, due).unwrap().finish(Outcome::Ok, due);
    assert_eq!(state.breaker_phase(due), Phase::Admitting);
}

#[test]
fn no_more_probes_than_slots_are_admitted() {
    let start = Instant::now();
    let state = tripped(|breaker| breaker.probes_concurrent = 3, start);
    let due = start + 10 * SECOND;
    let held: Vec<_> = (0..10).filter_map(|_| call(&state, due).ok()).collect();
    assert_eq!(held.len(), 3);
    assert_eq!(call(&state, due).unwrap_err(), Refused::ProbesBusy);
}

#[test]
fn looking_never_changes_state() {
    let start = Instant::now();
    let state = tripped(|_| {}, start);
    let balancer = set(std::slice::from_ref(&state), start);
    let due = start + 10 * SECOND;
    let before = state.snapshot(start).transitions;
    for _ in 0..100 {
        let _ = balancer.pick(due, &mut Rng::with_seed(1), None, &Tried::new()).unwrap();
        assert_eq!(state.breaker_phase(due), Phase::Probing);
        assert_eq!(state.snapshot(due).transitions, before, "nobody sent anything");
    }
    assert!(
        matches!(state.breaker_phase(start), Phase::Refusing { .. }),
        "and time can be asked about twice"
    );
}

#[test]
fn all_breakers_open_is_an_answer_with_a_time() {
    let start = Instant::now();
    let states: Vec<_> = (0..3).map(|_| tripped(|_| {}, start)).collect();
    let now = start + 4 * SECOND;
    let nobody = set(&states, now).pick(now, &mut Rng::with_seed(1), None, &Tried::new()).unwrap_err();
    assert_eq!(nobody.why, NoEndpointWhy::AllRefusing);
    assert_eq!(nobody.retry_after, Some(6 * SECOND));
}

#[test]
fn a_clock_that_stands_or_steps_back_neither_opens_nor_holds() {
    let start = Instant::now();
    let state = tripped(|_| {}, start + 100 * SECOND);
    // Readings of other workers may be a little older.
    assert!(matches!(call(&state, start + 99 * SECOND), Err(Refused::Open { .. })));
    assert!(matches!(call(&state, start), Err(Refused::Open { .. })));
    assert!(call(&state, start + 110 * SECOND).unwrap().is_probe());
}

#[test]
fn half_open_is_limited_and_failing_goes_back_at_once() {
    let start = Instant::now();
    let state = tripped(|breaker| breaker.probes_concurrent = 2, start);
    let due = start + 10 * SECOND;
    let (first, second) = (call(&state, due).unwrap(), call(&state, due).unwrap());
    first.finish(FAILED, due);
    assert_eq!(state.breaker_phase(due), Phase::Refusing { until: due + 20 * SECOND }, "twice as long");
    second.finish(Outcome::Ok, due);
    assert_eq!(state.breaker_phase(due).gauge(), 1, "a probe of the past closes nothing");
}

#[test]
fn a_hung_probe_does_not_hold_the_breaker_half_open() {
    let start = Instant::now();
    let state = tripped(|_| {}, start);
    let due = start + 10 * SECOND;
    let hung = call(&state, due).unwrap();
    let over = due + 30 * SECOND;
    assert_eq!(state.breaker_phase(over), Phase::Refusing { until: over + 20 * SECOND });
    assert!(call(&state, over + 20 * SECOND).unwrap().is_probe(), "though the hung one never ends");
    drop(hung);
    assert_eq!(state.in_flight(), 0);
}

#[test]
fn ejections_leave_a_survivor_and_clients_mistakes_never_count() {
    let start = Instant::now();
    let outlier = OutlierPolicy { max_share: 1.0, ..OutlierPolicy::default() };
    let policy = EndpointPolicy { outlier: Some(outlier), ..policy(|_| {}) };
    let states: Vec<_> = (0..4).map(|_| EndpointState::new(&policy, start)).collect();
    let _set = set(&states, start);
    (0..50).for_each(|_| call(&states[0], start).unwrap().finish(Outcome::Neutral, start));
    assert!(!states[0].ejected(start));
    assert_eq!(states[0].breaker_phase(start), Phase::Admitting);
    for state in &states {
        fail_times(state, 5, start);
    }
    let out = |now| states.iter().filter(|state| state.ejected(now)).count();
    assert_eq!(out(start), 3);
    assert_eq!(out(start + 30 * SECOND), 0);
}

#[test]
fn transitions_are_counted_by_target() {
    let start = Instant::now();
    let state = tripped(|breaker| breaker.successes = 1, start);
    let due = start + 10 * SECOND;
    call(&state, due).unwrap().finish(FAILED, due);
    call(&state, due + 20 * SECOND).unwrap().finish(Outcome::Ok, due + 20 * SECOND);
    let counted = state.snapshot(due + 20 * SECOND);
    assert_eq!((counted.transitions.refusing, counted.transitions.probing), (2, 2));
    assert_eq!((counted.transitions.admitting, counted.phase.gauge()), (1, 0));
}

#[test]
fn overload_counts_against_the_rate_but_is_no_death() {
    let start = Instant::now();
    let by_run = EndpointState::new(&policy(|breaker| breaker.rate = None), start);
    (0..100).for_each(|_| call(&by_run, start).unwrap().finish(OVERLOADED, start));
    assert_eq!(by_run.breaker_phase(start), Phase::Admitting);
    let by_rate = EndpointState::new(&policy(|breaker| breaker.rate = Some(RatePolicy::default())), start);
    (0..19).for_each(|_| call(&by_rate, start).unwrap().finish(OVERLOADED, start));
    assert_eq!(by_rate.breaker_phase(start), Phase::Admitting, "19 calls are too few");
    call(&by_rate, start).unwrap().finish(OVERLOADED, start);
    assert_eq!(by_rate.breaker_phase(start).gauge(), 1);
    let due = start + 10 * SECOND;
    call(&by_rate, due).unwrap().finish(OVERLOADED, due);
    assert_eq!(by_rate.breaker_phase(due).gauge(), 1, "and fails a probe");
}

#[test]
fn a_stream_as_probe_is_judged_by_its_head() {
    let start = Instant::now();
    let state = tripped(|breaker| breaker.successes = 1, start);
    let due = start + 10 * SECOND;
    let mut stream = call(&state, due).unwrap();
    stream.first_byte(due);
    stream.judge(Outcome::Ok, due);
    assert_eq!(state.breaker_phase(due), Phase::Admitting);
    assert_eq!(state.in_flight(), 1, "it flows on");
    drop(stream);
    assert_eq!(state.in_flight(), 0);
}

#[test]
fn the_open_time_is_jittered_to_both_sides_and_capped() {
    let start = Instant::now();
    let policy = policy(|breaker| breaker.jitter = 0.5);
    let mut rng = Rng::with_seed(11);
    let mut open_times = Vec::new();
    for _ in 0..200 {
        let state = EndpointState::new(&policy, start);
        (0..5).for_each(|_| state.admit(start, &mut rng).unwrap().finish(FAILED, start));
        let Phase::Refusing { until } = state.breaker_phase(start) else { panic!("it tripped") };
        open_times.push(until - start);
    }
    let (least, most) = (open_times.iter().min().unwrap(), open_times.iter().max().unwrap());
    assert!((5 * SECOND..6 * SECOND).contains(least), "{least:?}");
    assert!((14 * SECOND..=15 * SECOND).contains(most), "{most:?}");
}

#[test]
fn re_opening_doubles_up_to_the_maximum() {
    let start = Instant::now();
    let state = tripped(|_| {}, start);
    let mut now = start;
    let mut times = Vec::new();
    while let Phase::Refusing { until } = state.breaker_phase(now) {
        times.push((until - now).as_secs());
        now = until;
        if times.len() == 7 {
            break;
        }
        call(&state, now).unwrap().finish(FAILED, now);
    }
    assert_eq!(times, [10, 20, 40, 80, 160, 300, 300]);
}
