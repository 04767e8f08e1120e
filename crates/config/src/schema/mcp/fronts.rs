//! MCP clients that do not speak Streamable HTTP: HTTP+SSE, WebSocket, stdio.

use super::{Block, Def, HOUR, Key, Kind, Rule, SECOND, int, key, kib, mib, seconds};

pub(super) const FRONTS: &[Key] = &[
    key(
        "conversations",
        Kind::Block(&CONVERSATIONS),
        Def::Empty,
        "Connections of clients that do not speak Streamable HTTP.",
    ),
    key("sse", Kind::Block(&SSE), Def::Empty, "Clients of HTTP+SSE (2024-11-05)."),
    key("websocket", Kind::Block(&WEBSOCKET), Def::Empty, "Clients of WebSocket."),
    key("stdio", Kind::Block(&STDIO), Def::Empty, "The one client of `holdfast serve --stdio`."),
];

static CONVERSATIONS: Block = Block {
    name: "mcp.conversations",
    doc: "Limits of every conversation: the connection of a client of HTTP+SSE, WebSocket or stdio.",
    keys: &[&[
        key("max", int(1, 10_000_000), Def::Text("20000"), "Conversations at once. Beyond it 503."),
        key(
            "max_in_flight",
            int(1, 100_000),
            Def::Text("128"),
            "Requests of one conversation that wait for their answer. Beyond it a request is answered with an error.",
        ),
        key(
            "max_in_flight_bytes",
            Kind::Size { min: kib(1), max: mib(4096) },
            Def::Text("16MiB"),
            "Their bytes. One request is always let in.",
        ),
        key(
            "max_queued_bytes",
            Kind::Size { min: kib(1), max: mib(1024) },
            Def::Text("1MiB"),
            "Bytes that wait in each direction of one conversation. Beyond it nothing more is read from whoever sends. One message is always let in.",
        ),
        key(
            "write_timeout",
            seconds(SECOND, HOUR),
            Def::Text("60s"),
            "A client that reads nothing for this time is closed.",
        ),
    ]],
    scalar: None,
    reserved: &[],
};

static SSE: Block = Block {
    name: "mcp.sse",
    doc: "HTTP+SSE of each server is at `/mcp/{server}/sse`. These paths are for the only server, or for all as one; a route of `apis` that has them comes first.",
    keys: &[&[
        key("enabled", Kind::Bool, Def::Text("true"), "`false` = HTTP+SSE is not served."),
        key("path", Kind::Text(Rule::Prefix), Def::Text("/sse"), "Path of the stream."),
        key(
            "messages_path",
            Kind::Text(Rule::Prefix),
            Def::Text("/messages"),
            "Path of the messages, as the stream names it.",
        ),
    ]],
    scalar: None,
    reserved: &[],
};

static WEBSOCKET: Block = Block {
    name: "mcp.websocket",
    doc: "WebSocket is at the paths of Streamable HTTP, over HTTP/1.1: `/mcp/{server}`, and `/mcp` for all as one.",
    keys: &[&[
        key("enabled", Kind::Bool, Def::Text("true"), "`false` = upgrades are refused."),
        key(
            "require_subprotocol",
            Kind::Bool,
            Def::Text("true"),
            "`false` = clients that do not offer the subprotocol `mcp` are let in as well.",
        ),
        key(
            "ping_interval",
            seconds(SECOND, HOUR),
            Def::Text("20s"),
            "Pause between two pings. A client that gives no sign of life for 2.5 of them is closed.",
        ),
    ]],
    scalar: None,
    reserved: &[],
};

static STDIO: Block = Block {
    name: "mcp.stdio",
    doc: "`holdfast serve --stdio` speaks MCP over its own standard input and output, and listens nowhere.",
    keys: &[&[
        key(
            "server",
            Kind::Text(Rule::ServerName),
            Def::None,
            "The server it is for. Absent = the only one, or all as one.",
        ),
        key("subject", Kind::Text(Rule::Any), Def::None, "Who the client is. Absent = anonymous."),
        key("tenant", Kind::Text(Rule::Any), Def::None, "Its tenant."),
        key(
            "scopes",
            Kind::List { of: &Kind::Text(Rule::Any), max: 100, one: true },
            Def::Empty,
            "Its scopes.",
        ),
        key(
            "roles",
            Kind::List { of: &Kind::Text(Rule::Any), max: 100, one: true },
            Def::Empty,
            "Its roles.",
        ),
    ]],
    scalar: None,
    reserved: &[],
};
