//! Verified tokens that this worker has seen: checking an RSA signature costs more than the rest of a request.
//!
//! Each worker has its own, so nothing is shared or locked. A token is remembered by the SHA-256 of all its bytes
//! together with the authenticator that verified it; after a reload the old entries are never found again and leave
//! by themselves. Only signature and claims that cannot change are remembered: the times are judged on each request.

use crate::Principal;
use std::{cell::RefCell, collections::HashMap, sync::Arc};

/// Tokens remembered per worker, at most.
pub const MAX_CACHED_TOKENS: usize = 2 * GENERATION;
const GENERATION: usize = 1024;

/// Which authenticator, and which token.
pub(crate) type Key = (u64, [u8; 32]);

/// What verification found.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    pub(crate) principal: Arc<Principal>,
    /// `exp`, seconds since 1970.
    pub(crate) expires: u64,
    /// `nbf`, seconds since 1970; 0 = none.
    pub(crate) not_before: u64,
}

/// Two generations: what was not asked for during the life of one is forgotten, without bookkeeping per hit.
#[derive(Default)]
struct Cache {
    young: HashMap<Key, Verified>,
    old: HashMap<Key, Verified>,
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::new(Cache::default());
}

pub(crate) fn get(key: &Key) -> Option<Verified> {
    CACHE.with_borrow_mut(|cache| {
        if let Some(found) = cache.young.get(key) {
            return Some(found.clone());
        }
        let found = cache.old.remove(key)?;
        cache.insert(*key, found.clone());
        Some(found)
    })
}

pub(crate) fn put(key: Key, verified: Verified) {
    CACHE.with_borrow_mut(|cache| cache.insert(key, verified));
}

pub(crate) fn forget(key: &Key) {
    CACHE.with_borrow_mut(|cache| {
        cache.young.remove(key);
        cache.old.remove(key);
    });
}

impl Cache {
    fn insert(&mut self, key: Key, verified: Verified) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, verified);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified() -> Verified {
        Verified { principal: Principal::anonymous(), expires: 10, not_before: 0 }
    }

    fn key(n: u64) -> Key {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_be_bytes());
        (7, hash)
    }

    #[test]
    fn a_flood_of_tokens_stays_within_the_bound_and_keeps_what_is_used() {
        put(key(0), verified());
        for n in 1..10_000 {
            put(key(n), verified());
            assert!(get(&key(0)).is_some(), "a token in use was forgotten after {n} others");
        }
        CACHE.with_borrow(|cache| assert!(cache.young.len() + cache.old.len() <= MAX_CACHED_TOKENS));
        assert!(get(&key(1)).is_none());
    }

    #[test]
    fn another_authenticator_does_not_find_it() {
        put(key(1), verified());
        assert!(get(&(8, key(1).1)).is_none());
        forget(&key(1));
        assert!(get(&key(1)).is_none());
    }
}
