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
