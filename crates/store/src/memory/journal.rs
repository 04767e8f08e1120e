//! The journal in memory.

use super::{Memory, expiring::Expiring, ready};
use crate::seam::{Answer, Change, ENTRY_BYTES_MAX, Entry, Journal, SessionId, Swapped};
use crate::{StoreError, seam::limits};
use std::time::{Duration, Instant};

/// Entries by session. A full journal forgets the session that ends first: that costs one more re-initialisation, nothing else.
pub(super) type Entries = Expiring<SessionId, Entry>;

fn swap(
    entries: &mut Entries,
    session: SessionId,
    entry: &Entry,
    ttl: Duration,
    now: Instant,
) -> Result<Swapped, StoreError> {
    limits::fits(entry.value.len(), ENTRY_BYTES_MAX)?;
    limits::countable(entry.epoch.0)?;
    if let Some(known) = entries.get(session, now)
        && known.epoch >= entry.epoch
    {
        return Ok(if known == entry { Swapped::Stored } else { Swapped::Newer(known.clone()) });
    }
    entries.insert_over(session, entry.clone(), now + ttl, now);
    Ok(Swapped::Stored)
}

impl Journal for Memory {
    fn read(&self, session: SessionId, _: Instant) -> Answer<'_, Option<Entry>> {
        ready(Ok(self.journal.lock().get(session, self.now()).cloned()))
    }

    fn swap(&self, session: SessionId, entry: Entry, ttl: Duration, _: Instant) -> Answer<'_, Swapped> {
        let swapped = swap(&mut self.journal.lock(), session, &entry, ttl, self.now());
        if swapped == Ok(Swapped::Stored) {
            self.feeds.tell(Change::Rebound { session, epoch: entry.epoch });
        }
        ready(swapped)
    }

    fn forget(&self, session: SessionId, _: Instant) -> Answer<'_, ()> {
        self.journal.lock().remove(session);
        ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seam::Epoch;
    use bytes::Bytes;
    use proptest::prelude::*;

    const SESSION: SessionId = SessionId([7; 16]);

    proptest! {
        #[test]
        fn the_highest_epoch_stays_and_of_equal_ones_the_first(epochs in prop::collection::vec(0u64..8, 1..40)) {
            let now = Instant::now();
            let mut entries = Entries::new(4);
            let mut kept: Option<Entry> = None;
            for (number, epoch) in epochs.into_iter().enumerate() {
                let entry = Entry { epoch: Epoch(epoch), value: Bytes::from(number.to_string()) };
                let swapped = swap(&mut entries, SESSION, &entry, Duration::from_secs(9), now).unwrap();
                let newer = kept.clone().filter(|kept| kept.epoch >= entry.epoch);
                prop_assert_eq!(&swapped, &newer.clone().map_or(Swapped::Stored, Swapped::Newer));
                kept = newer.or(Some(entry));
                prop_assert_eq!(entries.get(SESSION, now), kept.as_ref());
            }
        }
    }
}
