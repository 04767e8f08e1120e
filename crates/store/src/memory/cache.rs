//! The cache in memory.

use super::{Memory, expiring::Expiring, ready};
use crate::seam::{Answer, Name, SharedCache, limits};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// Values by name.
pub(super) struct Values {
    entries: Expiring<Name, Bytes>,
    bytes: usize,
    bytes_max: usize,
}

impl Values {
    pub(super) fn new(entries: usize, bytes_max: usize) -> Self {
        Self { entries: Expiring::new(entries), bytes: 0, bytes_max }
    }

    fn put(&mut self, name: Name, value: Bytes, ttl: Duration, now: Instant) {
        self.remove(name);
        while let Some((_, ended)) = self.entries.pop_ended(now) {
            self.bytes -= ended.len();
        }
        self.bytes += value.len();
        let out = self.entries.insert_over(name, value, now + ttl, now);
        self.bytes -= out.map_or(0, |out| out.len());
        while self.bytes > self.bytes_max
            && let Some(first) = self.entries.first(None)
        {
            self.remove(first);
        }
    }

    fn remove(&mut self, name: Name) {
        self.bytes -= self.entries.remove(name).map_or(0, |value| value.len());
    }
}

impl SharedCache for Memory {
    fn get(&self, name: Name, _: Instant) -> Answer<'_, Option<Bytes>> {
        ready(Ok(self.values.lock().entries.get(name, self.now()).cloned()))
    }

    fn put(&self, name: Name, value: Bytes, ttl: Duration, _: Instant) -> Answer<'_, ()> {
        let fits = limits::fits(value.len(), self.limits.cache_value_bytes);
        ready(fits.map(|()| self.values.lock().put(name, value, ttl, self.now())))
    }

    fn remove(&self, name: Name, _: Instant) -> Answer<'_, ()> {
        self.values.lock().remove(name);
        ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_keeps_no_more_bytes_than_it_may() {
        let now = Instant::now();
        let mut values = Values::new(100, 1000);
        for round in 0..50u8 {
            values.put(
                Name([round % 30; 16]),
                vec![0; 90].into(),
                Duration::from_secs(60 + u64::from(round)),
                now,
            );
            assert!(values.bytes <= 1000);
            assert_eq!(values.bytes, values.entries.iter(now).map(|(_, value)| value.len()).sum::<usize>());
        }
        assert_eq!(values.entries.iter(now).count(), 11);
    }
}
