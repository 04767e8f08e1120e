//! An upstream: its endpoints and the policy to call them by.

use crate::{BuildError, Call, CallError, EndpointKey, Reply, Shared};
use holdfast_resilience::EndpointSnapshot;
use std::{net::SocketAddr, sync::Arc};

/// A named set of equal endpoints.
pub struct Upstream {
    name: Box<str>,
}

/// DNS, probes and sweeping of one upstream. Ends when dropped.
pub struct Background {}

/// One endpoint, for pinning, fan-out and the status page.
#[derive(Clone, Debug)]
pub struct EndpointView {
    /// Its stable name.
    pub key: EndpointKey,
    /// Where it is.
    pub address: SocketAddr,
    /// Relative share; 0 = drained.
    pub weight: u32,
    /// 0 is used first.
    pub priority: u8,
    /// Zone label.
    pub zone: Option<Arc<str>>,
    /// Phase, health, load.
    pub state: EndpointSnapshot,
}

impl Upstream {
    /// Builds an upstream. The endpoints of `previous` that stay keep their state and their connections.
    pub fn build(
        cfg: &holdfast_config::Upstream,
        _shared: &Arc<Shared>,
        _previous: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, BuildError> {
        Ok(Arc::new(Self { name: cfg.name.as_str().into() }))
    }

    /// Starts DNS re-resolution, probes and sweeping on the control runtime.
    pub fn start(self: &Arc<Self>, _control: &tokio::runtime::Handle) -> Background {
        Background {}
    }

    /// Makes as many attempts as policy, safety and deadline allow. Cancel safe: dropping it gives everything back.
    pub async fn send(&self, _call: Call) -> Result<Reply, CallError> {
        Err(CallError::NoEndpoint { upstream: self.name.clone(), reason: "empty", retry_after: None })
    }

    /// The name in metrics and logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every endpoint, in the order of the configuration.
    pub fn endpoints(&self) -> Vec<EndpointView> {
        Vec::new()
    }
}
