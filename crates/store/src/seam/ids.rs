//! Names of things in the store. Order has a meaning only for [`Epoch`] and [`Sequence`].

use aws_lc_rs::digest::{self, SHA256};
use std::fmt;

/// One process of the gateway, from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaId(pub u64);

/// A session: random, chosen when its token was sealed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub [u8; 16]);

/// Name of a quota or of a cached value: says nothing of what it was made from, but lets a guess be confirmed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(pub [u8; 16]);

/// Counts the writers of one thing. Whoever has the higher one is right. At most [`NUMBER_MAX`](super::NUMBER_MAX).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// Number of an event in its stream. At most [`NUMBER_MAX`](super::NUMBER_MAX).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sequence(pub u64);

impl ReplicaId {
    /// A new one. Two processes that draw the same within the life of a stream would share its log: 64 bits make that rare enough.
    pub fn random() -> Self {
        Self(fastrand::u64(..))
    }
}

impl Name {
    /// The first half of SHA-256 over the parts, each behind its length, so that no two lists of parts give the same bytes.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = digest::Context::new(&SHA256);
        for part in parts {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut name = [0; 16];
        name.copy_from_slice(&hash.finish().as_ref()[..16]);
        Self(name)
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The first four bytes: enough to follow one in a log, not enough to use it.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({:08x}..)", start(self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({:08x}..)", start(self.0))
    }
}

fn start(name: [u8; 16]) -> u128 {
    u128::from_be_bytes(name) >> 96
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_depends_on_where_its_parts_end() {
        assert_eq!(Name::of(&[b"ab", b"c"]), Name::of(&[b"ab", b"c"]));
        assert_ne!(Name::of(&[b"ab", b"c"]), Name::of(&[b"a", b"bc"]));
        assert_ne!(Name::of(&[b"abc"]), Name::of(&[b"abc", b""]));
    }

    #[test]
    fn a_session_is_not_shown_whole() {
        assert_eq!(format!("{:?}", SessionId([0xab; 16])), "SessionId(abababab..)");
    }
}
