//! Where picks go, strategy by strategy, against shares worked out by hand or by a small independent model.

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests may fail like tests.

use holdfast_resilience::{
    Balancer, BalancerPolicy, EndpointId, EndpointPolicy, EndpointState, Member, Outcome, Rng, Strategy,
    Tried, hash_key,
};
use proptest::prelude::*;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

const PICKS: usize = 100_000;
/// Distance of a share from the expected one, of the whole.
const TOLERANCE: f64 = 0.02;

fn members(weights: &[u32], now: Instant) -> Vec<Member> {
    let member = |(id, weight): (u32, &u32)| Member {
        id: EndpointId(id),
        identity: hash_key(format!("http://10.0.0.{id}:80").as_bytes()),
        weight: *weight,
        priority: 0,
        zone: None,
        state: EndpointState::new(&EndpointPolicy::default(), now),
    };
    (0u32..).zip(weights).map(member).collect()
}

fn balancer(members: Vec<Member>, strategy: Strategy, now: Instant) -> Balancer {
    let policy = BalancerPolicy { strategy, ..BalancerPolicy::default() };
    Balancer::new(members, policy, now, &mut Rng::with_seed(1))
}

fn shares(balancer: &Balancer, now: Instant) -> Vec<f64> {
    let mut rng = Rng::with_seed(42);
    let mut counts = vec![0usize; balancer.members().len()];
    for pick in 0..PICKS {
        let key = Some(hash_key(&pick.to_le_bytes()));
        let picked = balancer.pick(now, &mut rng, key, &Tried::new()).unwrap();
        counts[picked.id.0 as usize] += 1;
    }
    counts.iter().map(|count| *count as f64 / PICKS as f64).collect()
}

fn probe(state: &EndpointState, times: u32, healthy: bool, now: Instant) {
    for _ in 0..times {
        state.record_probe(healthy, now);
    }
}

fn assert_shares(strategy: Strategy, got: &[f64], expected: &[f64]) {
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() < TOLERANCE, "{strategy:?}: {got} instead of {expected}");
    }
}

fn proportions(weights: &[u32]) -> Vec<f64> {
    let total: u32 = weights.iter().sum();
    weights.iter().map(|weight| f64::from(*weight) / f64::from(total)).collect()
}

#[test]
fn every_strategy_follows_the_weights_of_an_idle_set_and_drains_zero() {
    use Strategy::{LeastConnections, Maglev, P2cEwma, Random, RingHash, RoundRobin};
    for weights in [&[1u32, 1, 1, 1][..], &[5, 1, 1], &[3, 0, 7, 10], &[100, 1]] {
        for strategy in [P2cEwma, LeastConnections, RoundRobin, Random, RingHash, Maglev] {
            let now = Instant::now();
            let set = balancer(members(weights, now), strategy, now);
            let got = shares(&set, now);
            assert_shares(strategy, &got, &proportions(weights));
            assert!(weights.iter().zip(&got).all(|(weight, got)| *weight > 0 || *got == 0.0), "{strategy:?}");
        }
    }
}

#[test]
fn p2c_sends_what_two_choices_by_cost_send() {
    let now = Instant::now();
    let set = balancer(members(&[1, 1, 1, 1], now), Strategy::P2cEwma, now);
    let mut rng = Rng::with_seed(1);
    for (member, latency) in set.members().iter().zip([4u64, 1, 3, 2]) {
        let done = now + Duration::from_millis(latency);
        member.state.admit(now, &mut rng).unwrap().finish(Outcome::Ok, done);
    }
    // Of two different ones the cheaper wins: the k-th cheapest of 4 wins against 4 - k others, of 6 pairs.
    assert_shares(Strategy::P2cEwma, &shares(&set, now), &[0.0, 0.5, 1.0 / 6.0, 2.0 / 6.0]);
}

#[test]
fn p2c_avoids_what_is_busy_and_what_fails() {
    let now = Instant::now();
    let set = balancer(members(&[1, 1], now), Strategy::P2cEwma, now);
    let mut rng = Rng::with_seed(1);
    let done = now + Duration::from_millis(2);
    set.members().iter().for_each(|m| m.state.admit(now, &mut rng).unwrap().finish(Outcome::Ok, done));
    let busy = set.members()[0].state.admit(done, &mut rng).unwrap();
    assert_eq!(shares(&set, done), [0.0, 1.0]);
    drop(busy);
    let failure = Outcome::Failed(holdfast_resilience::FailureKind::Status(503));
    set.members()[1].state.admit(done, &mut rng).unwrap().finish(failure, done);
    assert_eq!(shares(&set, done), [1.0, 0.0], "though it answered at once");
    assert!(set.members()[1].state.latency(done).unwrap() > Duration::from_secs(4));
}

#[test]
fn least_connections_follows_outstanding_requests() {
    let now = Instant::now();
    let mut rng = Rng::with_seed(1);
    let equal = balancer(members(&[1, 1, 1], now), Strategy::LeastConnections, now);
    let permits = |set: &Balancer, id: usize, n: usize, rng: &mut Rng| -> Vec<_> {
        (0..n).map(|_| set.members()[id].state.admit(now, rng).unwrap()).collect()
    };
    let _held =
        [permits(&equal, 0, 2, &mut rng), permits(&equal, 1, 1, &mut rng), permits(&equal, 2, 1, &mut rng)];
    assert_shares(Strategy::LeastConnections, &shares(&equal, now), &[0.0, 0.5, 0.5]);
    let weighted = balancer(members(&[6, 2], now), Strategy::LeastConnections, now);
    let _more = permits(&weighted, 0, 2, &mut rng);
    assert_shares(Strategy::LeastConnections, &shares(&weighted, now), &[0.5, 0.5]);
}

/// NGINX's smooth weighted round robin, as its source describes it.
fn nginx(weights: &[u32], picks: usize) -> Vec<u32> {
    let mut current = vec![0i64; weights.len()];
    let total: i64 = weights.iter().map(|weight| i64::from(*weight)).sum();
    (0..picks)
        .map(|_| {
            current.iter_mut().zip(weights).for_each(|(current, weight)| *current += i64::from(*weight));
            let best = current.iter().max().copied().unwrap();
            let index = current.iter().position(|current| *current == best).unwrap();
            current[index] -= total;
            index as u32
        })
        .collect()
}

proptest! {
    #[test]
    fn round_robin_is_the_smooth_sequence(weights in prop::collection::vec(1u32..12, 1..8)) {
        let now = Instant::now();
        let set = balancer(members(&weights, now), Strategy::RoundRobin, now);
        let cycle = weights.iter().sum::<u32>() as usize;
        let mut rng = Rng::with_seed(1);
        let mut pick = || set.pick(now, &mut rng, None, &Tried::new()).unwrap().id.0;
        let got: Vec<u32> = (0..2 * cycle).map(|_| pick()).collect();
        // It begins at a turn of its own.
        let expected = nginx(&weights, 3 * cycle);
        let found = (0..cycle).any(|offset| expected[offset..offset + 2 * cycle] == got);
        prop_assert!(found, "{:?} is no part of {:?}", got, expected);
    }

    #[test]
    fn an_endpoint_that_goes_moves_only_its_own_keys(
        weights in prop::collection::vec(1u32..4, 3..8), gone in 0usize..3, maglev in any::<bool>(),
    ) {
        let now = Instant::now();
        let strategy = if maglev { Strategy::Maglev } else { Strategy::RingHash };
        let set = balancer(members(&weights, now), strategy, now);
        let homes = |rng: &mut Rng| -> HashMap<u64, u32> {
            let mut home = |key| (key, set.pick(now, rng, Some(key), &Tried::new()).unwrap().id.0);
            (0..500).map(|key: u64| home(hash_key(&key.to_le_bytes()))).collect()
        };
        let mut rng = Rng::with_seed(1);
        let before = homes(&mut rng);
        probe(&set.members()[gone].state, 3, false, now);
        let during = homes(&mut rng);
        for (key, home) in &before {
            let moved = during[key] != *home;
            prop_assert_eq!(moved, *home == gone as u32);
        }
        probe(&set.members()[gone].state, 2, true, now);
        prop_assert_eq!(homes(&mut rng), before, "keys come home");
    }
}

#[test]
fn a_removed_endpoint_disturbs_few_keys_of_a_rebuilt_table() {
    for (strategy, most) in [(Strategy::Maglev, 0.04), (Strategy::RingHash, 0.001)] {
        let now = Instant::now();
        let full = balancer(members(&[1; 10], now), strategy, now);
        let reduced = balancer(members(&[1; 9], now), strategy, now);
        let mut rng = Rng::with_seed(1);
        let mut home =
            |set: &Balancer, key: u64| set.pick(now, &mut rng, Some(key), &Tried::new()).unwrap().id.0;
        let keys = (0..20_000u64).map(|key| hash_key(&key.to_le_bytes()));
        let homes: Vec<_> = keys.map(|key| (home(&full, key), home(&reduced, key))).collect();
        let moved = homes.iter().filter(|(before, after)| *before != 9 && before != after).count();
        assert!((moved as f64) < most * homes.len() as f64, "{strategy:?}: {moved} keys moved");
    }
}

#[test]
fn processes_agree_on_keys_whatever_the_order_of_configuration() {
    for strategy in [Strategy::Maglev, Strategy::RingHash] {
        let now = Instant::now();
        let mut reversed = members(&[1, 2, 3, 4], now);
        let set = balancer(reversed.clone(), strategy, now);
        reversed.reverse();
        let other = balancer(reversed, strategy, now);
        let mut rng = Rng::with_seed(1);
        for key in 0..5_000u64 {
            let mut home = |set: &Balancer| set.pick(now, &mut rng, Some(key), &Tried::new()).unwrap().id;
            assert_eq!(home(&set), home(&other), "{strategy:?}");
        }
    }
}

#[test]
fn a_hot_key_overflows_at_a_quarter_above_the_mean() {
    for strategy in [Strategy::RingHash, Strategy::Maglev] {
        let now = Instant::now();
        let set = balancer(members(&[1; 4], now), strategy, now);
        let mut rng = Rng::with_seed(1);
        let mut held = Vec::new();
        for _ in 0..400 {
            let picked = set.pick(now, &mut rng, Some(7), &Tried::new()).unwrap();
            held.push(set.member(picked.id).unwrap().state.admit(now, &mut rng).unwrap());
        }
        let busiest = set.members().iter().map(|member| member.state.in_flight()).max().unwrap();
        assert!((100..=126).contains(&busiest), "{strategy:?}: {busiest} of 400 on one of four");
    }
}

#[test]
fn a_large_set_with_unequal_weights_still_takes_turns() {
    let now = Instant::now();
    let weights: Vec<u32> = (0..600).map(|n| 1 + n % 5).collect();
    let set = balancer(members(&weights, now), Strategy::RoundRobin, now);
    let cycle = weights.iter().sum::<u32>() as usize;
    let mut counts = vec![0u32; weights.len()];
    let mut rng = Rng::with_seed(1);
    (0..cycle).for_each(|_| counts[set.pick(now, &mut rng, None, &Tried::new()).unwrap().id.0 as usize] += 1);
    assert_eq!(counts, weights);
}
