//! Least outstanding requests: requests, not connections, because one HTTP/2 or WebSocket connection carries many.

use super::Chooser;
use fastrand::Rng;

/// Up to this many candidates all are looked at; of more, some.
const SCAN_MAX: usize = 32;
/// Looks at random candidates of a larger set.
const LOOKS: usize = 4;

/// Equal weights: the fewest in flight, ties by chance. Unequal: in proportion to `weight / (in flight + 1)`, so that an
/// idle set is shared by weight.
#[inline]
pub(crate) fn choose(from: &Chooser<'_>, rng: &mut Rng) -> Option<u32> {
    let few = from.group.candidates.len() <= SCAN_MAX || !from.tried.is_empty();
    if !few {
        let looks = (0..LOOKS).filter_map(|_| from.group.by_weight(rng));
        return looks.min_by_key(|position| from.in_flight(*position));
    }
    if from.group.equal() {
        return fewest(from, rng);
    }
    from.one_by(rng, |candidate| candidate.weight as f64 / f64::from(from.in_flight(candidate.position) + 1))
}

fn fewest(from: &Chooser<'_>, rng: &mut Rng) -> Option<u32> {
    let mut best = None;
    let (mut least, mut ties) = (u32::MAX, 0u32);
    for candidate in from.group.candidates.iter().filter(|candidate| from.untried(candidate.position)) {
        let in_flight = from.in_flight(candidate.position);
        ties = if in_flight < least { 1 } else { ties + u32::from(in_flight == least) };
        if in_flight < least || (in_flight == least && rng.u32(..ties) == 0) {
            best = Some(candidate.position);
        }
        least = least.min(in_flight);
    }
    best
}
