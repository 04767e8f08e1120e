//! The other replicas of this gateway, as far as the configuration wants to know of them.

use crate::gateway::Gateway;
use crate::runtime::{BuildError, Runtime, Shared};
use holdfast_fronts::{Fronts, Owners};
use holdfast_mcp::Replica;
use holdfast_peers::{Parts, PeerView, Peers};
use holdfast_store::ServerView;
use holdfast_telemetry::metrics::PeerMetrics;
use serde_json::{Value, json};
use std::sync::Arc;

/// Begins to look for the others, if the configuration says how. Binds the port of the peer channel; waits for nobody.
pub(crate) fn start(
    runtime: &Runtime,
    shared: &Shared,
    fronts: &Arc<Fronts>,
) -> Result<Option<Arc<Peers>>, BuildError> {
    let config = &*runtime.config;
    if !config.ha.has_peers() {
        return Ok(None);
    }
    let parts = Parts {
        replica: shared.mcp.replica(),
        version: env!("CARGO_PKG_VERSION"),
        generation: runtime.generation,
        ring: Arc::clone(&runtime.ring),
        metrics: Arc::new(PeerMetrics::new(&shared.registry)),
        resolver: runtime.resolver(),
        owner: Owners::new(fronts, Arc::new(Replica::new(&shared.mcp))),
        control: shared.control.clone(),
    };
    let peers = Peers::start(&config.ha, parts)?;
    shared.mcp.join(Arc::clone(&peers));
    Ok(Some(peers))
}

impl Gateway {
    /// Gives the key ring of a snapshot, and its settings of the peer channel, to what replicas share. Settings that are refused change
    /// nothing.
    pub(crate) fn rekey(&self, runtime: &Runtime) -> Result<(), BuildError> {
        let ha = &runtime.config.ha;
        if let Some(peers) = self.peers.as_ref().filter(|_| ha.has_peers()) {
            peers.reload(ha, Arc::clone(&runtime.ring), runtime.generation)?;
        }
        self.shared.store.rekey(Arc::clone(&runtime.ring));
        Ok(())
    }

    /// `/status`: what replicas share, and whether they can.
    pub(crate) fn store(&self) -> Value {
        let view = self.shared.store.view();
        let Some(link) = &view.link else { return json!({ "mode": "memory" }) };
        let servers: Vec<Value> = link.servers.iter().map(server).collect();
        json!({
            "mode": link.mode,
            "servers": servers,
            "sockets": link.sockets,
            "pool_size": link.pool_size,
            "connections_made": link.generation,
            "feed_complete": view.feed_complete,
            "changes_pending": view.changes_pending,
            "advice": link.advice,
        })
    }

    /// `/status`: this replica and the others.
    pub(crate) fn replicas(&self) -> Value {
        let Some(peers) = &self.peers else { return Value::Null };
        let others: Vec<Value> = peers.view().iter().map(peer).collect();
        json!({
            "replica": peers.replica().to_string(),
            "name": peers.name(),
            "address": peers.address().to_string(),
            "others": others,
        })
    }
}

fn server(view: &ServerView) -> Value {
    json!({
        "address": view.address,
        "connected": view.connected,
        "role": view.role,
        "breaker": view.breaker,
        "version": view.version,
        "replicas": view.replicas,
        "last_error": view.last_error,
    })
}

fn peer(view: &PeerView) -> Value {
    json!({
        "address": view.address.to_string(),
        "state": view.state.as_str(),
        "replica": view.replica.map(|replica| replica.to_string()),
        "name": view.name,
        "region": view.region,
        "zone": view.zone,
        "version": view.version,
        "generation": view.generation,
        "since_seconds": view.since.as_secs(),
        "round_trip_ms": view.round_trip.map(|time| time.as_secs_f64() * 1e3),
        "last_error": view.last_error,
    })
}
