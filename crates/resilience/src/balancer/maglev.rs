//! Maglev: a table that endpoints fill in turn, each in its own order of preference (Eisenbud et al., NSDI 2016,
//! section 3.4).

use super::{Member, hashing::mix};

/// Slots. A prime, so that every step walks through the whole table.
pub(crate) const TABLE_SIZE: u64 = 65_537;
/// Slots a key goes on to when its endpoint cannot take it, before every slot is looked at in order.
const REHASHES: u64 = 64;
const EMPTY: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct MaglevTable {
    slots: Box<[u32]>,
}

struct Filler {
    position: u32,
    offset: u64,
    skip: u64,
    next: u64,
    weight: f64,
    /// The round in which it has its next turn, in units of the heaviest weight.
    due: f64,
}

impl MaglevTable {
    pub(crate) fn new(members: &[Member], positions: &[u32]) -> Self {
        let filler = |position: &u32| {
            let member = &members[*position as usize];
            Filler {
                position: *position,
                offset: mix(member.identity) % TABLE_SIZE,
                skip: mix(member.identity ^ 0x5bd1_e995) % (TABLE_SIZE - 1) + 1,
                next: 0,
                weight: f64::from(member.weight),
                due: 0.0,
            }
        };
        let mut fillers: Vec<Filler> = positions.iter().map(filler).collect();
        // Fill in the order of names, not of configuration: processes with the same set have the same table.
        fillers.sort_unstable_by_key(|filler| (filler.offset, filler.skip));
        let mut slots = vec![EMPTY; TABLE_SIZE as usize].into_boxed_slice();
        fill(&mut slots, &mut fillers);
        Self { slots }
    }

    pub(crate) fn find(&self, key: u64, takes: impl Fn(u32) -> bool) -> Option<u32> {
        let slot = |n: u64| self.slots[(mix(key.wrapping_add(n)) % TABLE_SIZE) as usize];
        let rehashed = (0..REHASHES).map(slot).find(|position| takes(*position));
        rehashed.or_else(|| {
            let mut refused = None;
            self.slots.iter().copied().find(|position| {
                let takes = refused != Some(*position) && takes(*position);
                refused = Some(*position);
                takes
            })
        })
    }
}

fn fill(slots: &mut [u32], fillers: &mut [Filler]) {
    let heaviest = fillers.iter().map(|filler| filler.weight).fold(0.0, f64::max);
    let mut left = if fillers.is_empty() { 0 } else { slots.len() };
    let mut round = 0.0;
    while left > 0 {
        round += 1.0;
        for filler in fillers.iter_mut() {
            // A filler of half the heaviest weight has a turn every other round.
            if left == 0 || round * filler.weight < filler.due + heaviest {
                continue;
            }
            filler.due += heaviest;
            let slot = filler.next_empty(slots);
            slots[slot] = filler.position;
            left -= 1;
        }
    }
}

impl Filler {
    fn next_empty(&mut self, slots: &[u32]) -> usize {
        loop {
            let slot = ((self.offset + self.next * self.skip) % TABLE_SIZE) as usize;
            self.next += 1;
            if slots[slot] == EMPTY {
                return slot;
            }
        }
    }
}
