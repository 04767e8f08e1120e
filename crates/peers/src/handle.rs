//! Names of things that live in one process.

use crate::ReplicaId;
use holdfast_seal::{KeyRing, Purpose, Refused, SealError};

/// Longest kind and id of a handle together.
pub const PARTS_BYTES_MAX: usize = 1024;

/// Longest sealed handle: base64 of the parts, with what sealing adds.
pub const HANDLE_BYTES_MAX: usize = 2048;

const FORMAT: u8 = 1;
const HEAD_LEN: usize = 1 + 8 + 1;

// Four characters hold three bytes; a key id, nonce, expiry and tag come on top.
const _: () = assert!((HEAD_LEN + PARTS_BYTES_MAX + 12 + 8 + 16).div_ceil(3) * 4 + 3 + 16 < HANDLE_BYTES_MAX);

/// A thing and the replica that has it. Never an address: where a replica is found is for whoever asks to know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    /// The process that has it.
    pub replica: ReplicaId,
    /// What kind of thing; at most 255 bytes.
    pub kind: Box<str>,
    /// Which one; opaque here. May be looked at by nobody but replicas: it is sealed.
    pub id: Vec<u8>,
}

impl Handle {
    /// A handle.
    pub fn new(replica: ReplicaId, kind: &str, id: &[u8]) -> Self {
        Self { replica, kind: kind.into(), id: id.to_vec() }
    }

    /// Seals it for one principal, until `expires` (seconds since 1970). Fails if kind and id are longer than [`PARTS_BYTES_MAX`].
    pub fn seal(&self, ring: &KeyRing, principal: &[u8; 32], expires: u64) -> Result<String, SealError> {
        let kind_len = u8::try_from(self.kind.len()).map_err(|_| SealError)?;
        if self.kind.len() + self.id.len() > PARTS_BYTES_MAX {
            return Err(SealError);
        }
        let mut payload = Vec::with_capacity(HEAD_LEN + self.kind.len() + self.id.len());
        payload.push(FORMAT);
        payload.extend_from_slice(&self.replica.0.to_be_bytes());
        payload.push(kind_len);
        payload.extend_from_slice(self.kind.as_bytes());
        payload.extend_from_slice(&self.id);
        ring.seal(Purpose::Peer, principal, &payload, expires)
    }

    /// Opens what [`seal`](Self::seal) made for the same principal. `now` in seconds since 1970, with 60 s of leeway.
    pub fn open(ring: &KeyRing, principal: &[u8; 32], sealed: &str, now: u64) -> Result<Self, Refused> {
        if sealed.len() > HANDLE_BYTES_MAX {
            return Err(Refused::malformed());
        }
        Self::parse(&ring.open(Purpose::Peer, principal, sealed, now)?).ok_or_else(Refused::malformed)
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        let (format, rest) = payload.split_first()?;
        let (replica, rest) = rest.split_first_chunk::<8>()?;
        let (kind_len, rest) = rest.split_first()?;
        let (kind, id) = rest.split_at_checked(usize::from(*kind_len))?;
        let kind = std::str::from_utf8(kind).ok()?;
        (*format == FORMAT).then(|| Self::new(ReplicaId(u64::from_be_bytes(*replica)), kind, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EXPIRES: u64 = 1_800_000_000;

    proptest! {
        #[test]
        fn a_handle_opens_as_it_was_sealed(replica: u64, kind in ".{0,40}", id in prop::collection::vec(any::<u8>(), 0..800), me: [u8; 32]) {
            let ring = KeyRing::new([("a", [7; 32])]).unwrap();
            let handle = Handle::new(ReplicaId(replica), &kind, &id);
            let sealed = handle.seal(&ring, &me, EXPIRES).unwrap();
            prop_assert!(sealed.len() <= HANDLE_BYTES_MAX);
            prop_assert_eq!(Handle::open(&ring, &me, &sealed, EXPIRES + 60).unwrap(), handle);
            prop_assert!(Handle::open(&ring, &me, &sealed, EXPIRES + 61).is_err());
            let mut other = me;
            other[31] ^= 1;
            prop_assert!(Handle::open(&ring, &other, &sealed, EXPIRES).is_err());
        }

        #[test]
        fn nonsense_is_no_handle(payload in prop::collection::vec(any::<u8>(), 0..40)) {
            let ring = KeyRing::new([("a", [7; 32])]).unwrap();
            let sealed = ring.seal(Purpose::Peer, &[0; 32], &payload, EXPIRES).unwrap();
            if let Ok(handle) = Handle::open(&ring, &[0; 32], &sealed, 0) {
                let again = handle.seal(&ring, &[0; 32], EXPIRES).unwrap();
                prop_assert_eq!(ring.open(Purpose::Peer, &[0; 32], &again, 0).unwrap(), payload);
            }
        }
    }

    #[test]
    fn a_session_token_is_no_handle() {
        let ring = KeyRing::new([("a", [7; 32])]).unwrap();
        let sealed = ring.seal(Purpose::Session, &[0; 32], &[FORMAT; 20], EXPIRES).unwrap();
        assert!(Handle::open(&ring, &[0; 32], &sealed, 0).is_err());
    }

    #[test]
    fn parts_that_are_too_long_are_not_sealed() {
        let ring = KeyRing::new([("0123456789abcdef", [7; 32])]).unwrap();
        let fits = Handle::new(ReplicaId(1), "k", &vec![0; PARTS_BYTES_MAX - 1]);
        assert!(fits.seal(&ring, &[0; 32], EXPIRES).unwrap().len() <= HANDLE_BYTES_MAX);
        assert!(
            Handle::new(ReplicaId(1), "k", &vec![0; PARTS_BYTES_MAX]).seal(&ring, &[0; 32], EXPIRES).is_err()
        );
        assert!(Handle::new(ReplicaId(1), &"k".repeat(256), &[]).seal(&ring, &[0; 32], EXPIRES).is_err());
    }
}
