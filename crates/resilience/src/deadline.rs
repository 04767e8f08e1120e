//! The moment a request must be over, with its arithmetic.

use std::time::{Duration, Instant};

/// The end of a request: shared by all its attempts, never extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

/// A wait beyond this is no deadline; longer ones are cut to it so that arithmetic never overflows.
pub const DEADLINE_MAX: Duration = Duration::from_hours(7 * 24);

impl Deadline {
    /// The deadline at this instant.
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// The deadline `wait` from `now`, at most [`DEADLINE_MAX`] away.
    pub fn after(now: Instant, wait: Duration) -> Self {
        Self(now.checked_add(wait.min(DEADLINE_MAX)).unwrap_or(now))
    }

    /// Time left, zero once expired.
    pub fn remaining(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// Whether no time is left.
    pub fn expired(self, now: Instant) -> bool {
        now >= self.0
    }

    /// The earlier of both: a route's limit and the client's own.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    /// This deadline, or `wait` from now if that is earlier: one attempt inside the whole.
    #[must_use]
    pub fn within(self, now: Instant, wait: Duration) -> Self {
        self.min(Self::after(now, wait))
    }

    /// The instant itself.
    pub fn instant(self) -> Instant {
        self.0
    }
}
