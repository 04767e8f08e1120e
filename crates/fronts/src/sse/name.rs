//! What the `endpoint` event names: the replica that holds the stream, and the conversation there. Sealed for its principal.

use crate::fronts::{ID_BYTES, Id};
use holdfast_peers::ReplicaId;
use holdfast_seal::{KeyRing, Purpose, Refused, SealError};

const FORMAT: u8 = 1;
/// Longest name that is looked at.
const NAME_BYTES_MAX: usize = 512;

/// A conversation, wherever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) replica: ReplicaId,
    pub(super) id: Id,
}

impl Name {
    /// Sealed until `expires`, in seconds since 1970.
    pub(super) fn seal(
        self,
        ring: &KeyRing,
        principal: &[u8; 32],
        server: &str,
        expires: u64,
    ) -> Result<String, SealError> {
        let payload = [&[FORMAT][..], &self.replica.0.to_be_bytes(), &self.id].concat();
        ring.seal(Purpose::Conversation, &audience(principal, server), &payload, expires)
    }

    /// Opens what was sealed for the same principal and server.
    pub(super) fn open(
        ring: &KeyRing,
        principal: &[u8; 32],
        server: &str,
        sealed: &str,
        now: u64,
    ) -> Result<Self, Refused> {
        if sealed.len() > NAME_BYTES_MAX {
            return Err(Refused::malformed());
        }
        let payload = ring.open(Purpose::Conversation, &audience(principal, server), sealed, now)?;
        Self::parse(&payload).ok_or_else(Refused::malformed)
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        let rest = payload.strip_prefix(&[FORMAT])?;
        let (replica, id) = rest.split_first_chunk::<8>()?;
        Some(Self {
            replica: ReplicaId(u64::from_be_bytes(*replica)),
            id: <[u8; ID_BYTES]>::try_from(id).ok()?,
        })
    }
}

fn audience(principal: &[u8; 32], server: &str) -> Vec<u8> {
    [principal, server.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_opens_for_its_principal_and_server_alone(replica: u64, id: [u8; 16], me: [u8; 32], server in "[a-z]{1,8}") {
            let ring = KeyRing::new([("a", [7; 32])]).unwrap();
            let name = Name { replica: ReplicaId(replica), id };
            let sealed = name.seal(&ring, &me, &server, 1000).unwrap();
            prop_assert!(sealed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{}", sealed);
            prop_assert_eq!(Name::open(&ring, &me, &server, &sealed, 1000).unwrap(), name);
            let mut other = me;
            other[0] ^= 1;
            prop_assert!(Name::open(&ring, &other, &server, &sealed, 1000).is_err());
            prop_assert!(Name::open(&ring, &me, "another1", &sealed, 1000).is_err());
            prop_assert!(Name::open(&ring, &me, &server, &sealed, 1061).is_err());
            prop_assert!(ring.open(Purpose::Peer, &me, &sealed, 1000).is_err());
        }

        #[test]
        fn nonsense_names_nothing(payload in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(name) = Name::parse(&payload) {
                prop_assert_eq!([&[FORMAT][..], &name.replica.0.to_be_bytes(), &name.id].concat(), payload);
            }
        }
    }
}
