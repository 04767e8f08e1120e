//! A bounded map whose entries end by themselves.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    time::Instant,
};

/// Entries by key, each until an instant.
pub(crate) struct Expiring<K, V> {
    max: usize,
    entries: HashMap<K, (V, Instant)>,
    order: BTreeSet<(Instant, K)>,
}

impl<K: Copy + Eq + Hash + Ord, V> Expiring<K, V> {
    /// For at most `max` entries.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, entries: HashMap::new(), order: BTreeSet::new() }
    }

    /// A living entry.
    pub(crate) fn get(&self, key: K, now: Instant) -> Option<&V> {
        self.entries.get(&key).filter(|(_, until)| *until > now).map(|(value, _)| value)
    }

    /// A living entry, to be changed.
    pub(crate) fn get_mut(&mut self, key: K, now: Instant) -> Option<&mut V> {
        self.entries.get_mut(&key).filter(|(_, until)| *until > now).map(|(value, _)| value)
    }

    /// Puts an entry in. Gives it back if the map is full of living ones.
    pub(crate) fn insert(&mut self, key: K, value: V, until: Instant, now: Instant) -> Result<(), V> {
        self.sweep(now);
        if self.entries.len() >= self.max && !self.entries.contains_key(&key) {
            return Err(value);
        }
        if let Some((_, before)) = self.entries.insert(key, (value, until)) {
            self.order.remove(&(before, key));
        }
        self.order.insert((until, key));
        Ok(())
    }

    /// Puts an entry in; of a full map the entry that would end first makes room and is returned.
    pub(crate) fn insert_over(&mut self, key: K, value: V, until: Instant, now: Instant) -> Option<V> {
        match self.insert(key, value, until, now) {
            Ok(()) => None,
            Err(value) => {
                let out = self.first(None).and_then(|first| self.remove(first));
                // A map of no entries keeps none.
                let _ = self.insert(key, value, until, now);
                out
            }
        }
    }

    /// Lets an entry live until another instant.
    pub(crate) fn extend(&mut self, key: K, until: Instant) {
        if let Some((_, before)) = self.entries.get_mut(&key) {
            self.order.remove(&(*before, key));
            *before = until;
            self.order.insert((until, key));
        }
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let (value, until) = self.entries.remove(&key)?;
        self.order.remove(&(until, key));
        Some(value)
    }

    /// Takes out the entry that ends first, if it has ended.
    pub(crate) fn pop_ended(&mut self, now: Instant) -> Option<(K, V)> {
        let (until, key) = self.order.first().copied()?;
        if until > now {
            return None;
        }
        self.remove(key).map(|value| (key, value))
    }

    /// The first entry to end, `spared` left aside.
    pub(crate) fn first(&self, spared: Option<K>) -> Option<K> {
        self.order.iter().map(|(_, key)| *key).find(|key| Some(*key) != spared)
    }

    /// Living entries, in the order of their end.
    pub(crate) fn iter(&self, now: Instant) -> impl Iterator<Item = (K, &V)> {
        let living = self.order.iter().skip_while(move |(until, _)| *until <= now);
        living.filter_map(|(_, key)| self.entries.get(key).map(|(value, _)| (*key, value)))
    }

    /// Forgets what has ended.
    pub(crate) fn sweep(&mut self, now: Instant) {
        while self.pop_ended(now).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn entries_end_by_themselves_and_make_room() {
        let start = Instant::now();
        let mut map = Expiring::new(2);
        map.insert(1, 'a', start + SECOND, start).unwrap();
        map.insert(2, 'b', start + 2 * SECOND, start).unwrap();
        assert_eq!(map.insert(3, 'c', start + 3 * SECOND, start), Err('c'));
        assert_eq!(map.get(1, start + SECOND), None, "its last instant is over");
        map.insert(3, 'c', start + 3 * SECOND, start + SECOND).unwrap();
        assert_eq!((map.get(2, start + SECOND), map.get(3, start + SECOND)), (Some(&'b'), Some(&'c')));
        assert_eq!(map.iter(start).count(), 2);
    }

    #[test]
    fn of_a_full_map_the_first_to_end_goes() {
        let start = Instant::now();
        let mut map = Expiring::new(2);
        map.insert(1, 'a', start + 9 * SECOND, start).unwrap();
        map.insert(2, 'b', start + 2 * SECOND, start).unwrap();
        assert_eq!(map.insert_over(3, 'c', start + 3 * SECOND, start), Some('b'));
        map.extend(1, start + SECOND);
        assert_eq!(map.insert_over(4, 'd', start + 3 * SECOND, start), Some('a'));
        assert_eq!(map.iter(start).count(), 2);
        assert_eq!(Expiring::new(0).insert_over(1, 'a', start + SECOND, start), None);
    }
}
