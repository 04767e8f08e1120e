//! Times in eight bytes, also where there may be none.

use std::{
    num::NonZeroU64,
    time::{Duration, Instant},
};

/// Where a clock begins: as much room before it as most of what lies behind.
const BEGINNING: u64 = 1 << 62;

/// Nanoseconds on a [`Clock`]. Exact for 146 years before its beginning and 438 after; what lies beyond stops there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(NonZeroU64);

/// Turns instants into ticks and back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Begins at `now`.
    pub(crate) fn new(now: Instant) -> Self {
        Self(now)
    }

    pub(crate) fn tick(self, at: Instant) -> Tick {
        match at.checked_duration_since(self.0) {
            Some(after) => Tick::of(BEGINNING.saturating_add(nanos(after))),
            None => Tick::of(BEGINNING.saturating_sub(nanos(self.0.saturating_duration_since(at)))),
        }
    }

    pub(crate) fn instant(self, tick: Tick) -> Instant {
        let at = tick.0.get();
        // No instant is so far away that the system could not name it.
        match at.checked_sub(BEGINNING) {
            Some(after) => self.0.checked_add(Duration::from_nanos(after)).unwrap_or(self.0),
            None => self.0.checked_sub(Duration::from_nanos(BEGINNING - at)).unwrap_or(self.0),
        }
    }
}

impl Tick {
    fn of(nanos: u64) -> Self {
        Self(NonZeroU64::new(nanos).unwrap_or(NonZeroU64::MIN))
    }

    pub(crate) fn after(self, time: Duration) -> Self {
        Self::of(self.0.get().saturating_add(nanos(time)))
    }

    pub(crate) fn before(self, time: Duration) -> Self {
        Self::of(self.0.get().saturating_sub(nanos(time)))
    }

    /// Nothing if `earlier` is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_tick_is_the_instant_it_was_made_of(beginning in 0u64..1 << 60, at in 0u64..1 << 60) {
            let now = Instant::now();
            let (beginning, at) = (now + Duration::from_nanos(beginning), now + Duration::from_nanos(at));
            let clock = Clock::new(beginning);
            prop_assert_eq!(clock.instant(clock.tick(at)), at);
            let span = at.saturating_duration_since(beginning);
            prop_assert_eq!(clock.tick(at).since(clock.tick(beginning)), span);
            prop_assert_eq!(clock.tick(beginning).after(span), clock.tick(beginning.max(at)));
        }
    }

    #[test]
    fn what_is_too_far_away_stops_there() {
        let now = Instant::now();
        let start = Clock::new(now).tick(now);
        assert!(start.after(Duration::MAX) > start.after(Duration::from_hours(24 * 365 * 400)));
        assert!(start.before(Duration::MAX) < start.before(Duration::from_hours(24 * 365 * 140)));
        assert_eq!(size_of::<Option<Tick>>(), 8);
    }
}
