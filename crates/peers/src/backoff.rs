//! How long a link waits before it dials again.

use std::time::Duration;

/// First pause.
pub(crate) const FIRST: Duration = Duration::from_millis(100);

/// The pause after `tries` failures in a row: doubling from [`FIRST`] to `longest`, and of that between a half and all, so that
/// replicas that lost each other at one moment do not come back at one moment.
pub(crate) fn pause(tries: u32, longest: Duration, rng: &mut fastrand::Rng) -> Duration {
    let full = FIRST.saturating_mul(1 << tries.min(20)).min(longest);
    full.mul_f64(0.5 + rng.f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_pause_is_between_half_and_all_of_its_step(tries: u32, longest_ms in 100u64..100_000, seed: u64) {
            let longest = Duration::from_millis(longest_ms);
            let step = FIRST.saturating_mul(1 << tries.min(20)).min(longest);
            let pause = pause(tries, longest, &mut fastrand::Rng::with_seed(seed));
            prop_assert!(pause <= step && pause + Duration::from_micros(1) >= step / 2);
        }
    }
}
