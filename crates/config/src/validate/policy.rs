//! Rules of MCP servers: none that names nobody, nothing, or a server that is not there.

use super::Check;
use crate::{
    Glob,
    value::{BlockVal, Data},
};

/// Lists of a rule. One that is written down and empty would read like "none" and mean "all".
const LISTS: [&str; 7] = ["subjects", "scopes", "roles", "servers", "tools", "prompts", "resources"];

pub(super) fn check(check: &mut Check<'_>) {
    let Some(mcp) = check.root.block("mcp") else { return };
    let servers: Vec<&str> = mcp.blocks("servers").filter_map(|(_, server)| server.text("name")).collect();
    for (i, rule) in mcp.blocks("rules") {
        let path = format!("mcp.rules[{i}]");
        lists(check, &path, rule);
        for (n, item) in rule.list("servers").iter().enumerate() {
            let Data::Text(glob) = &item.data else { continue };
            if !servers.iter().any(|server| Glob::new(glob).matches(server)) {
                check.error(format!("{path}.servers[{n}]"), item.at, "matches no server of `mcp.servers`");
            }
        }
    }
    for (i, server) in mcp.blocks("servers") {
        for (n, rule) in server.blocks("rules") {
            lists(check, &format!("mcp.servers[{i}].rules[{n}]"), rule);
        }
        unreachable(check, mcp, i, server);
        let path = format!("mcp.servers[{i}]");
        sizes(check, mcp, &path, server);
        pins(check, &path, server);
        for (n, tool) in server.blocks("tools") {
            let path = format!("{path}.tools[{n}]");
            sizes(check, mcp, &path, tool);
            limits(check, &path, n, server, tool);
        }
    }
}

fn lists(check: &mut Check<'_>, path: &str, rule: &BlockVal) {
    for name in LISTS {
        if rule.gives(name) && rule.list(name).is_empty() {
            let message = "an empty list names nothing: leave the key out for all, or the rule for none";
            check.error(format!("{path}.{name}"), rule.at_key(name), message);
        }
    }
}

/// A server that has rules and is allowed to nobody.
fn unreachable(check: &mut Check<'_>, mcp: &BlockVal, index: usize, server: &BlockVal) {
    let Some(name) = server.text("name") else { return };
    let ruled = !mcp.list("rules").is_empty() || !server.list("rules").is_empty();
    let allows = |rule: &BlockVal| rule.word("effect") == Some("allow");
    let about = |rule: &BlockVal| {
        let globs = rule.list("servers");
        globs.is_empty()
            || globs
                .iter()
                .any(|glob| matches!(&glob.data, Data::Text(glob) if Glob::new(glob).matches(name)))
    };
    let allowed = mcp.blocks("rules").any(|(_, rule)| allows(rule) && about(rule))
        || server.blocks("rules").any(|(_, rule)| allows(rule));
    if ruled && !allowed {
        let message = "no rule allows anything of this server to anybody";
        check.warning(format!("mcp.servers[{index}]"), server.at_key("name"), message).help =
            Some("what no rule allows is refused, once there is a rule".into());
    }
}

/// A limit above the one that refuses first would never be reached.
fn sizes(check: &mut Check<'_>, mcp: &BlockVal, path: &str, block: &BlockVal) {
    let size = |block: &BlockVal, name: &str| match block.get(name).map(|val| &val.data) {
        Some(Data::Size(bytes)) => Some(*bytes),
        _ => None,
    };
    for (own, all) in
        [("max_request_bytes", "max_message_bytes"), ("max_response_bytes", "max_response_bytes")]
    {
        if let (Some(have), Some(most)) = (size(block, own), size(mcp, all))
            && have > most
        {
            let message = format!("is above `mcp.{all}`, which is reached first");
            check.error(format!("{path}.{own}"), block.at_key(own), message);
        }
    }
}

fn limits(check: &mut Check<'_>, path: &str, number: usize, server: &BlockVal, tool: &BlockVal) {
    let Some(glob) = tool.text("match") else { return };
    let first = server.blocks("tools").find(|(n, other)| *n < number && other.text("match") == Some(glob));
    if let Some((_, first)) = first {
        let draft = crate::diagnostic::Draft::error(
            format!("{path}.match"),
            tool.at_key("match"),
            "never holds: the first entry that matches a tool does",
        );
        check.push(draft.also(first.at_key("match"), "this one"));
    }
    let keys = ["timeout", "max_concurrency", "max_request_bytes", "max_response_bytes"];
    if !keys.iter().any(|key| tool.mentions(key)) {
        check.error(path, tool.at_key("match"), "limits nothing");
    }
}

/// Two entries for one tool would be two answers to one question.
fn pins(check: &mut Check<'_>, path: &str, server: &BlockVal) {
    let mut tools = super::Names::new();
    for (n, pin) in server.blocks("pins") {
        if let Some(tool) = pin.text("tool") {
            check.unique("this tool", &mut tools, tool, format!("{path}.pins[{n}].tool"), pin.at_key("tool"));
        }
        if pin.gives("sha256") && pin.list("sha256").is_empty() {
            check.error(format!("{path}.pins[{n}].sha256"), pin.at_key("sha256"), "needs at least one");
        }
    }
}
