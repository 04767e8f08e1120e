//! State that replicas share: in memory of one process, or on Redis (one server, Sentinel, Cluster).
//!
//! The room knows nothing of MCP: sessions are 16 bytes, payloads are opaque. What a caller answers when an operation fails is
//! the caller's own decision, written down in `docs/decisions/0009-shared-state.md`.

pub mod activity;
mod error;
mod memory;
mod redis;
mod seam;
mod sinks;
mod store;

pub use error::{BuildError, StoreError, StoreErrorKind};
pub use redis::{LinkView, ServerView, reference_page};
pub use seam::{
    Activity, Answer, Append, Appended, Change, Claimed, Due, ENTRY_BYTES_MAX, Entry, Epoch, EventLog,
    Journal, LEASE_TTL, LastUsed, Lease, Limits, NUMBER_MAX, Name, Opened, Owner, Page, PageLimit,
    PeerRegistry, QuotaLedger, RESERVE_PER_MILLE, ReplicaId, Revocations, Sequence, SessionId, SharedCache,
    Sink, Stream, Swapped, Touch, Want,
};
pub use store::{Feed, Store, StoreView};
