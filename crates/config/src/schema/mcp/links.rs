//! Links: what Holdfast holds to an MCP server that does not speak Streamable HTTP. One is a process of `command`, or a connection to
//! one of the `endpoints`.

use super::{Def, Key, Kind, Word, int, key, kib, mib, seconds};
use crate::schema::{HOUR, SECOND};

pub(super) const TRANSPORT: &[Key] = &[key(
    "transport",
    Kind::Choice(&[
        Word(&["http", "streamable-http"], "Streamable HTTP"),
        Word(
            &["sse", "http+sse"],
            "HTTP+SSE of 2024-11-05: the endpoints are the addresses of the event stream",
        ),
        Word(&["websocket", "ws"], "WebSocket with the subprotocol `mcp`"),
    ]),
    Def::Rule("`websocket` for `ws://` and `wss://` endpoints, else `http`"),
    "What the endpoints speak.",
)];

pub(super) const LINKS: &[Key] = &[
    key(
        "shared",
        Kind::Bool,
        Def::Text("false"),
        "Requests without a session of all principals go over the same links. `false` = each principal has its own. A link is a process of `command`, or a connection with `transport: websocket` or `sse`.",
    ),
    key("pool", int(1, 1000), Def::Text("4"), "With `shared`: how many links."),
    key(
        "idle",
        seconds(1, 24 * HOUR),
        Def::Text("5m"),
        "A link that holds no session is closed after this time without a request.",
    ),
    key(
        "queue_messages",
        int(1, 1_000_000),
        Def::Text("1024"),
        "Messages of one link that wait for one reader. Beyond it the reader's stream breaks off.",
    ),
    key(
        "queue_bytes",
        Kind::Size { min: kib(1), max: mib(1024) },
        Def::Text("4MiB"),
        "The same in bytes, and what may wait until the server reads it. One message is always let in.",
    ),
    key(
        "max_links",
        int(1, 1_000_000),
        Def::Text("512"),
        "With `transport: websocket` or `sse`: connections at once, one for each session and one for each principal without. Beyond it 503. Keep it below `connection_pool.max_size`: with `sse`, messages go over further ones.",
    ),
    key(
        "max_links_per_principal",
        int(1, 1_000_000),
        Def::Rule("`max_links`"),
        "With `transport: websocket` or `sse`: connections at once for one principal. Beyond it 503.",
    ),
    key(
        "link_ping_interval",
        seconds(SECOND, HOUR),
        Def::Text("20s"),
        "With `transport: websocket`: pause between two pings to a silent server. One that says nothing for 2.5 of them is taken for dead.",
    ),
];
