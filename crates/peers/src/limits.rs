//! Places: how much may be under way at once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Counts what is under way. The limit comes with each request for a place, so a reload can change it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Arc<AtomicUsize>);

/// One place, given back when dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Places {
    pub(crate) fn take(&self, limit: usize) -> Option<Place> {
        self.0
            .fetch_update(Relaxed, Relaxed, |taken| (taken < limit).then_some(taken + 1))
            .is_ok()
            .then(|| Place(Arc::clone(&self.0)))
    }

    /// Whether anybody else holds these places, or one of them.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.0.load(Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_places_as_the_limit_says() {
        let places = Places::default();
        let held: Vec<_> = std::iter::from_fn(|| places.take(3)).collect();
        assert_eq!((held.len(), places.taken()), (3, 3));
        assert!(places.take(4).is_some(), "the limit was raised");
        drop(held);
        assert_eq!(places.taken(), 0);
    }
}
