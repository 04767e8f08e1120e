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
        let links =
            runtime.links.iter().map(|links| linked(links.name(), &links.view(), links.endpoint(), now));
        let upstreams: Vec<Value> = runtime
            .upstreams
            .iter()
            .map(|(kind, upstream)| {
                let endpoints: Vec<Value> =
                    upstream.endpoints().iter().map(|view| endpoint(view, now)).collect();
                json!({ "name": upstream.name(), "kind": kind.as_str(), "endpoints": endpoints })
            })
            .chain(links)
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

/// A server that is reached over links: a program with its processes.
fn linked(
    name: &str,
    view: &holdfast_links::LinksView,
    key: &holdfast_upstream::EndpointKey,
    now: Instant,
) -> Value {
    let links: Vec<Value> = view
        .links
        .iter()
        .map(|link| {
            json!({
                "link": link.label,
                "session": link.session,
                "in_flight": link.in_flight,
                "age_seconds": link.age.as_secs(),
            })
        })
        .collect();
    let until = match view.state.phase {
        Phase::Refusing { until } => Some(until.saturating_duration_since(now).as_secs_f64()),
        Phase::Admitting | Phase::Probing => None,
    };
    json!({
        "name": name,
        "kind": "mcp",
        "endpoints": [{ "endpoint": key.as_str(), "breaker": breaker(view.state.phase), "retry_after_seconds": until }],
        "links": links,
        "links_opened": view.opened,
    })
}

fn breaker(phase: Phase) -> &'static str {
    match phase {
        Phase::Admitting => "closed",
        Phase::Refusing { .. } => "open",
        Phase::Probing => "half_open",
    }
}

fn endpoint(view: &holdfast_upstream::EndpointView, now: Instant) -> Value {
    let state = &view.state;
    json!({
        "endpoint": view.key.as_str(),
        "address": view.address.map(|address| address.to_string()),
        "weight": view.weight,
        "priority": view.priority,
        "zone": view.zone,
        "breaker": breaker(state.phase),
        "health": if state.ejected_until.is_some_and(|until| until > now) { "ejected" } else if state.healthy { "healthy" } else { "unhealthy" },
        "in_flight": state.in_flight,
        "latency_ms": state.latency.map(|latency| latency.as_secs_f64() * 1e3),
    })
}
