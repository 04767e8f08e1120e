//! The session token.

use super::codec::{Reader, Writer};
use super::{Audience, EndpointTag, TokenError};
use crate::era::Version;
use crate::ids::Epoch;
use crate::seal::{KeyRing, Purpose, Refused};
use bytes::Bytes;

/// Longest `Mcp-Session-Id` that is issued.
pub const SEALED_BYTES_MAX: usize = 2048;
const LAYOUT: u8 = 1;

/// Names a session for its whole life, across re-bindings and replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionUid(pub [u8; 16]);

impl SessionUid {
    /// A random one, from the system.
    pub fn random() -> Result<Self, TokenError> {
        let mut uid = [0; 16];
        aws_lc_rs::rand::fill(&mut uid).map_err(|_| TokenError::Seal(crate::seal::SealError))?;
        Ok(Self(uid))
    }
}

/// A legacy session, as its client carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionToken {
    /// Which session.
    pub uid: SessionUid,
    /// Which binding to an upstream session; grows with every re-binding.
    pub epoch: Epoch,
    /// Negotiated version.
    pub version: Version,
    /// The endpoint that holds the upstream session.
    pub endpoint: EndpointTag,
    /// The server's `Mcp-Session-Id`; None when it gave none.
    pub upstream_session: Option<String>,
    /// Seconds since 1970.
    pub issued: u64,
    /// Seconds since 1970; absolute.
    pub expires: u64,
    /// Raw `params` of `initialize` (version, client info, capabilities), so that a re-binding can repeat it. None
    /// when they did not fit: such a session cannot be re-bound by a replica that does not remember them.
    pub initialize: Option<Bytes>,
}

/// A sealed session.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The `Mcp-Session-Id`.
    pub token: String,
    /// Holds the `initialize` params.
    pub replayable: bool,
}

impl SessionToken {
    /// Seals into at most [`SEALED_BYTES_MAX`] bytes. The `initialize` params are left out when they do not fit.
    pub fn seal(&self, ring: &KeyRing, audience: Audience<'_>) -> Result<Sealed, TokenError> {
        let room = ring.payload_max(SEALED_BYTES_MAX);
        let mut payload = self.encode(self.initialize.as_deref());
        let mut replayable = self.initialize.is_some();
        if payload.len() > room {
            payload = self.encode(None);
            replayable = false;
        }
        if payload.len() > room {
            return Err(TokenError::TooLong);
        }
        let token = ring.seal(Purpose::Session, &audience.context(), &payload, self.expires)?;
        Ok(Sealed { token, replayable })
    }

    /// Opens what [`seal`](Self::seal) made for the same audience. `now` in seconds since 1970.
    pub fn open(ring: &KeyRing, audience: Audience<'_>, token: &str, now: u64) -> Result<Self, Refused> {
        // Far longer than any that was issued: not worth the cipher.
        if token.len() > SEALED_BYTES_MAX {
            return Err(Refused::malformed());
        }
        let payload = ring.open(Purpose::Session, &audience.context(), token, now)?;
        Self::decode(&payload).ok_or(Refused::malformed())
    }

    fn encode(&self, initialize: Option<&[u8]>) -> Vec<u8> {
        Writer::new(LAYOUT)
            .fixed(&self.uid.0)
            .fixed(&self.epoch.0.to_be_bytes())
            .fixed(&[self.version as u8])
            .fixed(&self.endpoint.0)
            .fixed(&self.issued.to_be_bytes())
            .fixed(&self.expires.to_be_bytes())
            .option(self.upstream_session.as_deref().map(str::as_bytes))
            .option(initialize)
            .finish()
    }

    /// None for anything that [`encode`](Self::encode) cannot have made. Never panics.
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload, LAYOUT)?;
        let token = Self {
            uid: SessionUid(reader.fixed()?),
            epoch: Epoch(u32::from_be_bytes(reader.fixed()?)),
            version: Version::from_number(reader.fixed::<1>()?[0])?,
            endpoint: EndpointTag(reader.fixed()?),
            issued: u64::from_be_bytes(reader.fixed()?),
            expires: u64::from_be_bytes(reader.fixed()?),
            upstream_session: match reader.option()? {
                Some(bytes) => Some(Reader::text(bytes)?),
                None => None,
            },
            initialize: reader.option()?.map(Bytes::copy_from_slice),
        };
        reader.end()?;
        Some(token)
    }

    /// For the fuzzer: what decodes must encode to the same bytes.
    pub(crate) fn encode_all(&self) -> Vec<u8> {
        self.encode(self.initialize.as_deref())
    }
}

/// The token is a bearer secret: only its length shows.
impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealed")
            .field("token_bytes", &self.token.len())
            .field("replayable", &self.replayable)
            .finish()
    }
}
