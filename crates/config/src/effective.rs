//! From what is given to what is in force: inheritance field by field (upstream, `routing`, root), then defaults.

pub(crate) mod redis;
pub(crate) mod tracing;

use crate::{
    canonical::walk,
    decode::{default_value, join},
    diagnostic::Draft,
    schema::{Def, Kind, POLICY},
    value::{BlockVal, Data, Origin, Val},
};
use std::time::Duration;

const MINIMUM_CALLS: u64 = 20;
const WINDOW_CALLS: u64 = 100;
const WINDOW: Duration = Duration::from_secs(10);
const LONGEST_OPEN: Duration = Duration::from_mins(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
const MAX_IDLE: u64 = 64;
const SLOW_START: Duration = Duration::from_secs(30);
/// Fewer endpoints than this start at full weight: there is nobody to take over meanwhile.
const SLOW_START_ENDPOINTS: usize = 3;

/// Makes every field present that has a value.
pub(crate) fn effective(root: &mut BlockVal, drafts: &mut Vec<Draft>) {
    inherit(root);
    fill(root, "", drafts);
    walk(root, "", &mut |block, _| settle(block));
    across(root);
}

fn inherit(root: &mut BlockVal) {
    for name in ["circuit_breaker", "retry"] {
        let Some(given) = root.block(name).cloned() else { continue };
        if let Some(block) = root.reach(&["routing", name]) {
            overlay(block, &given, if name == "retry" { "retry" } else { "circuit_breaker" });
        }
    }
    redis::inherit(root);
    let Some(mut routing) = root.block("routing").cloned() else { return };
    routing.fields.retain(|name, _| POLICY.iter().any(|key| key.name == *name));
    for upstream in upstreams(root) {
        overlay(upstream, &routing, "routing");
    }
}

/// Every upstream block: MCP servers and HTTP routes.
fn upstreams(root: &mut BlockVal) -> Vec<&mut BlockVal> {
    let mut lists: Vec<&mut [Val]> = Vec::new();
    for (name, val) in &mut root.fields {
        match *name {
            "mcp" => lists.extend(val.block_mut().map(|mcp| mcp.list_mut("servers"))),
            "apis" => {
                if let Data::List(apis) = &mut val.data {
                    lists.push(apis);
                }
            }
            _ => {}
        }
    }
    lists.into_iter().flatten().filter_map(Val::block_mut).collect()
}

/// Takes from `parent` what `block` does not have.
fn overlay(block: &mut BlockVal, parent: &BlockVal, from: &'static str) {
    for (name, val) in &parent.fields {
        if block.refused.contains(name) {
            continue;
        }
        let Some(key) = block.schema.key(name) else { continue };
        match (block.fields.get_mut(name), val.block()) {
            (None, None) => {
                let mut val = val.clone();
                val.origin = inherited(val.origin, from);
                block.fields.insert(key.name, val);
            }
            (None, Some(inner)) => {
                let mut fresh = BlockVal::new(inner.schema, val.at);
                overlay(&mut fresh, inner, from);
                let origin = inherited(val.origin, from);
                block.fields.insert(key.name, Val { at: val.at, ..Val::derived(Data::Block(fresh), origin) });
            }
            (Some(own), Some(inner)) => {
                if let Some(own) = own.block_mut() {
                    overlay(own, inner, from);
                }
            }
            (Some(_), None) => {}
        }
    }
}

/// What `routing` itself took from the root keeps that name.
fn inherited(origin: Origin, from: &'static str) -> Origin {
    if let Origin::Inherited(name) = origin { Origin::Inherited(name) } else { Origin::Inherited(from) }
}

fn fill(block: &mut BlockVal, path: &str, drafts: &mut Vec<Draft>) {
    for key in block.schema.keys() {
        if block.mentions(key.name) {
            continue;
        }
        match (key.default, key.kind) {
            (Def::Required, _) => drafts.push(Draft::error(
                join(path, key.name),
                block.at,
                format!("`{}` is missing: {}", key.name, key.doc.trim_end_matches('.')),
            )),
            (Def::Empty, Kind::Block(schema)) => {
                let inner = Data::Block(BlockVal::new(schema, None));
                block.fields.insert(key.name, Val::derived(inner, Origin::Default));
            }
            _ => {
                if let Some(data) = default_value(key) {
                    block.fields.insert(key.name, Val::derived(data, Origin::Default));
                }
            }
        }
    }
    let is_root = path.is_empty();
    for (name, val) in &mut block.fields {
        // The two root blocks are only inherited from; what is in force stands in `routing`.
        if is_root && matches!(*name, "circuit_breaker" | "retry") {
            continue;
        }
        let path = join(path, name);
        match &mut val.data {
            Data::Block(inner) => fill(inner, &path, drafts),
            Data::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    if let Some(inner) = item.block_mut() {
                        fill(inner, &format!("{path}[{index}]"), drafts);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Defaults that depend on other keys of the same block, and inherited keys that the block's type does not use.
fn settle(block: &mut BlockVal) {
    match block.schema.name {
        "circuit_breaker" if block.fields.contains_key("timeout") => settle_breaker(block),
        "retry" => at_least(block, "max_delay", LONGEST_PAUSE, "initial_delay"),
        "outlier_detection" => at_least(block, "max_ejection_time", LONGEST_OPEN, "base_ejection_time"),
        "health_check" => {
            let http = block.mentions("path");
            derive(block, "type", Data::Word(if http { "http" } else { "tcp" }));
            if block.word("type") == Some("tcp") {
                block.fields.remove("path");
            }
        }
        "connection_pool" => {
            let size = block.int("max_size").unwrap_or(MAX_IDLE);
            derive(block, "max_idle", Data::Int(MAX_IDLE.min(size)));
        }
        "auth" => derive(block, "type", Data::Word("none")),
        "auth.jwt.keys[]" if block.mentions("secret_key") || block.mentions("secret_key_file") => {
            derive(block, "algorithm", Data::Word("HS256"));
        }
        "redis" => redis::settle(block),
        "observability.tracing" => tracing::settle(block),
        "sessions" => {
            let shared = block.mentions("redis");
            derive(block, "type", Data::Word(if shared { "redis" } else { "memory" }));
        }
        _ => {}
    }
}

fn settle_breaker(block: &mut BlockVal) {
    at_least(block, "max_timeout", LONGEST_OPEN, "timeout");
    let Some(window) = block.block_mut("sliding_window") else { return };
    derive(window, "type", Data::Word("time_based"));
    let mut calls = MINIMUM_CALLS;
    if window.word("type") == Some("count_based") {
        window.fields.remove("duration");
        derive(window, "size", Data::Int(WINDOW_CALLS));
        calls = calls.min(window.int("size").unwrap_or(calls));
    } else {
        window.fields.remove("size");
        derive(window, "duration", Data::Duration(WINDOW));
    }
    if let Some(thresholds) = block.block_mut("thresholds") {
        derive(thresholds, "minimum_calls", Data::Int(calls));
    }
}

/// Defaults that come from another block.
fn across(root: &mut BlockVal) {
    let ssl = root.block("ssl_configuration").cloned();
    let body =
        root.block("server").and_then(|server| server.get("max_body_bytes")).map(|val| val.data.clone());
    let slow_start = root.block("routing").and_then(|routing| routing.duration("slow_start"));
    walk(root, "", &mut |block, _| match block.schema.name {
        "tls (server)" => {
            for name in ["minimum_version", "preferred_ciphers"] {
                if let Some(val) = ssl.as_ref().and_then(|ssl| ssl.get(name)) {
                    derive(block, name, val.data.clone());
                }
            }
        }
        "apis[]" => {
            if let Some(body) = &body {
                derive(block, "max_body_bytes", body.clone());
            }
        }
        _ => {}
    });
    for upstream in upstreams(root) {
        let many = upstream.list("endpoints").len() >= SLOW_START_ENDPOINTS;
        let own = if many { SLOW_START } else { Duration::ZERO };
        derive(upstream, "slow_start", Data::Duration(slow_start.unwrap_or(own)));
    }
}

/// Sets a key that is not given.
fn derive(block: &mut BlockVal, name: &str, data: Data) {
    if !block.mentions(name) {
        block.set(name, Val::derived(data, Origin::Default));
    }
}

/// A longest time that is not given is never below the time that it bounds.
fn at_least(block: &mut BlockVal, name: &str, usual: Duration, bounded: &str) {
    let floor = block.duration(bounded).unwrap_or(usual);
    derive(block, name, Data::Duration(usual.max(floor)));
}
