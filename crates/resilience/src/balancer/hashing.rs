//! Consistent hashing: a key stays with its endpoint as long as that endpoint can take it.
//!
//! Tables hold all endpoints of a level that are not drained, available or not. A key whose endpoint is down walks on to
//! the next one, so only that endpoint's keys move, and they come home when it returns.

use super::{Chooser, Member, Strategy, can_probe, maglev::MaglevTable, ring::Ring, view::View};

/// Endpoints looked at to estimate the mean load of a large set.
const MEAN_LOOKS: usize = 64;

/// A hash of bytes that is the same in every process and version: FNV-1a with a final mix.
pub fn hash_key(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// Spreads every bit over the word (the finaliser of SplitMix64).
#[inline]
pub(crate) fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// One table for each level; none for strategies without keys.
#[derive(Debug)]
pub(crate) enum Tables {
    None,
    Ring(Box<[Ring]>),
    Maglev(Box<[MaglevTable]>),
}

impl Tables {
    pub(crate) fn new(members: &[Member], levels: &[Vec<u32>], strategy: Strategy) -> Self {
        match strategy {
            Strategy::RingHash => Self::Ring(levels.iter().map(|level| Ring::new(members, level)).collect()),
            Strategy::Maglev => {
                Self::Maglev(levels.iter().map(|level| MaglevTable::new(members, level)).collect())
            }
            Strategy::P2cEwma | Strategy::LeastConnections | Strategy::RoundRobin | Strategy::Random => {
                Self::None
            }
        }
    }

    #[inline]
    pub(crate) fn any(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// The key's endpoint, or the next one that can take it and is not over the bound; if all are, the first that can
    /// take it.
    pub(crate) fn choose(&self, from: &Chooser<'_>, view: &View, key: u64, bound: f64) -> Option<u32> {
        let usable = |position: u32| {
            let state = &from.members[position as usize].state;
            from.untried(position)
                && (view.usable[position as usize]
                    || view.probing.contains(&position) && can_probe(state, from.now))
        };
        let cool = |position: u32| usable(position) && within_bound(from, position, bound);
        self.find(from.group.level, key, cool).or_else(|| self.find(from.group.level, key, usable))
    }

    fn find(&self, level: usize, key: u64, takes: impl Fn(u32) -> bool) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Ring(rings) => rings.get(level)?.find(key, takes),
            Self::Maglev(tables) => tables.get(level)?.find(key, takes),
        }
    }
}

/// Bounded load: at most `bound` times its share of what is in flight, this request included. An idle endpoint is
/// always within it.
#[inline]
fn within_bound(from: &Chooser<'_>, position: u32, bound: f64) -> bool {
    let in_flight = from.in_flight(position);
    in_flight == 0 || in_flight_allowed(from, position, bound) > f64::from(in_flight)
}

fn in_flight_allowed(from: &Chooser<'_>, position: u32, bound: f64) -> f64 {
    let candidates = &from.group.candidates;
    let stride = candidates.len().div_ceil(MEAN_LOOKS).max(1);
    let (mut load, mut weight) = (0.0, 0.0);
    for candidate in candidates.iter().step_by(stride) {
        load += f64::from(from.in_flight(candidate.position));
        weight += f64::from(from.members[candidate.position as usize].weight);
    }
    let share = f64::from(from.members[position as usize].weight) / f64::max(weight, 1.0);
    (bound.max(1.0) * (load + 1.0) * share).ceil()
}
