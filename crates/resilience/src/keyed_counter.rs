//! A count that belongs to a key (a time bucket, a generation): both in one word, so a new key starts at zero
//! without a lock and a late update of an old key cannot touch the new one.

use crate::sync::{AtomicU64, Ordering};

/// Key in the upper half, count in the lower half.
#[derive(Debug)]
pub(crate) struct KeyedCounter(AtomicU64);

impl KeyedCounter {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds to the count of `key`, which begins at zero if the counter held an older key. An update for an older
    /// key than the one held is dropped.
    #[inline]
    pub(crate) fn add(&self, key: u32, n: u32) {
        self.update(key, |count| count.saturating_add(n));
    }

    /// Takes from the count of `key`, if it is still the one held.
    pub(crate) fn sub(&self, key: u32, n: u32) {
        self.update(key, |count| count.saturating_sub(n));
    }

    /// The count of `key`, zero if another one is held.
    #[inline]
    pub(crate) fn get(&self, key: u32) -> u32 {
        let (held, count) = unpack(self.0.load(Ordering::Acquire));
        if held == key { count } else { 0 }
    }

    /// Replaces the count of `key` by a function of it and returns the old count; `None` if a newer key is held.
    #[inline]
    pub(crate) fn update(&self, key: u32, next: impl Fn(u32) -> u32) -> Option<u32> {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let (held, count) = unpack(word);
            if newer(held, key) && count > 0 {
                return None;
            }
            let count = if held == key { count } else { 0 };
            let new = pack(key, next(count));
            match self.0.compare_exchange_weak(word, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(count),
                Err(seen) => word = seen,
            }
        }
    }

    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Release);
    }
}

#[inline]
fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

#[inline]
fn pack(key: u32, count: u32) -> u64 {
    u64::from(key) << 32 | u64::from(count)
}

/// Keys wrap: newer means less than half the circle ahead.
#[inline]
fn newer(held: u32, key: u32) -> bool {
    let ahead = held.wrapping_sub(key);
    ahead != 0 && ahead < 1 << 31
}
