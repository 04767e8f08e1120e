//! Priority levels: who belongs to which, and how much of the traffic each one gets.

use super::Member;

/// Positions of the members of one priority that are not drained, most preferred level first.
pub(crate) fn of(members: &[Member]) -> Vec<Vec<u32>> {
    let mut by_priority = std::collections::BTreeMap::<u8, Vec<u32>>::new();
    for (position, member) in (0u32..).zip(members).filter(|(_, member)| member.weight > 0) {
        by_priority.entry(member.priority).or_default().push(position);
    }
    by_priority.into_values().collect()
}

/// What a level has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Availability {
    pub(crate) available: usize,
    /// Available if probes and ejections are ignored.
    pub(crate) admitting: usize,
    pub(crate) total: usize,
}

/// What a level gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share {
    pub(crate) load: f64,
    pub(crate) panic: bool,
}

/// Envoy's rule: the health of a level is its available share times the overprovisioning, at most 1; levels take their
/// health in order until all is given out, scaled up if the sum is below 1. Below 1 a level with less than
/// `panic_threshold` available panics: its traffic goes to all its endpoints.
pub(crate) fn shares(levels: &[Availability], overprovisioning: f64, panic_threshold: f64) -> Vec<Share> {
    let health = |level: &Availability| {
        (overprovisioning.max(1.0) * level.available as f64 / level.total.max(1) as f64).min(1.0)
    };
    let sum = levels.iter().map(health).sum::<f64>().min(1.0);
    let panics =
        |level: &Availability| sum < 1.0 && (level.available as f64) < panic_threshold * level.total as f64;
    if sum == 0.0 {
        let admitting = levels.iter().map(|level| level.admitting).sum::<usize>().max(1) as f64;
        return levels
            .iter()
            .map(|level| Share { load: level.admitting as f64 / admitting, panic: panics(level) })
            .collect();
    }
    let mut left = 1.0;
    let mut share = |level: &Availability| {
        let load = (health(level) / sum).min(left);
        left -= load;
        Share { load, panic: panics(level) }
    };
    levels.iter().map(&mut share).collect()
}
