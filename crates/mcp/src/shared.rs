//! What all requests of a snapshot share: below the drivers, so that they need not know the entry.

use crate::{frame::Limits, origin::OriginPolicy, seal::KeyRing, state::McpState};
use std::{sync::Arc, time::Duration};

/// What all requests of a snapshot share.
pub(crate) struct Shared {
    pub(crate) ring: Arc<KeyRing>,
    pub(crate) state: Arc<McpState>,
    pub(crate) session_ttl: Duration,
    pub(crate) keep_alive: Duration,
    pub(crate) response_max: usize,
    /// Of all answers together.
    pub(crate) responses_max: usize,
    pub(crate) origins: OriginPolicy,
    pub(crate) path: String,
    pub(crate) message: Limits,
    pub(crate) batch_max: usize,
}
