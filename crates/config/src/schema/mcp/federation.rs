//! The merged endpoint.

use super::{Block, DAY, Def, Key, Kind, MINUTE, ROUTE_AUTH, Rule, SECOND, Word, int, key, seconds};

pub(super) const FEDERATION: &[Key] =
    &[key("federation", Kind::Block(&BLOCK), Def::Empty, "All servers at one endpoint, `mcp.path` itself.")];

static BLOCK: Block = Block {
    name: "mcp.federation",
    doc: "All servers at one endpoint. A server with an `auth` of its own is a member only where it equals that of the merged endpoint.",
    keys: &[&[
        key("enabled", Kind::Bool, Def::Text("true"), "`false` = servers are reached one by one."),
        key(
            "auth",
            Kind::Block(&ROUTE_AUTH),
            Def::None,
            "Who may call the merged endpoint. Absent = root `auth`.",
        ),
        key(
            "separator",
            Kind::Text(Rule::Separator),
            Def::Text("__"),
            "Between a server's name and its own name of a tool or prompt. Names of servers neither hold it nor end like it.",
        ),
        key(
            "name_max",
            int(8, 1024),
            Def::Text("64"),
            "Longest joined name, in bytes. A tool or prompt whose name would be longer is left out.",
        ),
        key(
            "list_timeout",
            seconds(1, MINUTE),
            Def::Text("2s"),
            "How long a list waits for a member of which nothing is known.",
        ),
        key(
            "list_patience",
            seconds(1, MINUTE),
            Def::Text("100ms"),
            "How long a list waits for a member whose last good list can stand in for it.",
        ),
        key(
            "on_member_failure",
            Kind::Choice(&[
                Word(&["last_good"], "what the member last listed for the same caller stands in for it"),
                Word(&["omit"], "the member is left out"),
            ]),
            Def::Text("last_good"),
            "What a list shows of a member that does not answer in time.",
        ),
        key("cursor_ttl", seconds(SECOND, DAY), Def::Text("1h"), "Life of the cursors of merged lists."),
    ]],
    scalar: Some("enabled"),
    reserved: &[],
};
