//! The cheaper of two: nearly as good as looking at all, for two looks, and without the herd that follows one cheapest.

use super::Chooser;
use fastrand::Rng;
use std::cmp::Ordering;

/// Two different candidates if weights are equal; with unequal weights two independent draws by weight, so that equal
/// costs leave exactly the weights' proportions.
#[inline]
pub(crate) fn choose(from: &Chooser<'_>, rng: &mut Rng) -> Option<u32> {
    if !from.tried.is_empty() {
        return among_untried(from, rng);
    }
    let candidates = &from.group.candidates;
    let (a, b) = match candidates.len() {
        0 => return None,
        1 => return Some(candidates[0].position),
        _ if !from.group.equal() => (from.group.by_weight(rng)?, from.group.by_weight(rng)?),
        n => {
            // One draw for both: the second index skips the first.
            let draw = rng.u64(..);
            let a = scale(draw as u32, n);
            let b = scale((draw >> 32) as u32, n - 1);
            (candidates[a].position, candidates[b + usize::from(b >= a)].position)
        }
    };
    Some(cheaper(from, a, b, rng))
}

#[inline]
fn cheaper(from: &Chooser<'_>, a: u32, b: u32, rng: &mut Rng) -> u32 {
    let (cost_a, cost_b) = from.costs(a, b);
    match cost_a.partial_cmp(&cost_b) {
        Some(Ordering::Less) => a,
        Some(Ordering::Greater) => b,
        Some(Ordering::Equal) | None => {
            if rng.bool() {
                a
            } else {
                b
            }
        }
    }
}

#[cold]
fn among_untried(from: &Chooser<'_>, rng: &mut Rng) -> Option<u32> {
    let a = from.one_by(rng, |candidate| candidate.weight as f64)?;
    let b = from.one_by(rng, |candidate| if candidate.position == a { 0.0 } else { candidate.weight as f64 });
    Some(b.map_or(a, |b| cheaper(from, a, b, rng)))
}

/// A random word as an index below `n`.
#[inline]
fn scale(word: u32, n: usize) -> usize {
    ((u64::from(word) * n as u64) >> 32) as usize
}
