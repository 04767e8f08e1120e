//! State that replicas share: in memory of one process, or on Redis (one server, Sentinel, Cluster).
//!
//! The room knows nothing of MCP: sessions are 16 bytes, payloads are opaque. What a caller answers when an operation fails is
//! the caller's own decision, written down in `docs/decisions/0009-shared-state.md`.

mod error;
mod redis;

pub use error::{BuildError, StoreError, StoreErrorKind};
