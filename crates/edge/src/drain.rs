//! Drain: how this process leaves service without a client noticing.
//!
//! [`Drain`] is the phase table and knows no clock and no socket; [`DrainHandle`] is what the rest of the process reads.
//! The order is: readiness goes first and accepting goes on, so that balancers notice before anything is refused; then
//! listeners close; then connections end as they become idle.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// Where the process is between serving and gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Normal work.
    Serving = 0,
    /// `/ready` is 503, accepting goes on, HTTP/1 responses carry `Connection: close`.
    Unready = 1,
    /// Listeners are closed, HTTP/2 peers got GOAWAY, idle connections are closed, open exchanges go on.
    Closing = 2,
    /// No connection is left, or those that are left were cut.
    Stopped = 3,
}

impl Phase {
    /// All phases in order.
    pub const ALL: [Self; 4] = [Self::Serving, Self::Unready, Self::Closing, Self::Stopped];

    fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Serving,
            1 => Self::Unready,
            2 => Self::Closing,
            _ => Self::Stopped,
        }
    }
}

/// What can happen to a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainEvent {
    /// SIGTERM, or an operator asked.
    Begin,
    /// `drain_delay` is over.
    DelayOver,
    /// The last connection ended.
    LastDone,
    /// `max_drain` is over.
    Deadline,
    /// A second signal: now.
    Force,
}

impl DrainEvent {
    /// All events.
    pub const ALL: [Self; 5] = [Self::Begin, Self::DelayOver, Self::LastDone, Self::Deadline, Self::Force];
}

/// An event that has no meaning in a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("drain event {1:?} has no meaning in phase {0:?}")]
pub struct IllegalDrain(pub Phase, pub DrainEvent);

/// The phase table. Pure: every transition is one line of [`Drain::handle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    phase: Phase,
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl Drain {
    /// A process in service.
    pub const fn new() -> Self {
        Self { phase: Phase::Serving }
    }

    /// The same table, entered at `phase`.
    pub const fn at(phase: Phase) -> Self {
        Self { phase }
    }

    /// The present phase.
    pub const fn phase(self) -> Phase {
        self.phase
    }

    /// Applies `event`. Illegal pairs change nothing.
    pub fn handle(&mut self, event: DrainEvent) -> Result<Phase, IllegalDrain> {
        self.phase = match (self.phase, event) {
            (Phase::Serving, DrainEvent::Begin) => Phase::Unready,
            (Phase::Unready, DrainEvent::DelayOver) => Phase::Closing,
            (Phase::Closing, DrainEvent::LastDone | DrainEvent::Deadline)
            | (Phase::Serving | Phase::Unready | Phase::Closing, DrainEvent::Force) => Phase::Stopped,
            (phase, event) => return Err(IllegalDrain(phase, event)),
        };
        Ok(self.phase)
    }
}

struct Shared {
    phase: AtomicU8,
    changed: watch::Sender<Phase>,
}

/// Reads the phase of this process; cheap to clone and to ask.
///
/// Long streams (SSE, WebSocket) hold one, wait for [`DrainHandle::closing`] and end politely after
/// [`DrainHandle::spread`], so that their clients do not all come back at the same moment.
#[derive(Clone)]
pub struct DrainHandle {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for DrainHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DrainHandle").field(&self.phase()).finish()
    }
}

impl Default for DrainHandle {
    fn default() -> Self {
        Self::new()
    }
}

impl DrainHandle {
    /// A handle in [`Phase::Serving`].
    pub fn new() -> Self {
        let changed = watch::Sender::new(Phase::Serving);
        Self { shared: Arc::new(Shared { phase: AtomicU8::new(0), changed }) }
    }

    /// A handle and what moves its phase, forward only: for tests of whatever ends politely, which have no [`crate::Edge`].
    pub fn driven() -> (Self, impl Fn(Phase) + Send + Sync + 'static) {
        let handle = Self::new();
        let moved = handle.clone();
        (handle, move |phase| moved.publish(phase))
    }

    /// The present phase: one relaxed load.
    pub fn phase(&self) -> Phase {
        Phase::from_u8(self.shared.phase.load(Ordering::Relaxed))
    }

    /// Whether this process should get new traffic: what `/ready` answers.
    pub fn is_ready(&self) -> bool {
        self.phase() == Phase::Serving
    }

    /// Whether a drain has begun.
    pub fn is_draining(&self) -> bool {
        self.phase() != Phase::Serving
    }

    /// Waits until the phase is `phase` or later. Cancel safe.
    pub async fn reached(&self, phase: Phase) {
        let mut changes = self.shared.changed.subscribe();
        // The sender lives in `shared`, so waiting can only end by the phase.
        let _ = changes.wait_for(|now| *now >= phase).await;
    }

    /// Waits until listeners are closed: the moment from which streams should end politely. Cancel safe.
    pub async fn closing(&self) {
        self.reached(Phase::Closing).await;
    }

    /// How long a stream should wait after [`DrainHandle::closing`] before it ends: uniform over `window`.
    pub fn spread(window: Duration, rng: &mut fastrand::Rng) -> Duration {
        window.mul_f64(rng.f64())
    }

    /// Publishes a phase. Phases only go forward.
    pub(crate) fn publish(&self, phase: Phase) {
        let before = self.shared.phase.fetch_max(phase as u8, Ordering::Relaxed);
        if before < phase as u8 {
            self.shared.changed.send_replace(phase);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn every_pair_of_phase_and_event_is_decided() {
        let mut table = String::new();
        for phase in Phase::ALL {
            for event in DrainEvent::ALL {
                let mut drain = Drain::at(phase);
                let outcome = drain.handle(event).map_or_else(|_| "-".to_owned(), |next| format!("{next:?}"));
                assert!(outcome != "-" || drain.phase() == phase, "an illegal event changed the phase");
                let _ = writeln!(table, "{phase:?} + {event:?} = {outcome}");
            }
        }
        insta::assert_snapshot!(table, @"
        Serving + Begin = Unready
        Serving + DelayOver = -
        Serving + LastDone = -
        Serving + Deadline = -
        Serving + Force = Stopped
        Unready + Begin = -
        Unready + DelayOver = Closing
        Unready + LastDone = -
        Unready + Deadline = -
        Unready + Force = Stopped
        Closing + Begin = -
        Closing + DelayOver = -
        Closing + LastDone = Stopped
        Closing + Deadline = Stopped
        Closing + Force = Stopped
        Stopped + Begin = -
        Stopped + DelayOver = -
        Stopped + LastDone = -
        Stopped + Deadline = -
        Stopped + Force = -
        ");
    }

    #[test]
    fn phases_only_go_forward() {
        let handle = DrainHandle::new();
        handle.publish(Phase::Closing);
        handle.publish(Phase::Unready);
        assert_eq!(handle.phase(), Phase::Closing);
        assert!(handle.is_draining() && !handle.is_ready());
    }

    #[tokio::test]
    async fn a_stream_that_subscribes_late_still_learns_of_the_drain() {
        let handle = DrainHandle::new();
        handle.publish(Phase::Unready);
        handle.publish(Phase::Closing);
        handle.closing().await;
    }

    #[test]
    fn polite_ends_are_spread_over_the_window() {
        let mut rng = fastrand::Rng::with_seed(7);
        let window = Duration::from_secs(100);
        let ends: Vec<_> = (0..1000).map(|_| DrainHandle::spread(window, &mut rng)).collect();
        assert!(ends.iter().all(|end| *end < window));
        let first_half = ends.iter().filter(|end| **end < window / 2).count();
        assert!((400..600).contains(&first_half), "{first_half} of 1000 in the first half");
    }
}
