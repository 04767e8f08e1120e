//! Quotas by the generic cell rate algorithm: one timestamp per key, exact bursts, no window edges.
//!
//! `T = period / limit`, `tau = T x burst`. With the theoretical arrival time `tat`, a request of quantity `q` would
//! move it to `tat' = max(now, tat) + T x q`, and it is allowed iff `now >= tat' - tau`. A refusal writes nothing.

use crate::{
    sync::{AtomicU64, Ordering},
    timeline::{Timeline, nanos_of},
};
use std::time::{Duration, Instant};

/// The rule of a quota, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gcra {
    emission: u64,
    tau: u64,
}

/// The answer to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Within the quota.
    Allowed {
        /// Requests of quantity 1 that would pass at once now.
        remaining: u32,
        /// Until the quota is whole again; a store may forget the key then.
        reset_after: Duration,
    },
    /// Beyond the quota.
    Limited {
        /// The same request passes after this long, if nobody else comes.
        retry_after: Duration,
    },
    /// More than a whole burst: it can never pass, so there is no `Retry-After`.
    Never,
}

impl Gcra {
    /// `limit` requests per `period`, at most `burst` of them at once. Zeros count as one. The emission interval is
    /// rounded up: the quota is never exceeded.
    pub fn new(limit: u32, period: Duration, burst: u32) -> Self {
        let emission = nanos_of(period).div_ceil(u64::from(limit.max(1))).max(1);
        Self { emission, tau: emission.saturating_mul(u64::from(burst.max(1))) }
    }

    /// The pure rule: on `tat` and `now` in nanoseconds of one clock; gives the verdict and, if allowed, the new
    /// `tat`.
    #[inline]
    pub fn decide(&self, tat: u64, now: u64, quantity: u32) -> (Verdict, Option<u64>) {
        let cost = self.emission.saturating_mul(u64::from(quantity));
        if cost > self.tau {
            return (Verdict::Never, None);
        }
        let next = tat.max(now).saturating_add(cost);
        let ahead = next - now;
        if ahead > self.tau {
            return (Verdict::Limited { retry_after: Duration::from_nanos(ahead - self.tau) }, None);
        }
        let remaining = u32::try_from((self.tau - ahead) / self.emission).unwrap_or(u32::MAX);
        (Verdict::Allowed { remaining, reset_after: Duration::from_nanos(ahead) }, Some(next))
    }
}

/// The state of one key, shared by all workers.
#[derive(Debug)]
pub struct GcraCell {
    timeline: Timeline,
    tat: AtomicU64,
}

impl GcraCell {
    /// A key with its whole burst at hand.
    pub fn new(now: Instant) -> Self {
        Self { timeline: Timeline::new(now), tat: AtomicU64::new(0) }
    }

    /// Asks for `quantity` under `rule`.
    #[inline]
    pub fn acquire(&self, rule: &Gcra, now: Instant, quantity: u32) -> Verdict {
        let at = self.timeline.nanos(now);
        let mut tat = self.tat.load(Ordering::Relaxed);
        loop {
            let (verdict, Some(next)) = rule.decide(tat, at, quantity) else {
                return rule.decide(tat, at, quantity).0;
            };
            match self.tat.compare_exchange_weak(tat, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return verdict,
                Err(seen) => tat = seen,
            }
        }
    }

    /// Whether the quota is whole: the key may be forgotten.
    pub fn idle(&self, now: Instant) -> bool {
        self.tat.load(Ordering::Relaxed) <= self.timeline.nanos(now)
    }
}
