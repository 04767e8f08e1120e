//! How many calls at once: an adaptive limit with tokens that give themselves back.

mod aimd;
mod gradient2;

use crate::sync::{AtomicU32, Mutex, Ordering};
pub use aimd::{Aimd, AimdPolicy};
pub use gradient2::{Gradient2, Gradient2Policy};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What a finished call tells the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// It worked; its latency (for streams: until the first byte) counts.
    Ok,
    /// The endpoint was overloaded: 429, 503, timeout.
    Dropped,
    /// Tells nothing.
    Ignored,
}

#[derive(Debug)]
enum Algorithm {
    Gradient2(Gradient2),
    Aimd(Aimd),
}

/// An adaptive concurrency limit, shared by all workers.
#[derive(Debug)]
pub struct Limiter {
    limit: AtomicU32,
    in_flight: AtomicU32,
    algorithm: Mutex<Algorithm>,
}

impl Limiter {
    /// A limit that follows latency.
    pub fn gradient2(policy: Gradient2Policy) -> Arc<Self> {
        let algorithm = Gradient2::new(policy);
        Self::new(algorithm.limit(), Algorithm::Gradient2(algorithm))
    }

    /// A limit that follows signs of overload.
    pub fn aimd(policy: AimdPolicy) -> Arc<Self> {
        let algorithm = Aimd::new(policy);
        Self::new(algorithm.limit(), Algorithm::Aimd(algorithm))
    }

    /// A token if there is room, else `None` at once.
    #[inline]
    pub fn try_acquire(self: &Arc<Self>, now: Instant) -> Option<LimitToken> {
        let limit = self.limit();
        let mut in_flight = self.in_flight.load(Ordering::Relaxed);
        loop {
            if in_flight >= limit {
                return None;
            }
            let next = in_flight + 1;
            match self.in_flight.compare_exchange_weak(in_flight, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    return Some(LimitToken { limiter: Arc::clone(self), started: now, in_flight: next });
                }
                Err(seen) => in_flight = seen,
            }
        }
    }

    /// The present limit.
    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Tokens out.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn new(limit: u32, algorithm: Algorithm) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicU32::new(limit),
            in_flight: AtomicU32::new(0),
            algorithm: Mutex::new(algorithm),
        })
    }

    /// A sample that finds another one being taken is skipped: nobody waits to be counted.
    fn learn(&self, latency: Duration, in_flight: u32, dropped: bool) {
        let Some(mut algorithm) = self.algorithm.try_lock() else { return };
        let limit = match &mut *algorithm {
            Algorithm::Gradient2(algorithm) => algorithm.on_sample(latency, in_flight, dropped),
            Algorithm::Aimd(algorithm) => algorithm.on_sample(latency, in_flight, dropped),
        };
        self.limit.store(limit, Ordering::Relaxed);
    }
}

/// Room for one call; dropping it gives the room back and tells nothing.
#[must_use = "a dropped token gives its room back"]
#[derive(Debug)]
pub struct LimitToken {
    limiter: Arc<Limiter>,
    started: Instant,
    in_flight: u32,
}

impl LimitToken {
    /// Ends the call with what it tells. For a stream call it at the first byte through [`LimitToken::sample`] and
    /// drop the token at the end.
    pub fn finish(self, sample: Sample, now: Instant) {
        self.sample(sample, now);
    }

    /// Tells the limit without giving the room back.
    pub fn sample(&self, sample: Sample, now: Instant) {
        if sample != Sample::Ignored {
            let latency = now.saturating_duration_since(self.started);
            self.limiter.learn(latency, self.in_flight, sample == Sample::Dropped);
        }
    }
}

impl Drop for LimitToken {
    fn drop(&mut self) {
        self.limiter.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}
