//! `/status`: what an operator asks first, as JSON.

use crate::gateway::Gateway;
use holdfast_resilience::Phase;
use serde_json::{Value, json};
use std::time::Instant;

impl Gateway {
    /// A picture of this moment. Reading it changes nothing.
    pub(crate) fn status(&self) -> Value {
        let runtime = self.runtime();
        let now = Instant::now();
        let listeners: Vec<Value> = self
            .listeners
            .iter()
            .map(|(name, address)| json!({ "name": name, "address": address.to_string() }))
            .collect();
        let upstreams: Vec<Value> = runtime
            .upstreams
            .iter()
            .map(|(kind, upstream)| {
                let endpoints: Vec<Value> =
                    upstream.endpoints().iter().map(|view| endpoint(view, now)).collect();
                json!({ "name": upstream.name(), "kind": kind.as_str(), "endpoints": endpoints })
            })
            .collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "phase": self.phase_name(),
            "generation": runtime.generation,
            "uptime_seconds": self.started.elapsed().as_secs(),
            "region": runtime.config.ha.region,
            "zone": runtime.config.ha.zone,
            "listeners": listeners,
            "replicas": self.replicas(),
            "store": self.store(),
            "upstreams": upstreams,
        })
    }
}

fn endpoint(view: &holdfast_upstream::EndpointView, now: Instant) -> Value {
    let state = &view.state;
    let breaker = match state.phase {
        Phase::Admitting => "closed",
        Phase::Refusing { .. } => "open",
        Phase::Probing => "half_open",
    };
    json!({
        "endpoint": view.key.as_str(),
        "address": view.address.map(|address| address.to_string()),
        "weight": view.weight,
        "priority": view.priority,
        "zone": view.zone,
        "breaker": breaker,
        "health": if state.ejected_until.is_some_and(|until| until > now) { "ejected" } else if state.healthy { "healthy" } else { "unhealthy" },
        "in_flight": state.in_flight,
        "latency_ms": state.latency.map(|latency| latency.as_secs_f64() * 1e3),
    })
}
