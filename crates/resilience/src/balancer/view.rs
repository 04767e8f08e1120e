//! The one computation of availability, for all strategies.

use super::{
    BalancerPolicy, Member, Strategy,
    levels::{self, Availability, Share},
    round_robin,
};
use crate::{breaker::Seen, endpoint::Roster};
use fastrand::Rng;
use std::time::Instant;

/// Weights are scaled by this, so that slow start has steps to give.
const WEIGHT_SCALE: f64 = 1000.0;
/// Shares of groups are cut in this many parts.
const SHARE_SCALE: f64 = 4_294_967_296.0;

/// What can take traffic now.
#[derive(Debug)]
pub(crate) struct View {
    /// Version of the roster that it was built from; read before the endpoints, so a change in between outdates it.
    pub(crate) version: u64,
    /// When time alone outdates it.
    pub(crate) valid_until: Option<Instant>,
    /// In order of preference; those without a share are for requests that tried all of the others.
    pub(crate) groups: Box<[Group]>,
    /// Endpoints that may take a probe, of the levels in use and above.
    pub(crate) probing: Box<[u32]>,
    /// By position: whether it is a candidate of any group.
    pub(crate) usable: Box<[bool]>,
}

/// Candidates that share traffic by weight: a level, or a level's part inside or outside the local zone.
#[derive(Debug)]
pub(crate) struct Group {
    /// Upper end of its part of the draw, of 2^32.
    upto: u64,
    pub(crate) level: usize,
    pub(crate) cursor: usize,
    pub(crate) panic: bool,
    pub(crate) candidates: Box<[Candidate]>,
    /// Sums of weights up to and with each candidate; empty if all are equal.
    sums: Box<[u64]>,
    /// The turns of round robin.
    pub(crate) schedule: Box<[u32]>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) position: u32,
    /// Configured weight times slow start, scaled.
    pub(crate) weight: u64,
}

/// One level, looked at once.
struct Level {
    seen: Vec<Look>,
    availability: Availability,
}

struct Look {
    position: u32,
    breaker: Seen,
    /// Probes and ejections do not object.
    well: bool,
}

impl View {
    pub(crate) fn build(
        members: &[Member],
        levels: &[Vec<u32>],
        policy: &BalancerPolicy,
        roster: &Roster,
        now: Instant,
    ) -> Self {
        let version = roster.version();
        let levels: Vec<Level> = levels.iter().map(|level| Level::look(members, level, now)).collect();
        let availabilities: Vec<_> = levels.iter().map(|level| level.availability).collect();
        let shares = levels::shares(&availabilities, policy.overprovisioning, policy.panic_threshold);
        let mut builder = Builder { members, policy, now, groups: Vec::new(), loads: Vec::new() };
        for (index, (level, share)) in levels.iter().zip(&shares).enumerate() {
            builder.add_level(index, level, *share);
        }
        let last_in_use = shares.iter().rposition(|share| share.load > 0.0).unwrap_or(0);
        let in_use = levels.iter().zip(&shares).take(last_in_use + 1);
        let probing = in_use.flat_map(|(level, share)| level.probing(share.panic)).collect();
        let valid_until = members
            .iter()
            .filter(|member| member.weight > 0)
            .filter_map(|member| member.state.next_change(now))
            .min();
        let (groups, usable) = builder.finish();
        Self { version, valid_until, groups, probing, usable }
    }

    /// The group that a draw falls to.
    #[inline]
    pub(crate) fn group_at(&self, draw: u32) -> usize {
        self.groups.iter().position(|group| u64::from(draw) < group.upto).unwrap_or(0)
    }
}

impl Level {
    fn look(members: &[Member], positions: &[u32], now: Instant) -> Self {
        let look = |position: &u32| {
            let state = &members[*position as usize].state;
            let well = state.healthy() && !state.ejected(now);
            Look { position: *position, breaker: state.seen(now), well }
        };
        let seen: Vec<Look> = positions.iter().map(look).collect();
        let admitting = |look: &&Look| look.breaker == Seen::Admitting;
        let availability = Availability {
            available: seen.iter().filter(admitting).filter(|look| look.well).count(),
            admitting: seen.iter().filter(admitting).count(),
            total: seen.len(),
        };
        Self { seen, availability }
    }

    fn candidates(&self, panic: bool) -> impl Iterator<Item = u32> {
        let takes = move |look: &&Look| look.breaker == Seen::Admitting && (panic || look.well);
        self.seen.iter().filter(takes).map(|look| look.position)
    }

    fn probing(&self, panic: bool) -> impl Iterator<Item = u32> {
        let takes = move |look: &&Look| matches!(look.breaker, Seen::Probing { .. }) && (panic || look.well);
        self.seen.iter().filter(takes).map(|look| look.position)
    }
}

struct Builder<'a> {
    members: &'a [Member],
    policy: &'a BalancerPolicy,
    now: Instant,
    groups: Vec<Group>,
    loads: Vec<f64>,
}

impl Builder<'_> {
    fn add_level(&mut self, level: usize, look: &Level, share: Share) {
        let candidates: Vec<Candidate> = look.candidates(share.panic).map(|at| self.candidate(at)).collect();
        let hashed = matches!(self.policy.strategy, Strategy::RingHash | Strategy::Maglev);
        let zone = self.policy.local_zone.as_deref().filter(|_| !hashed);
        let (local, others): (Vec<_>, Vec<_>) = candidates.iter().copied().partition(|candidate| {
            zone.is_some() && self.members[candidate.position as usize].zone.as_deref() == zone
        });
        let zoned = zone.is_some() && candidates.len() >= self.policy.zone_min_endpoints;
        if !zoned || local.is_empty() || others.is_empty() {
            return self.add_group(level, 2 * level, candidates, share.load, share.panic);
        }
        let kept = self.kept_in_zone(look, &local, &candidates);
        self.add_group(level, 2 * level, local, share.load * kept, share.panic);
        self.add_group(level, 2 * level + 1, others, share.load * (1.0 - kept), share.panic);
    }

    /// The share of a level's traffic that stays in the zone. Each zone is taken to send an equal part of it; a zone
    /// with a smaller part of the endpoints keeps only what that part can take.
    fn kept_in_zone(&self, look: &Level, local: &[Candidate], all: &[Candidate]) -> f64 {
        let mut zones: Vec<_> =
            look.seen.iter().map(|look| self.members[look.position as usize].zone.as_deref()).collect();
        zones.sort_unstable();
        zones.dedup();
        let weight = |candidates: &[Candidate]| candidates.iter().map(|one| one.weight).sum::<u64>() as f64;
        (weight(local) / weight(all) * zones.len() as f64).min(1.0)
    }

    fn candidate(&self, position: u32) -> Candidate {
        let member = &self.members[position as usize];
        let weight = f64::from(member.weight) * WEIGHT_SCALE * member.state.ramp(self.now);
        Candidate { position, weight: (weight as u64).max(1) }
    }

    fn add_group(&mut self, level: usize, cursor: usize, candidates: Vec<Candidate>, load: f64, panic: bool) {
        if candidates.is_empty() {
            return;
        }
        let equal = candidates.iter().all(|candidate| candidate.weight == candidates[0].weight);
        let sum = |sum: &mut u64, candidate: &Candidate| {
            *sum += candidate.weight;
            Some(*sum)
        };
        let sums = if equal { Box::default() } else { candidates.iter().scan(0, sum).collect() };
        let turns = self.policy.strategy == Strategy::RoundRobin;
        let schedule = if turns { round_robin::schedule(&candidates) } else { Box::default() };
        let candidates = candidates.into_boxed_slice();
        self.groups.push(Group { upto: 0, level, cursor, panic, candidates, sums, schedule });
        self.loads.push(load);
    }

    fn finish(mut self) -> (Box<[Group]>, Box<[bool]>) {
        let sum: f64 = self.loads.iter().sum();
        let mut given = 0.0;
        for (group, load) in self.groups.iter_mut().zip(&self.loads) {
            given += if sum > 0.0 { load / sum } else { 0.0 };
            group.upto = (given * SHARE_SCALE).round() as u64;
        }
        let mut usable = vec![false; self.members.len()];
        for candidate in self.groups.iter().flat_map(|group| &group.candidates) {
            usable[candidate.position as usize] = true;
        }
        (self.groups.into_boxed_slice(), usable.into_boxed_slice())
    }
}

impl Group {
    /// Whether all candidates have the same weight.
    #[inline]
    pub(crate) fn equal(&self) -> bool {
        self.sums.is_empty()
    }

    /// One candidate by weight.
    #[inline]
    pub(crate) fn by_weight(&self, rng: &mut Rng) -> Option<u32> {
        let index = match self.sums.last() {
            None if self.candidates.len() <= 1 => 0,
            None => rng.usize(..self.candidates.len()),
            Some(total) => {
                let draw = rng.u64(..*total);
                self.sums.partition_point(|sum| *sum <= draw)
            }
        };
        self.candidates.get(index).map(|candidate| candidate.position)
    }
}
