//! What `/status` and metrics show of an endpoint.

use std::time::{Duration, Instant};

/// The breaker's phase as a caller sees it. `Admitting`, `Refusing` and `Probing` are what others call closed, open
/// and half-open, words that mean opposite things to different readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Calls pass.
    Admitting,
    /// Calls are refused.
    Refusing {
        /// When a probe may go.
        until: Instant,
    },
    /// A few calls may pass as probes.
    Probing,
}

impl Phase {
    /// The value of the state gauge: 0 admitting, 1 refusing, 2 probing.
    pub fn gauge(self) -> u8 {
        match self {
            Self::Admitting => 0,
            Self::Refusing { .. } => 1,
            Self::Probing => 2,
        }
    }
}

/// How often a breaker entered each phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transitions {
    /// Closed again.
    pub admitting: u64,
    /// Tripped or re-opened.
    pub refusing: u64,
    /// Began to probe.
    pub probing: u64,
}

/// A look at an endpoint; taking it changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSnapshot {
    /// Breaker phase.
    pub phase: Phase,
    /// Breaker transitions since the start.
    pub transitions: Transitions,
    /// Requests in flight, streams until their last byte.
    pub in_flight: u32,
    /// Average latency decayed to now; `None` if never measured.
    pub latency: Option<Duration>,
    /// Opinion of the active probes.
    pub healthy: bool,
    /// End of the present ejection.
    pub ejected_until: Option<Instant>,
    /// Ejections since the start.
    pub ejections: u64,
    /// Slow-start factor, 1 when up to speed.
    pub ramp: f64,
}
