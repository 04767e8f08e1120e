//! Passive ejection: an endpoint that fails several times in a row sits out for a while, longer each time, but never
//! more than a share of the set and never the last one.

use crate::{
    sync::{AtomicU32, AtomicU64, Mutex, Ordering},
    timeline::nanos_of,
};
use std::time::Duration;

/// When and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutlierPolicy {
    /// Failures in a row before ejection. At least 1. Default 5.
    pub consecutive: u32,
    /// Time out, times the number of ejections. Default 30 s.
    pub base: Duration,
    /// Longest time out. Default 300 s.
    pub max: Duration,
    /// Share of the set that may be out at once. At least one may go, if one stays. Range 0..=1. Default 0.5.
    pub max_share: f64,
}

impl Default for OutlierPolicy {
    fn default() -> Self {
        Self { consecutive: 5, base: Duration::from_secs(30), max: Duration::from_mins(5), max_share: 0.5 }
    }
}

impl OutlierPolicy {
    /// Endpoints of `total` that may be out at once.
    pub fn ejectable(&self, total: usize) -> usize {
        let share = (total as f64 * self.max_share.clamp(0.0, 1.0)) as usize;
        share.max(1).min(total.saturating_sub(1))
    }
}

#[derive(Debug)]
pub(crate) struct Outlier {
    pub(crate) policy: OutlierPolicy,
    in_a_row: AtomicU32,
    until: AtomicU64,
    past: Mutex<Past>,
}

#[derive(Debug, Default)]
struct Past {
    /// Ejections that still weigh: one is forgiven for every base time spent inside.
    times: u32,
    total: u64,
}

impl Outlier {
    pub(crate) fn new(policy: OutlierPolicy) -> Self {
        Self {
            policy,
            in_a_row: AtomicU32::new(0),
            until: AtomicU64::new(0),
            past: Mutex::new(Past::default()),
        }
    }

    #[inline]
    pub(crate) fn succeeded(&self) {
        if self.in_a_row.load(Ordering::Relaxed) != 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// Counts a failure; `true` if the run is long enough to eject.
    pub(crate) fn failed(&self, now: u64) -> bool {
        let run = self.in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        run >= self.policy.consecutive.max(1) && !self.ejected(now)
    }

    #[inline]
    pub(crate) fn ejected(&self, now: u64) -> bool {
        now < self.until.load(Ordering::Acquire)
    }

    /// When the present or last ejection ends; zero if there was none.
    pub(crate) fn until(&self) -> u64 {
        self.until.load(Ordering::Acquire)
    }

    /// Only under the set's lock, which holds the share.
    pub(crate) fn eject(&self, now: u64) {
        let mut past = self.past.lock();
        let base = nanos_of(self.policy.base).max(1);
        let forgiven = now.saturating_sub(self.until.load(Ordering::Acquire)) / base;
        past.times = past.times.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX)).saturating_add(1);
        past.total += 1;
        let time = base.saturating_mul(u64::from(past.times)).min(nanos_of(self.policy.max));
        self.in_a_row.store(0, Ordering::Relaxed);
        self.until.store(now.saturating_add(time), Ordering::Release);
    }

    /// Ends an ejection early.
    pub(crate) fn pardon(&self, now: u64) {
        if self.ejected(now) {
            self.until.store(now, Ordering::Release);
        }
        self.in_a_row.store(0, Ordering::Relaxed);
    }

    pub(crate) fn total(&self) -> u64 {
        self.past.lock().total
    }
}
