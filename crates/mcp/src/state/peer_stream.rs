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
