//! What the sealed tokens hold.
//!
//! The `Mcp-Session-Id` of a legacy session *is* the session: any replica with the key ring opens it and goes on. The
//! caller is not inside but bound: server and principal are part of what is authenticated, so a token of somebody else
//! fails like a forged one.

mod binding;
mod codec;
mod ending;
mod handle;
mod logged;
mod merged;
mod session;

#[cfg(test)]
mod tests;

pub use binding::BindingRecord;
pub use ending::EndingRecord;
pub use handle::{EventId, Handle};
pub use logged::{LoggedEvent, StreamRecord};
pub use merged::{MemberPart, MemberTag, MergedToken, member_uid};
pub use session::{SEALED_BYTES_MAX, Sealed, SessionToken, SessionUid};

pub(crate) use codec::{Reader, Writer};

use aws_lc_rs::digest;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970, in which tokens count.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// From when on (seconds since 1970) a token that expires at `expires` opens nowhere any more, not even where a clock is behind. Until
/// then it must be remembered that its session has ended.
pub(crate) fn refused_from(expires: u64) -> u64 {
    expires.saturating_add(crate::seal::LEEWAY_SECONDS).saturating_add(1)
}

/// Names an endpoint inside a token: the first 16 bytes of the SHA-256 of its key. Tokens must not tell addresses even
/// to whoever holds the ring, and keys of endpoints have no bound on their length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EndpointTag(pub [u8; 16]);

impl EndpointTag {
    /// The tag of an endpoint's stable key.
    pub fn of(endpoint_key: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, endpoint_key.as_bytes());
        let mut tag = [0; 16];
        tag.copy_from_slice(&hash.as_ref()[..16]);
        Self(tag)
    }
}

/// Whom a token is for: it opens for nobody else.
#[derive(Clone, Copy, Debug)]
pub struct Audience<'a> {
    /// Name of the MCP server in the configuration.
    pub server: &'a str,
    /// `Principal::binding()`
    pub principal: &'a [u8; 32],
}

impl Audience<'_> {
    /// As associated data. Unambiguous: the principal has a fixed length.
    pub(crate) fn context(&self) -> Vec<u8> {
        [self.principal.as_slice(), self.server.as_bytes()].concat()
    }
}

/// Why a token cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It would be longer than a header may be: the server's own session id is too long.
    #[error("the session token would exceed {SEALED_BYTES_MAX} bytes: the server's session id is too long")]
    TooLong,
    /// The cipher failed.
    #[error(transparent)]
    Seal(#[from] crate::seal::SealError),
}
