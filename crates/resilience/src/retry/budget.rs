//! A budget of retries: a share of the requests plus a few per second, over a sliding window. It bounds what retries
//! add to an overload, which is what keeps an outage alive after its cause is gone.

use crate::{
    keyed_counter::KeyedCounter,
    sync::Mutex,
    timeline::{Timeline, nanos_of},
};
use std::time::{Duration, Instant};

/// Buckets of the window.
const BUCKETS: u32 = 10;

/// How much may be retried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetPolicy {
    /// Share of the requests. Default 0.2.
    pub ratio: f64,
    /// Retries per second that are always allowed. Default 10.
    pub min_per_second: u32,
    /// The window. At least 1 s. Default 10 s.
    pub ttl: Duration,
}

impl Default for BudgetPolicy {
    fn default() -> Self {
        Self { ratio: 0.2, min_per_second: 10, ttl: Duration::from_secs(10) }
    }
}

/// Shared by all workers. A deposit is one atomic step; a withdrawal, being rare, takes a short lock so that two can
/// never spend the same token.
#[derive(Debug)]
pub struct Budget {
    policy: BudgetPolicy,
    timeline: Timeline,
    bucket: u64,
    requests: [KeyedCounter; BUCKETS as usize],
    retries: Mutex<[(u32, u32); BUCKETS as usize]>,
}

impl Budget {
    /// An empty window, with the reserve of `min_per_second x ttl` at hand.
    pub fn new(policy: BudgetPolicy, now: Instant) -> Self {
        Self {
            policy,
            timeline: Timeline::new(now),
            bucket: nanos_of(policy.ttl.max(Duration::from_secs(1))) / u64::from(BUCKETS),
            requests: std::array::from_fn(|_| KeyedCounter::new()),
            retries: Mutex::new([(0, 0); BUCKETS as usize]),
        }
    }

    /// Counts a request: once for each request, not for its retries.
    #[inline]
    pub fn deposit(&self, now: Instant) {
        let tick = self.tick(now);
        self.requests[(tick % BUCKETS) as usize].add(tick, 1);
    }

    /// Takes one retry out; `false` if the budget is spent.
    pub fn withdraw(&self, now: Instant) -> bool {
        let tick = self.tick(now);
        let mut retries = self.retries.lock();
        if self.allowed(tick) < f64::from(spent(&retries, tick)) + 1.0 {
            return false;
        }
        let slot = &mut retries[(tick % BUCKETS) as usize];
        *slot = if slot.0 == tick { (tick, slot.1 + 1) } else { (tick, 1) };
        true
    }

    /// Puts one retry back that was not made after all.
    pub fn refund(&self, now: Instant) {
        let tick = self.tick(now);
        let mut retries = self.retries.lock();
        let slot = &mut retries[(tick % BUCKETS) as usize];
        if slot.0 == tick {
            slot.1 = slot.1.saturating_sub(1);
        }
    }

    /// Retries that could be made now.
    pub fn balance(&self, now: Instant) -> u32 {
        let tick = self.tick(now);
        (self.allowed(tick) - f64::from(spent(&self.retries.lock(), tick))).max(0.0) as u32
    }

    fn allowed(&self, tick: u32) -> f64 {
        let window = tick.saturating_sub(BUCKETS - 1)..=tick;
        let requests: u64 =
            window.map(|tick| u64::from(self.requests[(tick % BUCKETS) as usize].get(tick))).sum();
        let reserve = f64::from(self.policy.min_per_second) * self.policy.ttl.as_secs_f64();
        requests as f64 * self.policy.ratio.max(0.0) + reserve
    }

    fn tick(&self, now: Instant) -> u32 {
        (self.timeline.nanos(now) / self.bucket) as u32
    }
}

fn spent(retries: &[(u32, u32); BUCKETS as usize], tick: u32) -> u32 {
    retries.iter().filter(|(at, _)| *at <= tick && tick - at < BUCKETS).map(|(_, count)| count).sum()
}
