//! Handles: a server's own identifier, wrapped with the endpoint it belongs to.

use super::codec::{Reader, Writer};
use super::session::SessionUid;
use super::{Audience, EndpointTag, TokenError};
use crate::ids::Epoch;
use crate::seal::{KeyRing, Purpose, Refused};
use bytes::Bytes;
use holdfast_store::ReplicaId;

const LAYOUT: u8 = 1;
/// Of event ids.
const EVENT_LAYOUT: u8 = 2;

/// A `requestState`, task id or cursor of a server: it leads back to the endpoint that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle {
    /// The endpoint that made it.
    pub endpoint: EndpointTag,
    /// What the server gave, exactly.
    pub original: String,
}

impl Handle {
    /// Seals until `expires` (seconds since 1970). `purpose` is `RequestState`, `Task` or `Cursor`.
    pub fn seal(
        &self,
        ring: &KeyRing,
        purpose: Purpose,
        audience: Audience<'_>,
        expires: u64,
    ) -> Result<String, TokenError> {
        let payload = self.encode();
        Ok(ring.seal(purpose, &audience.context(), &payload, expires)?)
    }

    /// Opens what [`seal`](Self::seal) made for the same purpose and audience.
    pub fn open(
        ring: &KeyRing,
        purpose: Purpose,
        audience: Audience<'_>,
        token: &str,
        now: u64,
    ) -> Result<Self, Refused> {
        let payload = ring.open(purpose, &audience.context(), token, now)?;
        Self::decode(&payload).ok_or(Refused::malformed())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::new(LAYOUT).fixed(&self.endpoint.0).bytes(self.original.as_bytes()).finish()
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload, LAYOUT)?;
        let endpoint = EndpointTag(reader.fixed()?);
        let original = Reader::text(reader.bytes()?)?;
        reader.end()?;
        Some(Self { endpoint, original })
    }
}

/// The id of one SSE event: enough to find the stream and the place in it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventId {
    /// Which session.
    pub session: SessionUid,
    /// Which stream of the session.
    pub stream: u64,
    /// Number of the event in the stream.
    pub sequence: u64,
    /// Binding under which it was made.
    pub epoch: Epoch,
    /// The server's own event id, when it gave one: resuming there needs it.
    pub upstream: Option<String>,
    /// The replica that carried the stream then.
    pub replica: ReplicaId,
    /// Raw id of the request whose answer ends the stream; None on a stream without one.
    pub awaiting: Option<Bytes>,
}

impl EventId {
    /// Seals until `expires` (seconds since 1970).
    pub fn seal(&self, ring: &KeyRing, audience: Audience<'_>, expires: u64) -> Result<String, TokenError> {
        Ok(ring.seal(Purpose::EventId, &audience.context(), &self.encode(), expires)?)
    }

    /// Opens what [`seal`](Self::seal) made for the same audience and session: "event ids are unique per session".
    pub fn open(
        ring: &KeyRing,
        audience: Audience<'_>,
        session: SessionUid,
        token: &str,
        now: u64,
    ) -> Result<Self, Refused> {
        let payload = ring.open(Purpose::EventId, &audience.context(), token, now)?;
        Self::decode(&payload).filter(|id| id.session == session).ok_or(Refused::malformed())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::new(EVENT_LAYOUT)
            .fixed(&self.session.0)
            .fixed(&self.stream.to_be_bytes())
            .fixed(&self.sequence.to_be_bytes())
            .fixed(&self.epoch.0.to_be_bytes())
            .option(self.upstream.as_deref().map(str::as_bytes))
            .fixed(&self.replica.0.to_be_bytes())
            .option(self.awaiting.as_deref())
            .finish()
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload, EVENT_LAYOUT)?;
        let id = Self {
            session: SessionUid(reader.fixed()?),
            stream: u64::from_be_bytes(reader.fixed()?),
            sequence: u64::from_be_bytes(reader.fixed()?),
            epoch: Epoch(u32::from_be_bytes(reader.fixed()?)),
            upstream: match reader.option()? {
                Some(bytes) => Some(Reader::text(bytes)?),
                None => None,
            },
            replica: ReplicaId(u64::from_be_bytes(reader.fixed()?)),
            awaiting: reader.option()?.map(Bytes::copy_from_slice),
        };
        reader.end()?;
        Some(id)
    }
}
