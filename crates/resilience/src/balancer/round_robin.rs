//! Smooth weighted round robin: heavy endpoints are spread out between light ones instead of coming in runs.
//!
//! The turns are worked out when the view is built; a pick is then one atomic step and one look-up.

use super::{Chooser, view::Candidate};
use std::{cmp::Reverse, collections::BinaryHeap};

/// Longest schedule of a set smaller than that; larger weights are rounded to fit.
const TURNS_MAX: u64 = 4096;
/// Steps (turns times candidates) up to which the schedule is NGINX's; above, an equally spread one by deadlines.
const SMOOTH_STEPS_MAX: u64 = 1 << 20;

#[inline]
pub(crate) fn choose(from: &Chooser<'_>, next_turn: impl Fn() -> u64) -> Option<u32> {
    let schedule = &from.group.schedule;
    for _ in 0..schedule.len() {
        let position = schedule[(next_turn() % schedule.len() as u64) as usize];
        if from.untried(position) {
            return Some(position);
        }
    }
    // Turns that other workers take in between may leave a candidate out.
    schedule.iter().copied().find(|position| from.untried(*position))
}

/// The positions in the order of their turns, one full cycle.
pub(crate) fn schedule(candidates: &[Candidate]) -> Box<[u32]> {
    let weights = turns(candidates);
    let total: u64 = weights.iter().sum();
    if weights.iter().all(|weight| *weight == 1) {
        candidates.iter().map(|candidate| candidate.position).collect()
    } else if total * weights.len() as u64 <= SMOOTH_STEPS_MAX {
        smooth(candidates, &weights, total)
    } else {
        by_deadline(candidates, &weights, total)
    }
}

/// Turns of each candidate in a cycle: the weights in lowest terms, rounded if the cycle would be too long.
fn turns(candidates: &[Candidate]) -> Vec<u64> {
    let divisor = candidates.iter().fold(0, |divisor, candidate| gcd(divisor, candidate.weight)).max(1);
    let total: u64 = candidates.iter().map(|candidate| candidate.weight / divisor).sum();
    let most = TURNS_MAX.max(4 * candidates.len() as u64);
    let fit = |weight: u64| {
        let weight = weight / divisor;
        if total <= most {
            weight
        } else {
            ((weight as f64 * most as f64 / total as f64).round() as u64).max(1)
        }
    };
    candidates.iter().map(|candidate| fit(candidate.weight)).collect()
}

/// NGINX's rule: everybody gains its weight, the richest has the turn and pays the total.
fn smooth(candidates: &[Candidate], weights: &[u64], total: u64) -> Box<[u32]> {
    let mut current = vec![0i64; weights.len()];
    let mut turn = |_| {
        let mut best = 0;
        for index in 0..weights.len() {
            current[index] += weights[index].cast_signed();
            if current[index] > current[best] {
                best = index;
            }
        }
        current[best] -= total.cast_signed();
        candidates[best].position
    };
    (0..total).map(&mut turn).collect()
}

/// Every candidate has its k-th turn due at `(k + 1/2) / weight` of the cycle.
fn by_deadline(candidates: &[Candidate], weights: &[u64], total: u64) -> Box<[u32]> {
    /// Parts of a cycle.
    const CYCLE: u64 = 1 << 40;
    let due = |index: usize, turn: u64| CYCLE / weights[index] * turn + CYCLE / (2 * weights[index]);
    let mut heap: BinaryHeap<_> =
        (0..weights.len()).map(|index| Reverse((due(index, 0), index, 0u64))).collect();
    let mut schedule = Vec::with_capacity(total as usize);
    while let Some(Reverse((_, index, turn))) = heap.pop() {
        schedule.push(candidates[index].position);
        if turn + 1 < weights[index] {
            heap.push(Reverse((due(index, turn + 1), index, turn + 1)));
        }
    }
    schedule.into_boxed_slice()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
