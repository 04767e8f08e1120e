//! Tools and prompts that have a label, of one server: looked up without a lock, an allocation or a reference count.

use super::Histogram;
use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Heads of the lists that names are kept in: a power of two.
const SLOTS: usize = 64;
/// Longest name that gets a label.
const NAME_MAX: usize = 128;

/// Series of one set of labels, by what distinguishes them further: few, so a list is walked. It only grows.
#[derive(Debug, Default)]
pub(super) struct Chain(OnceLock<Box<Link>>);

#[derive(Debug)]
struct Link {
    key: u32,
    histogram: Histogram,
    next: Chain,
}

impl Chain {
    /// The series of `key`, made if this is its first event.
    #[inline]
    pub(super) fn get(&self, key: u32, make: impl Fn() -> Histogram) -> &Histogram {
        let mut at = self;
        loop {
            let link = at.0.get_or_init(|| Box::new(Link { key, histogram: make(), next: Self::default() }));
            if link.key == key {
                return &link.histogram;
            }
            at = &link.next;
        }
    }
}

/// A name with a label.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) name: Box<str>,
    pub(super) served: Chain,
    pub(super) sent: Chain,
    next: Slot,
}

#[derive(Debug, Default)]
struct Slot(OnceLock<Box<Named>>);

/// The names of one method of one server.
#[derive(Debug, Default)]
pub(super) struct Names(OnceLock<Box<[Slot; SLOTS]>>);

impl Names {
    /// The name as it stands in a message, if it has a label.
    #[inline]
    pub(super) fn get(&self, name: &[u8]) -> Option<&Named> {
        let mut at = &self.0.get()?[slot(name)];
        while let Some(named) = at.0.get() {
            if named.name.as_bytes() == name {
                return Some(named);
            }
            at = &named.next;
        }
        None
    }

    /// Gives it a label, if `left` says that there may be one more. `None` where it may have none.
    pub(super) fn admit(&self, name: &[u8], left: &AtomicUsize) -> Option<&Named> {
        let text = std::str::from_utf8(name).ok()?;
        let mut at = &self.0.get_or_init(|| Box::new(std::array::from_fn(|_| Slot::default())))[slot(name)];
        let mut taken = false;
        loop {
            if let Some(named) = at.0.get() {
                if &*named.name == text {
                    if taken {
                        left.fetch_add(1, Relaxed);
                    }
                    return Some(named);
                }
                at = &named.next;
                continue;
            }
            if !taken {
                left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).ok()?;
                taken = true;
            }
            // Another thread may be faster, with this name or with another one: looked at in the next round.
            let fresh = || Named {
                name: text.into(),
                served: Chain::default(),
                sent: Chain::default(),
                next: Slot::default(),
            };
            let mut ours = false;
            let named = at.0.get_or_init(|| {
                ours = true;
                Box::new(fresh())
            });
            if ours {
                return Some(named);
            }
        }
    }

    /// How many names have a label.
    pub(super) fn len(&self) -> usize {
        let slots = self.0.get().map_or(&[][..], |slots| &slots[..]);
        slots.iter().map(|slot| std::iter::successors(slot.0.get(), |named| named.next.0.get()).count()).sum()
    }
}

/// Whether a name, as it stands between the quotes of a message, can have a label. One with an escape has none: it would have two.
pub(super) fn is_plain(name: &[u8]) -> bool {
    !name.is_empty() && name.len() <= NAME_MAX && !name.contains(&b'\\')
}

/// FNV-1a: short names, and nothing is gained by choosing them.
fn slot(name: &[u8]) -> usize {
    let hash = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 32)) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_name_is_found_once_it_has_a_label_and_there_are_never_more_than_the_limit(
            names in proptest::collection::vec("[a-c]{1,3}", 1..60),
            limit in 0usize..20,
        ) {
            let (all, left) = (Names::default(), AtomicUsize::new(limit));
            let mut known = BTreeSet::new();
            for name in &names {
                prop_assert_eq!(all.get(name.as_bytes()).is_some(), known.contains(name));
                if all.admit(name.as_bytes(), &left).is_some() {
                    known.insert(name.clone());
                }
            }
            prop_assert_eq!(all.len(), known.len());
            prop_assert_eq!(left.load(Relaxed) + known.len(), limit);
            let distinct: BTreeSet<_> = names.iter().collect();
            prop_assert_eq!(known.len(), distinct.len().min(limit));
        }
    }

    #[test]
    fn threads_that_meet_agree() {
        let (all, left) = (Names::default(), AtomicUsize::new(40));
        let names: Vec<String> = (0..100).map(|n| format!("tool-{n}")).collect();
        std::thread::scope(|scope| {
            for turn in 0..8 {
                let (all, left, names) = (&all, &left, &names);
                scope.spawn(move || {
                    for at in 0..names.len() {
                        let name = names[(at * 7 + turn * 13) % names.len()].as_bytes();
                        all.admit(name, left);
                    }
                });
            }
        });
        assert_eq!((all.len(), left.load(Relaxed)), (40, 0));
    }
}
