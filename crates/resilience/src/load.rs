//! How busy an endpoint is: requests in flight, and a peak-sensitive moving average of its latency.
//!
//! `cost = latency x (in flight + 1)`. A sample above the average replaces it at once; lower ones pull it down with
//! the time constant `decay`, and so does silence: reading decays to now and changes nothing. An endpoint that fails
//! answers fast, so a failure counts as a long latency; without it an average sends a broken endpoint more traffic.

use crate::{
    sync::{AtomicU32, AtomicU64, Ordering},
    timeline::nanos_of,
};
use std::time::Duration;

/// How latency is averaged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadPolicy {
    /// Time constant of the average. Default 10 s.
    pub decay: Duration,
    /// Latency assumed of an endpoint that is busy with its first request. Default 30 ms.
    pub default_latency: Duration,
    /// Latency that a failure counts as. Default 5 s.
    pub penalty: Duration,
    /// Most that a `Retry-After` may raise the penalty to. Default 300 s.
    pub penalty_max: Duration,
}

impl Default for LoadPolicy {
    fn default() -> Self {
        Self {
            decay: Duration::from_secs(10),
            default_latency: Duration::from_millis(30),
            penalty: Duration::from_secs(5),
            penalty_max: Duration::from_mins(5),
        }
    }
}

/// Stamps are in units of 2^20 ns (about a millisecond) and wrap after 52 days; an average that old has decayed.
const STAMP_SHIFT: u32 = 20;
/// Halvings after which an average is nothing.
const HALVINGS_MAX: f32 = 100.0;

/// Average (nanoseconds, `f32`) and its stamp in one word; zero means never measured. On a line of its own, because
/// every worker writes it.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Load {
    in_flight: AtomicU32,
    average: AtomicU64,
    halvings_per_stamp: f32,
    default_ns: f32,
}

impl Load {
    pub(crate) fn new(policy: &LoadPolicy) -> Self {
        let decay = nanos_of(policy.decay.max(Duration::from_millis(1))) as f32;
        Self {
            in_flight: AtomicU32::new(0),
            average: AtomicU64::new(0),
            halvings_per_stamp: (1u64 << STAMP_SHIFT) as f32 / (decay * std::f32::consts::LN_2),
            default_ns: nanos_of(policy.default_latency) as f32,
        }
    }

    #[inline]
    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The cost of one more request. An idle endpoint that was never measured costs nothing: it is tried with one.
    #[inline]
    pub(crate) fn cost(&self, now: u64) -> f32 {
        let in_flight = self.in_flight();
        let word = self.average.load(Ordering::Relaxed);
        if word == 0 {
            return if in_flight == 0 { 0.0 } else { self.default_ns * (in_flight + 1) as f32 };
        }
        self.decayed(word, now) * (in_flight + 1) as f32
    }

    /// The average decayed to now, in nanoseconds; `None` if never measured.
    #[inline]
    pub(crate) fn latency(&self, now: u64) -> Option<f32> {
        let word = self.average.load(Ordering::Relaxed);
        (word != 0).then(|| self.decayed(word, now))
    }

    /// Takes a latency sample.
    #[inline]
    pub(crate) fn observe(&self, sample: u64, now: u64) {
        let sample = (sample as f32).max(1.0);
        let mut word = self.average.load(Ordering::Relaxed);
        loop {
            let new = if word == 0 {
                sample
            } else {
                let (average, stamp) = unpack(word);
                let kept = self.kept(stamp, now);
                if sample > average * kept { sample } else { average * kept + sample * (1.0 - kept) }
            };
            let packed = pack(new, now);
            match self.average.compare_exchange_weak(word, packed, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(seen) => word = seen,
            }
        }
    }

    /// Takes a latency that is a lower bound only: nothing is learnt from it unless it is above the average.
    pub(crate) fn observe_at_least(&self, sample: u64, now: u64) {
        if self.latency(now).is_none_or(|average| sample as f32 > average) {
            self.observe(sample, now);
        }
    }

    /// Forgets the average, for an endpoint that is back: the penalties of its bad time are no forecast.
    pub(crate) fn forget(&self) {
        self.average.store(0, Ordering::Relaxed);
    }

    #[inline]
    fn decayed(&self, word: u64, now: u64) -> f32 {
        let (average, stamp) = unpack(word);
        average * self.kept(stamp, now)
    }

    /// The share of an average that is left since its stamp. A stamp from the future (another worker's clock read)
    /// is now.
    #[inline]
    fn kept(&self, stamp: u32, now: u64) -> f32 {
        let age = ((now >> STAMP_SHIFT) as u32).wrapping_sub(stamp).cast_signed().max(0);
        // Most reads of a busy endpoint fall within a stamp of its last sample.
        if age == 0 { 1.0 } else { halved(age as f32 * self.halvings_per_stamp) }
    }
}

/// `2^-x` for `x >= 0`, within 0.02 %: the exponent by bits, the fraction by a short series.
#[inline]
fn halved(x: f32) -> f32 {
    let x = x.min(HALVINGS_MAX);
    let whole = x as u32;
    let f = (x - whole as f32) * std::f32::consts::LN_2;
    let series = 1.0 - f * (1.0 - f * (0.5 - f * (1.0 / 6.0 - f * (1.0 / 24.0 - f / 120.0))));
    series * f32::from_bits((127 - whole) << 23)
}

#[inline]
fn unpack(word: u64) -> (f32, u32) {
    (f32::from_bits((word >> 32) as u32), word as u32)
}

#[inline]
fn pack(average: f32, now: u64) -> u64 {
    u64::from(average.to_bits()) << 32 | (now >> STAMP_SHIFT) & u64::from(u32::MAX)
}
