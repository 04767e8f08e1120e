//! Limits of MCP servers and of single tools.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{load_text, refused};
use holdfast_config::Role;
use std::time::Duration;

fn with(keys: &str) -> String {
    format!("mcp: {{max_message_bytes: 1MiB, servers: [{{name: git, endpoints: 'http://h', {keys}}}]}}")
}

#[test]
fn a_limit_that_could_never_be_reached_is_an_error() {
    for (keys, part) in [
        ("max_request_bytes: 2MiB", "is above `mcp.max_message_bytes`"),
        ("max_response_bytes: 1GiB", "is above `mcp.max_response_bytes`"),
        ("tools: [{match: a, max_request_bytes: 2MiB}]", "mcp.servers[0].tools[0].max_request_bytes"),
        ("tools: [{match: a}]", "limits nothing"),
        ("tools: [{timeout: 1s}]", "match"),
        ("tools: [{match: a, timeout: 1s}, {match: a, timeout: 2s}]", "never holds"),
        ("tools: [{match: 'a[b]', timeout: 1s}]", "nothing else is special"),
    ] {
        let report = refused(&with(keys));
        assert!(report.contains(part), "{part:?} is not in the report of {keys}\n{report}");
    }
    let text = with("tools: [{match: 'slow_*', timeout: 5s, max_concurrency: 2}, {match: '*', timeout: 1h}]");
    let loaded = load_text(&text, Role::Any).unwrap();
    let tools = &loaded.config.mcp.servers[0].tools;
    assert_eq!((tools[0].timeout, tools[0].max_concurrency), (Some(Duration::from_secs(5)), Some(2)));
    assert!(tools[1].tools.is_any());
}
