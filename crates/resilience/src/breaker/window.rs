//! Exact counts of the recent calls, without a lock. Counts instead of a moving average: in a burst each sample of an
//! average weighs almost nothing, and a total outage hides behind the good calls before it.

use super::policy::{COUNT_WINDOW_MAX, TIME_BUCKETS, TIME_WINDOW_MIN, Window};
use crate::{
    keyed_counter::KeyedCounter,
    sync::{AtomicU32, Ordering},
    timeline::nanos_of,
};

/// What a window holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) calls: u32,
    pub(crate) failed: u32,
    pub(crate) slow: u32,
}

/// Calls over which rates are taken.
#[derive(Debug)]
pub(crate) enum RateWindow {
    Count(CountWindow),
    Time(TimeWindow),
}

impl RateWindow {
    pub(crate) fn new(window: Window) -> Self {
        match window {
            Window::Count(size) => Self::Count(CountWindow::new(size.clamp(1, COUNT_WINDOW_MAX))),
            Window::Time(span) => {
                Self::Time(TimeWindow::new(nanos_of(span.max(TIME_WINDOW_MIN)) / u64::from(TIME_BUCKETS)))
            }
        }
    }

    #[inline]
    pub(crate) fn record(&self, at: u64, failed: bool, slow: bool) {
        match self {
            Self::Count(window) => window.record(failed, slow),
            Self::Time(window) => window.record(at, failed, slow),
        }
    }

    pub(crate) fn tally(&self, at: u64) -> Tally {
        match self {
            Self::Count(window) => window.tally(),
            Self::Time(window) => window.tally(at),
        }
    }

    pub(crate) fn clear(&self) {
        match self {
            Self::Count(window) => window.clear(),
            Self::Time(window) => window.clear(),
        }
    }
}

/// The last N calls. A slot holds the generation and the marks of one call; clearing starts a new generation.
#[derive(Debug)]
pub(crate) struct CountWindow {
    generation: AtomicU32,
    cursor: KeyedCounter,
    failed: KeyedCounter,
    slow: KeyedCounter,
    slots: Box<[AtomicU32]>,
}

const FAILED: u32 = 1;
const SLOW: u32 = 2;
const MARK_BITS: u32 = 2;
/// Generations that a slot can tell apart.
const GENERATION_MASK: u32 = u32::MAX >> MARK_BITS;

impl CountWindow {
    fn new(size: u32) -> Self {
        Self {
            generation: AtomicU32::new(1),
            cursor: KeyedCounter::new(),
            failed: KeyedCounter::new(),
            slow: KeyedCounter::new(),
            slots: (0..size).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    fn size(&self) -> u32 {
        self.slots.len() as u32
    }

    fn record(&self, failed: bool, slow: bool) {
        let generation = self.generation.load(Ordering::Acquire);
        let size = self.size();
        // The cursor counts to the size once, then round and round above it: it never overflows into its key.
        let turn = |n: u32| if n + 1 >= 2 * size { size } else { n + 1 };
        let Some(n) = self.cursor.update(generation, turn) else { return };
        // Added before the slot shows it, so that whoever overwrites the slot finds it counted.
        if failed {
            self.failed.add(generation, 1);
        }
        if slow {
            self.slow.add(generation, 1);
        }
        let marks = (generation & GENERATION_MASK) << MARK_BITS | u32::from(failed) | u32::from(slow) << 1;
        let old = self.slots[(n % size) as usize].swap(marks, Ordering::AcqRel);
        if old >> MARK_BITS == generation & GENERATION_MASK {
            if old & FAILED != 0 {
                self.failed.sub(generation, 1);
            }
            if old & SLOW != 0 {
                self.slow.sub(generation, 1);
            }
        }
    }

    fn tally(&self) -> Tally {
        let generation = self.generation.load(Ordering::Acquire);
        Tally {
            calls: self.cursor.get(generation).min(self.size()),
            failed: self.failed.get(generation),
            slow: self.slow.get(generation),
        }
    }

    fn clear(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

/// The last [`TIME_BUCKETS`] buckets of time. A bucket is recognised by its number since the origin, which repeats
/// after 2^32 buckets: 13 years of the shortest.
#[derive(Debug)]
pub(crate) struct TimeWindow {
    bucket: u64,
    buckets: [Bucket; TIME_BUCKETS as usize],
}

#[derive(Debug)]
struct Bucket {
    calls: KeyedCounter,
    failed: KeyedCounter,
    slow: KeyedCounter,
}

impl TimeWindow {
    fn new(bucket: u64) -> Self {
        let empty =
            |_| Bucket { calls: KeyedCounter::new(), failed: KeyedCounter::new(), slow: KeyedCounter::new() };
        Self { bucket, buckets: std::array::from_fn(empty) }
    }

    #[inline]
    fn record(&self, at: u64, failed: bool, slow: bool) {
        let tick = self.tick(at);
        let bucket = &self.buckets[(tick % TIME_BUCKETS) as usize];
        bucket.calls.add(tick, 1);
        if failed {
            bucket.failed.add(tick, 1);
        }
        if slow {
            bucket.slow.add(tick, 1);
        }
    }

    fn tally(&self, at: u64) -> Tally {
        let newest = self.tick(at);
        let mut tally = Tally::default();
        for age in 0..TIME_BUCKETS.min(newest + 1) {
            let tick = newest - age;
            let bucket = &self.buckets[(tick % TIME_BUCKETS) as usize];
            tally.calls = tally.calls.saturating_add(bucket.calls.get(tick));
            tally.failed = tally.failed.saturating_add(bucket.failed.get(tick));
            tally.slow = tally.slow.saturating_add(bucket.slow.get(tick));
        }
        tally
    }

    fn clear(&self) {
        for bucket in &self.buckets {
            bucket.calls.clear();
            bucket.failed.clear();
            bucket.slow.clear();
        }
    }

    #[inline]
    fn tick(&self, at: u64) -> u32 {
        (at / self.bucket) as u32
    }
}
