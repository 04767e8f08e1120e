//! `/status`: what an operator asks first, as JSON.

use crate::{
    gateway::Gateway,
    runtime::{Runtime, UpstreamKind},
};
use holdfast_links::{LinkView, Links, LinksView};
use holdfast_resilience::Phase;
use holdfast_upstream::EndpointKey;
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
        let views: Vec<_> = runtime.links.iter().map(|links| (links, links.view())).collect();
        let programs = views.iter().filter_map(|(links, view)| {
            let mut shown = program(links, view, now)?;
            shown["tools"] = tools(&runtime, links.name());
            Some(shown)
        });
        let upstreams: Vec<Value> = runtime
            .upstreams
            .iter()
            .map(|(kind, upstream)| {
                let endpoints: Vec<Value> =
                    upstream.endpoints().iter().map(|view| endpoint(view, now)).collect();
                let mut shown =
                    json!({ "name": upstream.name(), "kind": kind.as_str(), "endpoints": endpoints });
                if *kind == UpstreamKind::Mcp {
                    shown["tools"] = tools(&runtime, upstream.name());
                }
                let links = (*kind == UpstreamKind::Mcp)
                    .then(|| views.iter().find(|(links, _)| links.name() == upstream.name()));
                if let Some((_, view)) = links.flatten() {
                    shown["links"] = linked(view);
                    shown["links_opened"] = view.opened.into();
                }
                shown
            })
            .chain(programs)
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

/// What was seen of a server's tools, and which of them its pins keep from everybody.
fn tools(runtime: &Runtime, server: &str) -> Value {
    let Some(view) = runtime.tools(server) else { return Value::Null };
    json!({ "known": view.known, "changed": view.changed, "pinned": view.pinned, "withheld": view.withheld })
}

/// The links of a server.
fn linked(view: &LinksView) -> Value {
    let link = |link: &LinkView| {
        json!({
            "link": link.label,
            "endpoint": link.endpoint.as_str(),
            "session": link.session,
            "in_flight": link.in_flight,
            "age_seconds": link.age.as_secs(),
        })
    };
    view.links.iter().map(link).collect()
}

/// A server that is a program, with its processes. `None` for one that has an upstream.
fn program(links: &Links, view: &LinksView, now: Instant) -> Option<Value> {
    let phase = view.state.as_ref()?.phase;
    let until = match phase {
        Phase::Refusing { until } => Some(until.saturating_duration_since(now).as_secs_f64()),
        Phase::Admitting | Phase::Probing => None,
    };
    let endpoint = |key: &EndpointKey| json!({ "endpoint": key.as_str(), "breaker": breaker(phase), "retry_after_seconds": until });
    Some(json!({
        "name": links.name(),
        "kind": "mcp",
        "endpoints": links.endpoints().iter().map(endpoint).collect::<Value>(),
        "links": linked(view),
        "links_opened": view.opened,
    }))
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
