//! How one replica names to another a stream that the other carries.

use super::streams::StreamId;
use crate::token::SessionUid;
use bytes::Bytes;
use holdfast_peers::{Asked, Handle, ReplicaId};
use http::HeaderName;

const KIND: &str = "stream";
const UID_BYTES: usize = 16;

/// A stream, and from where on it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerStream {
    pub(crate) session: SessionUid,
    pub(crate) stream: StreamId,
    /// The next event; `None` = the first that nobody has read.
    pub(crate) position: Option<u64>,
}

impl PeerStream {
    /// What is asked for.
    pub(crate) const WHAT: &str = "events";
    /// Header of an answer whose stream ends when the gateway that writes it to the client drains.
    pub(crate) const LISTENING: HeaderName = HeaderName::from_static("mcp-listening");

    /// The thing, to be sealed.
    pub(crate) fn handle(&self, owner: ReplicaId) -> Handle {
        Handle::new(owner, KIND, &[self.session.0.as_slice(), &self.stream.0.to_be_bytes()].concat())
    }

    /// The place in it.
    pub(crate) fn place(&self) -> Bytes {
        self.position.map_or_else(Bytes::new, |position| Bytes::copy_from_slice(&position.to_be_bytes()))
    }

    /// What was asked for; `None` if it is nothing of this kind.
    pub(crate) fn read(asked: &Asked) -> Option<Self> {
        if &*asked.what != Self::WHAT || &*asked.handle.kind != KIND {
            return None;
        }
        let (session, stream) = asked.handle.id.split_first_chunk::<UID_BYTES>()?;
        let stream = StreamId(u64::from_be_bytes(stream.try_into().ok()?));
        let position = match &*asked.body {
            [] => None,
            bytes => Some(u64::from_be_bytes(bytes.try_into().ok()?)),
        };
        Some(Self { session: SessionUid(*session), stream, position })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Instant;

    fn asked(what: &str, handle: Handle, body: Bytes) -> Asked {
        let (from, principal) = (ReplicaId(1), [0; 32]);
        Asked { from, what: what.into(), handle, principal, until: Instant::now(), body }
    }

    proptest! {
        #[test]
        fn a_stream_is_read_as_it_was_named(session: [u8; 16], stream: u64, position: Option<u64>) {
            let named = PeerStream { session: SessionUid(session), stream: StreamId(stream), position };
            let asked = asked(PeerStream::WHAT, named.handle(ReplicaId(2)), named.place());
            prop_assert_eq!(PeerStream::read(&asked), Some(named));
        }

        #[test]
        fn nonsense_names_no_stream(kind in "stream|other", id in prop::collection::vec(any::<u8>(), 0..40), body in prop::collection::vec(any::<u8>(), 0..12)) {
            let asked = asked(PeerStream::WHAT, Handle::new(ReplicaId(2), &kind, &id), body.clone().into());
            if let Some(named) = PeerStream::read(&asked) {
                prop_assert_eq!(&*kind, KIND);
                prop_assert_eq!(named.handle(ReplicaId(2)).id, id);
                prop_assert_eq!(named.place(), body);
            }
        }
    }
}
