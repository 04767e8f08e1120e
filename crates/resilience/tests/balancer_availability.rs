//! What a set offers while parts of it are down: the same for every strategy.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests may fail like tests.

use holdfast_resilience::{
    Balancer, BalancerPolicy, BreakerPolicy, EndpointId, EndpointPolicy, EndpointState, FailureKind, Member,
    NoEndpointWhy, Outcome, Rng, SlowStart, Strategy, TRIED_MAX, Tried, hash_key,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const ALL: [Strategy; 6] = [
    Strategy::P2cEwma,
    Strategy::LeastConnections,
    Strategy::RoundRobin,
    Strategy::Random,
    Strategy::RingHash,
    Strategy::Maglev,
];
const FAILED: Outcome = Outcome::Failed(FailureKind::Connect);

fn member(id: u32, priority: u8, zone: Option<&str>, policy: &EndpointPolicy, now: Instant) -> Member {
    Member {
        id: EndpointId(id),
        identity: hash_key(&id.to_le_bytes()),
        weight: 1,
        priority,
        zone: zone.map(Arc::from),
        state: EndpointState::new(policy, now),
    }
}

fn breaker() -> EndpointPolicy {
    let breaker =
        BreakerPolicy { consecutive: Some(1), jitter: 0.0, successes: 1, ..BreakerPolicy::default() };
    EndpointPolicy { breaker: Some(breaker), ..EndpointPolicy::default() }
}

fn levels(counts: &[u32], policy: &EndpointPolicy, now: Instant) -> Vec<Member> {
    let level = |(priority, count): (u8, &u32)| (0..*count).map(move |n| (priority, n)).collect::<Vec<_>>();
    let all = (0u8..).zip(counts).flat_map(level);
    (0u32..).zip(all).map(|(id, (priority, _))| member(id, priority, None, policy, now)).collect()
}

fn build(members: Vec<Member>, now: Instant, change: impl FnOnce(&mut BalancerPolicy)) -> Balancer {
    let mut policy = BalancerPolicy::default();
    change(&mut policy);
    Balancer::new(members, policy, now, &mut Rng::with_seed(1))
}

fn down(set: &Balancer, id: usize, now: Instant) {
    probe(&set.members()[id].state, 3, false, now);
}

fn fail(set: &Balancer, id: usize, now: Instant) {
    set.members()[id].state.admit(now, &mut Rng::with_seed(1)).unwrap().finish(FAILED, now);
}

/// Share of 20,000 picks that satisfies `that`, and whether any was made in panic.
fn share(set: &Balancer, now: Instant, that: impl Fn(&Member) -> bool) -> (f64, bool) {
    let mut rng = Rng::with_seed(3);
    let picks = 20_000u32;
    let mut hits = 0u32;
    let mut panic = false;
    for n in 0..picks {
        let key = Some(hash_key(&n.to_le_bytes()));
        let picked = set.pick(now, &mut rng, key, &Tried::new()).unwrap();
        hits += u32::from(that(set.member(picked.id).unwrap()));
        panic |= picked.panic;
    }
    (f64::from(hits) / f64::from(picks), panic)
}

fn probe(state: &EndpointState, times: u32, healthy: bool, now: Instant) {
    for _ in 0..times {
        state.record_probe(healthy, now);
    }
}

fn near(got: f64, expected: f64) {
    assert!((got - expected).abs() < 0.02, "{got} instead of {expected}");
}

#[test]
fn a_level_keeps_all_traffic_until_too_few_are_left_then_spills() {
    for strategy in ALL {
        let now = Instant::now();
        let set = build(levels(&[10, 10], &EndpointPolicy::default(), now), now, |p| p.strategy = strategy);
        let first = |member: &Member| member.priority == 0;
        (0..2).for_each(|id| down(&set, id, now));
        near(share(&set, now, first).0, 1.0);
        (2..5).for_each(|id| down(&set, id, now));
        near(share(&set, now, first).0, 0.7);
        (5..10).for_each(|id| down(&set, id, now));
        let (rest, panic) = share(&set, now, first);
        near(rest, 0.0);
        assert!(!panic, "{strategy:?}: the second level takes it all");
    }
}

#[test]
fn too_few_available_is_panic_and_zero_switches_that_off() {
    for strategy in ALL {
        let now = Instant::now();
        let panicking = build(levels(&[4], &EndpointPolicy::default(), now), now, |p| p.strategy = strategy);
        (0..2).for_each(|id| down(&panicking, id, now));
        assert!(!share(&panicking, now, |_| true).1, "half is not below half");
        down(&panicking, 2, now);
        let (to_unhealthy, panic) = share(&panicking, now, |member| !member.state.healthy());
        assert!(panic && to_unhealthy > 0.7, "{strategy:?}: {to_unhealthy}");
        down(&panicking, 3, now);
        assert!(share(&panicking, now, |_| true).1);

        let calm = build(levels(&[2], &EndpointPolicy::default(), now), now, |p| {
            p.strategy = strategy;
            p.panic_threshold = 0.0;
        });
        (0..2).for_each(|id| down(&calm, id, now));
        let nobody = calm.pick(now, &mut Rng::with_seed(1), Some(1), &Tried::new()).unwrap_err();
        assert_eq!(nobody.why, NoEndpointWhy::AllUnhealthy);
    }
}

#[test]
fn panic_never_overrides_an_open_breaker() {
    for strategy in ALL {
        let now = Instant::now();
        let set = build(levels(&[4], &breaker(), now), now, |p| p.strategy = strategy);
        (0..3).for_each(|id| fail(&set, id, now));
        near(share(&set, now, |member| member.id == EndpointId(3)).0, 1.0);
        fail(&set, 3, now);
        let nobody = set.pick(now, &mut Rng::with_seed(1), Some(1), &Tried::new()).unwrap_err();
        assert_eq!(nobody.why, NoEndpointWhy::AllRefusing);
        assert_eq!(nobody.retry_after, Some(Duration::from_secs(10)));
    }
}

#[test]
fn an_endpoint_due_for_a_probe_gets_one_and_returns() {
    for strategy in ALL {
        let now = Instant::now();
        let set = build(levels(&[2], &breaker(), now), now, |p| p.strategy = strategy);
        fail(&set, 0, now);
        let due = now + Duration::from_secs(10);
        let mut rng = Rng::with_seed(1);
        let mut probes = Vec::new();
        for key in 0..100u64 {
            let picked = set.pick(due, &mut rng, Some(hash_key(&key.to_le_bytes())), &Tried::new()).unwrap();
            if picked.id == EndpointId(0) {
                probes.push(set.admit(picked, due, &mut rng).unwrap().unwrap());
            }
        }
        assert_eq!(probes.len(), 1, "{strategy:?}: one slot, one probe");
        probes.pop().unwrap().finish(Outcome::Ok, due);
        assert!(share(&set, due, |member| member.id == EndpointId(0)).0 > 0.4, "{strategy:?}");
    }
}

#[test]
fn a_request_never_meets_an_endpoint_twice_and_reaches_all_levels() {
    for strategy in ALL {
        let now = Instant::now();
        let set = build(levels(&[3, 2], &EndpointPolicy::default(), now), now, |p| p.strategy = strategy);
        let mut rng = Rng::with_seed(1);
        let mut tried = Tried::new();
        for step in 0..5 {
            let picked = set.pick(now, &mut rng, Some(5), &tried).unwrap();
            assert!(!tried.contains(picked.id));
            assert_eq!(set.member(picked.id).unwrap().priority, u8::from(step >= 3), "{strategy:?}");
            assert!(tried.insert(picked.id));
        }
        let nobody = set.pick(now, &mut rng, Some(5), &tried).unwrap_err();
        assert_eq!(nobody.why, NoEndpointWhy::AllTried);
    }
}

#[test]
fn empty_and_drained_sets_say_so() {
    let now = Instant::now();
    let mut drained = levels(&[2], &EndpointPolicy::default(), now);
    for member in &mut drained {
        member.weight = 0;
    }
    for (members, why) in [(Vec::new(), NoEndpointWhy::Empty), (drained, NoEndpointWhy::Drained)] {
        let set = build(members, now, |_| {});
        assert_eq!(set.pick(now, &mut Rng::with_seed(1), None, &Tried::new()).unwrap_err().why, why);
    }
}

#[test]
fn the_own_zone_is_preferred_as_far_as_it_has_its_share() {
    let now = Instant::now();
    let zones = |local: u32, others: u32| {
        let zone = |id| if id < local { "a" } else { "b" };
        let policy = EndpointPolicy::default();
        let members = (0..local + others).map(|id| member(id, 0, Some(zone(id)), &policy, now)).collect();
        build(members, now, |p| p.local_zone = Some(Arc::from("a")))
    };
    let local = |member: &Member| member.zone.as_deref() == Some("a");
    near(share(&zones(4, 4), now, local).0, 1.0);
    near(share(&zones(2, 6), now, local).0, 0.5); // A quarter of the endpoints, half of the senders.
    near(share(&zones(2, 2), now, local).0, 0.5); // Too few to tell zones apart.
    let set = zones(4, 4);
    (0..4).for_each(|id| down(&set, id, now));
    near(share(&set, now, local).0, 0.0);
}

#[test]
fn a_returning_endpoint_ramps_up() {
    for strategy in [Strategy::RoundRobin, Strategy::Random, Strategy::LeastConnections] {
        let start = Instant::now();
        let slow_start = SlowStart { window: Duration::from_secs(100), ..SlowStart::default() };
        let policy = EndpointPolicy { slow_start, ..EndpointPolicy::default() };
        let now = start + Duration::from_secs(1_000);
        let set = build(levels(&[2], &policy, start), now, |p| p.strategy = strategy);
        let first = |member: &Member| member.id == EndpointId(0);
        near(share(&set, now, first).0, 0.5);
        down(&set, 0, now);
        probe(&set.members()[0].state, 2, true, now);
        for (elapsed, weight) in [(0, 0.1), (5, 0.1), (25, 0.25), (50, 0.5), (100, 1.0)] {
            near(share(&set, now + Duration::from_secs(elapsed), first).0, weight / (1.0 + weight));
        }
    }
}

#[test]
fn a_request_tries_a_bounded_number() {
    let mut tried = Tried::new();
    assert!((0..TRIED_MAX as u32).all(|id| tried.insert(EndpointId(id))));
    assert!(tried.insert(EndpointId(3)), "known already");
    assert!(!tried.insert(EndpointId(99)));
    assert_eq!(tried.len(), TRIED_MAX);
}
