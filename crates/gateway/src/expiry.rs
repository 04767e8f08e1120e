//! The end of sessions whose time is over: where that meets the current snapshot.

use crate::gateway::Gateway;
use crate::runtime::Shared;
use holdfast_mcp::Expiry;
use holdfast_telemetry::metrics::ExpiryMetrics;
use std::sync::Arc;

/// Begins to note uses of sessions and to end those whose time is over, at the servers of whatever snapshot is current then. Does not
/// keep the gateway alive.
pub(crate) fn start(gateway: &Arc<Gateway>) -> Expiry {
    let Shared { mcp, registry, control, .. } = &gateway.shared;
    let weak = Arc::downgrade(gateway);
    let reach = move |server: &str| weak.upgrade()?.runtime().reach(server);
    Expiry::start(control, mcp, ExpiryMetrics::new(registry), reach)
}
