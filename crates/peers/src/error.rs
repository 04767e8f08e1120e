//! What can go wrong between replicas.

use crate::ReplicaId;
use holdfast_upstream::BoxError;
use std::{io, net::SocketAddr};

/// Why an ask has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// No replica of this id has been seen. Nothing was sent.
    #[error("replica {0} is not known here")]
    Unknown(ReplicaId),
    /// The replica is dead, or died before the head of its answer.
    #[error("replica {replica} is dead")]
    Dead {
        /// The replica.
        replica: ReplicaId,
        /// Whether it may have seen the question.
        sent: bool,
    },
    /// No head of an answer in time; the replica may still have seen the question.
    #[error("replica {0} did not answer in time")]
    Timeout(ReplicaId),
    /// The owner's answer broke off before its head was here.
    #[error("the answer of replica {0} broke off")]
    Torn(ReplicaId),
    /// The question is not in order.
    #[error("the question was refused: {0}")]
    Refused(Refusal),
    /// A question may not lead to another one.
    #[error("an asked replica must not ask")]
    Looped,
    /// A limit is reached.
    #[error("too many questions under way: {0}")]
    Overloaded(PeerLimit),
}

impl PeerError {
    /// Whether the other replica may have begun to act. `false` is exact.
    pub fn sent(&self) -> bool {
        matches!(self, Self::Dead { sent: true, .. } | Self::Timeout(_) | Self::Torn(_))
    }
}

/// Why an owner, or this replica before sending, refuses a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The handle does not open for this principal: forged, expired, of another principal, of another key ring.
    #[error("the handle is not valid here")]
    Handle,
    /// The handle names another process.
    #[error("the handle names another replica")]
    NotOwner,
    /// The nonce was seen before.
    #[error("the question came twice")]
    Replayed,
    /// `ha.peer_channel.max_nonces`.
    #[error("no room to remember the question (ha.peer_channel.max_nonces)")]
    WindowFull,
    /// `ha.peer_channel.max_ask_bytes`, at either side.
    #[error("its body is too large (ha.peer_channel.max_ask_bytes)")]
    TooLarge,
    /// Not well formed.
    #[error("it is malformed")]
    Malformed,
    /// The two sides do not understand each other.
    #[error("the replicas speak different versions of the protocol")]
    Protocol,
}

impl Refusal {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Handle, "handle"),
        (Self::NotOwner, "not_owner"),
        (Self::Replayed, "replayed"),
        (Self::WindowFull, "window_full"),
        (Self::TooLarge, "too_large"),
        (Self::Malformed, "malformed"),
        (Self::Protocol, "protocol"),
    ];

    /// One word, as it travels and as it is logged.
    pub fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(refusal, _)| *refusal == self).map_or("protocol", |(_, word)| word)
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == word).map(|(refusal, _)| refusal)
    }
}

/// Which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerLimit {
    /// All questions of this replica.
    #[error("ha.peer_channel.max_asks")]
    Asks,
    /// Those to one replica.
    #[error("ha.peer_channel.max_asks_per_peer")]
    AsksPerPeer,
    /// The owner's own limit.
    #[error("ha.peer_channel.max_asks of the asked replica")]
    Owner,
}

/// Why there is no peer channel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Discovery is off, or there are no credentials.
    #[error("ha.peer_discovery is off or ha.peer_channel has neither tls nor psk")]
    Off,
    /// A key, certificate or file cannot be used.
    #[error("ha.peer_channel: {what}: {source}")]
    Credentials {
        /// Which.
        what: String,
        /// Cause. Never holds a secret.
        source: BoxError,
    },
    /// The address cannot be bound.
    #[error("ha.peer_channel: cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Cause.
        source: io::Error,
    },
}
