//! The replay window: questions that were seen, until nobody could wait for their answers any more.
//!
//! Time is this process's own and only runs forward: what the other side's clock says does not matter.

use crate::ReplicaId;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashSet},
    time::{Duration, Instant},
};

/// A nonce is remembered this much longer than its question may wait: it covers the way here.
pub(crate) const LEEWAY: Duration = Duration::from_secs(5);

/// Chosen at random by the asker.
pub(crate) type Nonce = u128;

type Key = (ReplicaId, Nonce);

#[derive(Debug, Default)]
pub(crate) struct Nonces {
    seen: HashSet<Key>,
    ends: BinaryHeap<Reverse<(Instant, Key)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    New,
    Before,
    /// Not remembered, so it must not be answered: forgetting an older one instead would let that one be replayed.
    Full,
}

impl Nonces {
    /// Looks at a question that leaves `within`, and remembers it.
    pub(crate) fn see(
        &mut self,
        from: ReplicaId,
        nonce: Nonce,
        within: Duration,
        now: Instant,
        limit: usize,
    ) -> Seen {
        while let Some(Reverse((end, key))) = self.ends.peek()
            && *end <= now
        {
            self.seen.remove(key);
            self.ends.pop();
        }
        let key = (from, nonce);
        if self.seen.contains(&key) {
            return Seen::Before;
        }
        let Some(end) = now.checked_add(within).and_then(|end| end.checked_add(LEEWAY)) else {
            return Seen::Full;
        };
        if self.seen.len() >= limit {
            return Seen::Full;
        }
        self.seen.insert(key);
        self.ends.push(Reverse((end, key)));
        Seen::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Against a plain list of everything that was ever accepted.
        #[test]
        fn a_nonce_is_new_once_in_its_time_and_never_forgotten_early(
            steps in prop::collection::vec((0u64..3, 0u128..12, 0u64..9_000, 0u64..4_000), 1..200), limit in 1usize..9,
        ) {
            let mut nonces = Nonces::default();
            let mut accepted: HashMap<Key, Instant> = HashMap::new();
            let mut now = Instant::now();
            for (from, nonce, within, passed) in steps {
                now += Duration::from_millis(passed);
                accepted.retain(|_, end| *end > now);
                let (key, within) = ((ReplicaId(from), nonce), Duration::from_millis(within));
                let want = if accepted.contains_key(&key) { Seen::Before }
                    else if accepted.len() >= limit { Seen::Full } else { Seen::New };
                prop_assert_eq!(nonces.see(key.0, key.1, within, now, limit), want);
                if want == Seen::New {
                    accepted.insert(key, now + within + LEEWAY);
                }
                prop_assert!(nonces.seen.len() <= limit && nonces.ends.len() == nonces.seen.len());
            }
        }
    }

    #[test]
    fn a_time_that_no_clock_can_hold_is_refused() {
        assert_eq!(Nonces::default().see(ReplicaId(1), 1, Duration::MAX, Instant::now(), 9), Seen::Full);
    }
}
