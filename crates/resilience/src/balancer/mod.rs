//! Which endpoint gets the next request.
//!
//! One computation of availability (`view`) serves every strategy: weights, drained endpoints, priorities, zones,
//! panic and slow start are decided there, and a strategy only chooses among what it is given. The view is kept until an
//! endpoint changes or the earliest time at which one would; a pick neither locks nor allocates.

mod hashing;
mod least;
mod levels;
mod maglev;
mod p2c;
mod ring;
mod round_robin;
mod tried;
mod view;

use crate::{
    breaker::Seen,
    endpoint::{EndpointState, Permit, Phase, Refused, Roster},
    outcome::EndpointId,
    sync::{AtomicU64, Mutex, Ordering},
};
use arc_swap::{ArcSwap, Guard};
use fastrand::Rng;
use hashing::Tables;
pub use hashing::hash_key;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
pub use tried::{TRIED_MAX, Tried};
use view::{Group, View};

/// How an endpoint is chosen among the available ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The cheaper of two random ones, by latency and requests in flight.
    #[default]
    P2cEwma,
    /// Fewest requests in flight; with unequal weights in proportion to `weight / (in flight + 1)`.
    LeastConnections,
    /// In turn, smoothly by weight.
    RoundRobin,
    /// By weight alone.
    Random,
    /// By key on a ring, so that a key stays with its endpoint. Also for client addresses (`ip_hash`).
    RingHash,
    /// By key in a table: faster and more even than a ring, moves a few more keys when endpoints change.
    Maglev,
}

/// How a set is balanced.
#[derive(Clone, Debug, PartialEq)]
pub struct BalancerPolicy {
    /// Default [`Strategy::P2cEwma`].
    pub strategy: Strategy,
    /// Share of available endpoints below which the opinions of probes and ejections are ignored. 0 = never.
    /// An open breaker is never ignored: it probes by itself. Range 0..=1. Default 0.5.
    pub panic_threshold: f64,
    /// A priority level keeps all its traffic until fewer than 1 / this of it are available. Default 1.4.
    pub overprovisioning: f64,
    /// The zone this process is in: preferred as far as that keeps requests per endpoint even. Default none.
    pub local_zone: Option<Arc<str>>,
    /// Zones are ignored with fewer available endpoints than this. Default 6.
    pub zone_min_endpoints: usize,
    /// Consistent hashing passes over an endpoint with more than this times the mean in flight. Default 1.25.
    pub hash_load_bound: f64,
}

impl Default for BalancerPolicy {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            panic_threshold: 0.5,
            overprovisioning: 1.4,
            local_zone: None,
            zone_min_endpoints: 6,
            hash_load_bound: 1.25,
        }
    }
}

/// An endpoint in a set.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name in [`Picked`] and [`Tried`].
    pub id: EndpointId,
    /// Hash of its stable name ([`hash_key`]): the same in every process and after every reload.
    pub identity: u64,
    /// Relative share; 0 = drained: no new requests, whatever happens to the others.
    pub weight: u32,
    /// 0 is used first.
    pub priority: u8,
    /// Zone label.
    pub zone: Option<Arc<str>>,
    /// Its state.
    pub state: Arc<EndpointState>,
}

/// A choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picked {
    /// The endpoint.
    pub id: EndpointId,
    /// Whether health was ignored, because too little of the set was available.
    pub panic: bool,
}

/// Nobody can take the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NoEndpoint {
    /// The reason.
    pub why: NoEndpointWhy,
    /// When the first open breaker may be probed, if one is open: an outcome of probes in flight cannot be foretold.
    pub retry_after: Option<Duration>,
}

/// Why nobody can take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEndpointWhy {
    /// The set has no endpoints.
    #[error("no endpoints")]
    Empty,
    /// All have weight 0.
    #[error("all endpoints are drained")]
    Drained,
    /// Every breaker is open, or half open with its probes in flight.
    #[error("every endpoint's circuit is open")]
    AllRefusing,
    /// None is healthy, and health is not ignored.
    #[error("no endpoint is healthy")]
    AllUnhealthy,
    /// This request has tried all that are available.
    #[error("every available endpoint was tried")]
    AllTried,
}

/// A set of endpoints under one strategy. Immutable but for counters; shared by all workers.
#[derive(Debug)]
pub struct Balancer {
    policy: BalancerPolicy,
    members: Box<[Member]>,
    roster: Arc<Roster>,
    tables: Tables,
    /// Turns of round robin, two for each level: local zone and others.
    cursors: Box<[AtomicU64]>,
    view: ArcSwap<View>,
    rebuilding: Mutex<()>,
}

impl Balancer {
    /// Takes charge of the members: their ejections are bounded by this set from now on. `rng` gives the turn to
    /// begin with, so that many processes do not all start with the same endpoint.
    pub fn new(members: Vec<Member>, policy: BalancerPolicy, now: Instant, rng: &mut Rng) -> Self {
        let members = members.into_boxed_slice();
        let roster =
            Roster::new(members.iter().filter(|member| member.weight > 0).map(|member| &member.state));
        let levels = levels::of(&members);
        let view = View::build(&members, &levels, &policy, &roster, now);
        Self {
            tables: Tables::new(&members, &levels, policy.strategy),
            cursors: (0..2 * levels.len()).map(|_| AtomicU64::new(u64::from(rng.u32(..)))).collect(),
            view: ArcSwap::from_pointee(view),
            rebuilding: Mutex::new(()),
            members,
            roster,
            policy,
        }
    }

    /// Chooses an endpoint that this request has not tried. `key` is what hashing strategies hash; without one they
    /// draw. Changes no state of any endpoint; the caller then asks that endpoint's state to admit the attempt, and on
    /// a refusal (another worker was faster) adds it to `tried` and picks again.
    ///
    /// An endpoint whose breaker is due to be probed takes the next first attempt, whatever its cost: without traffic
    /// it could not return.
    #[inline]
    pub fn pick(
        &self,
        now: Instant,
        rng: &mut Rng,
        key: Option<u64>,
        tried: &Tried,
    ) -> Result<Picked, NoEndpoint> {
        let view = self.current(now);
        let hashed = self.tables.any();
        let key = if hashed { key.unwrap_or_else(|| rng.u64(..)) } else { 0 };
        if tried.is_empty()
            && !hashed
            && let Some(picked) = self.probe(&view, now, tried)
        {
            return Ok(picked);
        }
        let first = match &*view.groups {
            [] | [_] => 0,
            _ => view.group_at(if hashed { (hashing::mix(key) >> 32) as u32 } else { rng.u32(..) }),
        };
        let ask = Ask { now, key, tried };
        let picked = view.groups.get(first).and_then(|group| self.choose(&view, group, &ask, rng));
        picked.map_or_else(|| self.pick_elsewhere(&view, first, &ask, rng), Ok)
    }

    /// The member with this id.
    pub fn member(&self, id: EndpointId) -> Option<&Member> {
        let at_its_index = self.members.get(id.0 as usize).filter(|member| member.id == id);
        at_its_index.or_else(|| self.members.iter().find(|member| member.id == id))
    }

    /// All members, in the order given.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Asks the picked endpoint to admit an attempt.
    #[inline]
    pub fn admit(&self, picked: Picked, now: Instant, rng: &mut Rng) -> Option<Result<Permit, Refused>> {
        self.member(picked.id).map(|member| member.state.admit(now, rng))
    }

    /// The view, rebuilt if it is outdated. While one worker does, the others go on with the old one: what it wrongly offers
    /// refuses to admit.
    #[inline]
    fn current(&self, now: Instant) -> Guard<Arc<View>> {
        let view = self.view.load();
        if view.version == self.roster.version() && view.valid_until.is_none_or(|until| now < until) {
            return view;
        }
        drop(view);
        self.rebuild(now);
        self.view.load()
    }

    #[cold]
    fn rebuild(&self, now: Instant) {
        let Some(_rebuilding) = self.rebuilding.try_lock() else { return };
        let levels = levels::of(&self.members);
        let view = View::build(&self.members, &levels, &self.policy, &self.roster, now);
        self.view.store(Arc::new(view));
    }

    #[inline]
    fn choose(&self, view: &View, group: &Group, ask: &Ask<'_>, rng: &mut Rng) -> Option<Picked> {
        let chooser = Chooser { members: &self.members, group, tried: ask.tried, now: ask.now };
        let position = match self.policy.strategy {
            Strategy::P2cEwma => p2c::choose(&chooser, rng),
            Strategy::LeastConnections => least::choose(&chooser, rng),
            Strategy::Random => chooser.by_weight(rng),
            Strategy::RoundRobin => {
                let cursor = &self.cursors[group.cursor];
                round_robin::choose(&chooser, || cursor.fetch_add(1, Ordering::Relaxed))
            }
            Strategy::RingHash | Strategy::Maglev => {
                self.tables.choose(&chooser, view, ask.key, self.policy.hash_load_bound)
            }
        }?;
        Some(Picked { id: self.members[position as usize].id, panic: group.panic })
    }

    #[cold]
    fn pick_elsewhere(
        &self,
        view: &View,
        first: usize,
        ask: &Ask<'_>,
        rng: &mut Rng,
    ) -> Result<Picked, NoEndpoint> {
        let others = view.groups.iter().enumerate().filter(|(index, _)| *index != first);
        for (_, group) in others {
            if let Some(picked) = self.choose(view, group, ask, rng) {
                return Ok(picked);
            }
        }
        self.probe(view, ask.now, ask.tried).ok_or_else(|| self.nobody(ask.now, ask.tried))
    }

    /// The first endpoint that is due for a probe and has a slot free.
    #[inline]
    fn probe(&self, view: &View, now: Instant, tried: &Tried) -> Option<Picked> {
        let free = |position: &&u32| {
            let member = &self.members[**position as usize];
            !tried.contains(member.id) && can_probe(&member.state, now)
        };
        let position = view.probing.iter().find(free)?;
        Some(Picked { id: self.members[*position as usize].id, panic: false })
    }

    fn nobody(&self, now: Instant, tried: &Tried) -> NoEndpoint {
        let weighted = || self.members.iter().filter(|member| member.weight > 0);
        let refusing = |member: &&Member| !matches!(member.state.seen(now), Seen::Admitting);
        let why = if self.members.is_empty() {
            NoEndpointWhy::Empty
        } else if weighted().next().is_none() {
            NoEndpointWhy::Drained
        } else if weighted().any(|member| tried.contains(member.id)) {
            NoEndpointWhy::AllTried
        } else if weighted().all(|member| refusing(&member)) {
            NoEndpointWhy::AllRefusing
        } else {
            NoEndpointWhy::AllUnhealthy
        };
        let until = |member: &Member| match member.state.breaker_phase(now) {
            Phase::Refusing { until } => Some(until.saturating_duration_since(now)),
            Phase::Admitting | Phase::Probing => None,
        };
        NoEndpoint { why, retry_after: weighted().filter_map(until).min() }
    }
}

/// One request's wish.
struct Ask<'a> {
    now: Instant,
    key: u64,
    tried: &'a Tried,
}

/// What a strategy chooses from.
pub(crate) struct Chooser<'a> {
    members: &'a [Member],
    group: &'a Group,
    tried: &'a Tried,
    now: Instant,
}

impl Chooser<'_> {
    #[inline]
    fn costs(&self, a: u32, b: u32) -> (f32, f32) {
        let (a, b) = (&self.members[a as usize].state, &self.members[b as usize].state);
        a.costs(b, self.now)
    }

    #[inline]
    fn in_flight(&self, position: u32) -> u32 {
        self.members[position as usize].state.in_flight()
    }

    #[inline]
    fn untried(&self, position: u32) -> bool {
        self.tried.is_empty() || !self.tried.contains(self.members[position as usize].id)
    }

    /// One candidate by weight alone.
    #[inline]
    fn by_weight(&self, rng: &mut Rng) -> Option<u32> {
        if self.tried.is_empty() {
            return self.group.by_weight(rng);
        }
        self.one_by(rng, |candidate| candidate.weight as f64)
    }

    /// One untried candidate, in proportion to `share`: one pass, one slot kept.
    fn one_by(&self, rng: &mut Rng, share: impl Fn(&view::Candidate) -> f64) -> Option<u32> {
        let mut sum = 0.0;
        let mut kept = None;
        for candidate in self.group.candidates.iter().filter(|candidate| self.untried(candidate.position)) {
            let share = share(candidate);
            sum += share;
            if rng.f64() * sum < share {
                kept = Some(candidate.position);
            }
        }
        kept
    }
}

fn can_probe(state: &EndpointState, now: Instant) -> bool {
    matches!(state.seen(now), Seen::Probing { slot_free: true, .. })
}
