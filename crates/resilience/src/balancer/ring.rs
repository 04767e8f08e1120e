//! Ketama: endpoints own many points of a circle, in proportion to their weights; a key belongs to the next point.

use super::{Member, hashing::mix};

/// Points for each endpoint of mean weight: the spread of shares is about 1 / sqrt of this.
const POINTS_MEAN: usize = 1024;
/// Fewest points of a ring.
const POINTS_MIN: usize = 1024;
/// Most points of a ring: 16 MiB.
const POINTS_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Ring {
    points: Box<[(u64, u32)]>,
}

impl Ring {
    pub(crate) fn new(members: &[Member], positions: &[u32]) -> Self {
        let weight = |position: &u32| f64::from(members[*position as usize].weight);
        let total: f64 = positions.iter().map(weight).sum();
        let all = (POINTS_MEAN * positions.len()).clamp(POINTS_MIN, POINTS_MAX) as f64;
        let mut points = Vec::with_capacity(all as usize + positions.len());
        for position in positions {
            let identity = members[*position as usize].identity;
            let own = ((all * weight(position) / total).round() as u64).max(1);
            points.extend((0..own).map(|n| (mix(identity ^ mix(n)), *position)));
        }
        points.sort_unstable();
        Self { points: points.into_boxed_slice() }
    }

    /// The first endpoint clockwise from the key that takes it.
    pub(crate) fn find(&self, key: u64, takes: impl Fn(u32) -> bool) -> Option<u32> {
        let key = mix(key);
        let start = self.points.partition_point(|(point, _)| *point < key);
        let (before, after) = self.points.split_at(start);
        // Points of one endpoint in a row need one look only.
        let mut refused = None;
        after.iter().chain(before).map(|(_, position)| *position).find(|position| {
            let takes = refused != Some(*position) && takes(*position);
            refused = Some(*position);
            takes
        })
    }
}
