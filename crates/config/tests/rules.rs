//! Rules of MCP servers: what is no rule, and what nobody could have meant.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{load_text, refused};
use holdfast_config::{Role, RuleEffect};

const SERVERS: &str = "servers: [{name: git, endpoints: 'http://h'}, {name: wiki, endpoints: 'http://i'}]";

fn with(rules: &str) -> String {
    format!("mcp: {{rules: [{rules}], {SERVERS}}}")
}

#[test]
fn a_rule_that_is_none_is_refused_with_its_place() {
    for (rule, part) in [
        ("{effect: maybe}", "mcp.rules[0].effect"),
        ("{tool: a}", "`tools`"),
        ("{tools: []}", "an empty list names nothing"),
        ("{subjects: []}", "an empty list names nothing"),
        ("{servers: []}", "an empty list names nothing"),
        ("{servers: hg}", "matches no server of `mcp.servers`"),
        ("{servers: [git, 'x*']}", "mcp.rules[0].servers[1]"),
        ("{tools: 'read_[ab]'}", "nothing else is special"),
        ("{tools: 'read_?'}", "nothing else is special"),
        ("{prompts: '{a,b}'}", "nothing else is special"),
        ("{resources: 'file:///a/../b'}", "in its plainest form"),
        ("{resources: 'FILE:///a'}", "in its plainest form"),
        ("{resources: 'file:///%61'}", "in its plainest form"),
    ] {
        let report = refused(&with(rule));
        assert!(report.contains(part), "{part:?} is not in the report of {rule}\n{report}");
    }
    let own = "mcp: {servers: [{name: git, endpoints: 'http://h', rules: [{servers: git}]}]}";
    assert!(refused(own).contains("servers"), "a server's own rule names no server");
}

#[test]
fn a_rule_says_who_and_what() {
    let text = with(
        "{scopes: [r, w], tools: 'read_*', resources: ['file:///pub/*', '*']}, {effect: deny, servers: 'w*', subjects: bob}, {}",
    );
    let loaded = load_text(&text, Role::Any).unwrap();
    let rules = &loaded.config.mcp.rules;
    assert_eq!(
        rules.iter().map(|rule| rule.effect).collect::<Vec<_>>(),
        [RuleEffect::Allow, RuleEffect::Deny, RuleEffect::Allow]
    );
    assert_eq!(
        (rules[0].scopes.len(), rules[0].tools[0].as_str(), rules[0].resources.len()),
        (2, "read_*", 2)
    );
    assert!(rules[1].servers[0].matches("wiki") && !rules[1].servers[0].matches("git"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn a_server_that_nobody_may_use_is_told_of() {
    for (rules, servers) in [("{effect: deny, tools: 'rm_*'}", 2), ("{servers: wiki}", 1), ("{scopes: x}", 0)]
    {
        let loaded = load_text(&with(rules), Role::Any).unwrap();
        let told =
            loaded.warnings.iter().filter(|w| w.to_string().contains("no rule allows anything")).count();
        assert_eq!(told, servers, "{rules}");
    }
}

#[test]
fn a_pin_names_one_tool_and_whole_digests() {
    let with =
        |pins: &str| format!("mcp: {{servers: [{{name: git, endpoints: 'http://h', pins: [{pins}]}}]}}");
    let digest = "0123456789abcdef".repeat(4);
    for (pins, part) in [
        ("{tool: a}".to_owned(), "sha256"),
        (format!("{{sha256: {digest}}}"), "tool"),
        ("{tool: a, sha256: []}".to_owned(), "needs at least one"),
        ("{tool: a, sha256: abc}".to_owned(), "64 lower-case hexadecimal digits"),
        (format!("{{tool: a, sha256: {}}}", digest.to_uppercase()), "64 lower-case hexadecimal digits"),
        (format!("{{tool: a, sha256: {digest}}}, {{tool: a, sha256: {digest}}}"), "this tool is taken"),
    ] {
        let report = refused(&with(&pins));
        assert!(report.contains(part), "{part:?} is not in the report of {pins}\n{report}");
    }
    let loaded = load_text(
        &with(&format!("{{tool: a, sha256: {digest}}}, {{tool: b, sha256: [{digest}]}}")),
        Role::Any,
    );
    let pins = &loaded.unwrap().config.mcp.servers[0].pins;
    assert_eq!((&*pins[0].tool, &pins[0].sha256, &pins[1].sha256), ("a", &vec![digest], &pins[0].sha256));
}
