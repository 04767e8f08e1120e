//! MCP servers and plain HTTP routes.

mod federation;
mod fronts;
mod links;
mod policy;
mod stdio;

use super::{
    Block, DAY, Def, HOUR, Key, Kind, MINUTE, SECOND, Word, auth::ROUTE_AUTH, int, key, kib, mib,
    routing::POLICY, rules::Rule, seconds,
};
use federation::FEDERATION;
use fronts::FRONTS;
use links::{LINKS, TRANSPORT};
use policy::{LIMITS, PINS, RULES, SERVER_RULES};
use stdio::COMMAND;

const API_ENDPOINTS: &[Key] = &[key(
    "endpoints",
    Kind::List { of: &ENDPOINTS, max: 1000, one: true },
    Def::Required,
    "Equal addresses, at least one.",
)];

const UPSTREAM: &[Key] = &[
    key("auth", Kind::Block(&ROUTE_AUTH), Def::None, "Who may call. Absent = root `auth`."),
    key("upstream_auth", Kind::Block(&UPSTREAM_AUTH), Def::None, "Credential that Holdfast sends."),
    key("tls", Kind::Block(&CLIENT_TLS), Def::Empty, "Client TLS, for `https` endpoints."),
    key(
        "http2",
        Kind::Choice(&[
            Word(&["auto"], "by ALPN over TLS, never in clear text"),
            Word(&["off", "false", "no"], "never"),
            Word(&["prior_knowledge", "h2c"], "always, also in clear text"),
        ]),
        Def::Text("auto"),
        "HTTP/2 towards the endpoints.",
    ),
];

static ENDPOINTS: Kind = Kind::Block(&ENDPOINT);

static ENDPOINT: Block = Block {
    name: "endpoints[]",
    doc: "One address. A single value is the `url`.",
    keys: &[
        &[key(
            "url",
            Kind::Text(Rule::Url),
            Def::Required,
            "`http://host:port` or `https://...`, with a path if wanted. Names are resolved again and again.",
        )],
        SHARE,
    ],
    scalar: Some("url"),
    reserved: &[],
};

static MCP_ENDPOINT: Block = Block {
    name: "mcp.servers[].endpoints[]",
    doc: "One address of an MCP server. A single value is the `url`.",
    keys: &[
        &[key(
            "url",
            Kind::Text(Rule::McpUrl),
            Def::Required,
            "`http://host:port/path`, `https://...`, `ws://...` or `wss://...`. Names are resolved again and again.",
        )],
        SHARE,
    ],
    scalar: Some("url"),
    reserved: &[],
};

/// An endpoint's part of the load.
const SHARE: &[Key] = &[
    key("weight", int(0, 65535), Def::Text("1"), "Relative share. 0 = drained."),
    key("priority", int(0, 255), Def::Text("0"), "0 is used first."),
    key("zone", Kind::Text(Rule::Any), Def::None, "Zone label."),
];

static UPSTREAM_AUTH: Block = Block {
    name: "upstream_auth",
    doc: "A header with a credential, sent to the endpoints.",
    keys: &[&[
        key("header", Kind::Text(Rule::Header), Def::Text("authorization"), "Header name."),
        key(
            "value",
            Kind::Secret { min: 1 },
            Def::Required,
            "Header value, for `authorization` usually `Bearer ...`.",
        ),
    ]],
    scalar: None,
    reserved: &["type"],
};

pub(super) static CLIENT_TLS: Block = Block {
    name: "tls (client)",
    doc: "How endpoints are verified. Verification cannot be switched off.",
    keys: &[&[
        key(
            "ca_file",
            Kind::Text(Rule::File),
            Def::None,
            "PEM bundle of trusted roots. Absent = the system's.",
        ),
        key("cert_file", Kind::Text(Rule::File), Def::None, "Client certificate, PEM. Needs `key_file`."),
        key("key_file", Kind::Text(Rule::File), Def::None, "Its key, PEM."),
        key(
            "server_name",
            Kind::Text(Rule::Authority),
            Def::None,
            "Name to verify instead of the endpoint's host.",
        ),
    ]],
    scalar: None,
    reserved: &[],
};

pub(super) static MCP: Block = Block {
    name: "mcp",
    doc: "MCP servers and what holds for all of them.",
    keys: &[
        &[
            key(
                "path",
                Kind::Text(Rule::Prefix),
                Def::Text("/mcp"),
                "Path of the endpoints: `/mcp/{server}` for each server, and this itself for all of them.",
            ),
            key(
                "public_url",
                Kind::Text(Rule::Origin),
                Def::None,
                "Public origin, for RFC 9728 metadata. Needed when a server has `auth`.",
            ),
            key(
                "allowed_origins",
                Kind::List { of: &Kind::Text(Rule::Origin), max: 1000, one: true },
                Def::Empty,
                "`Origin` values allowed besides none and same host.",
            ),
            key(
                "allowed_hosts",
                Kind::List { of: &Kind::Text(Rule::Authority), max: 1000, one: true },
                Def::Empty,
                "`Host` values allowed besides a loopback listener's own.",
            ),
            key(
                "max_message_bytes",
                Kind::Size { min: kib(1), max: mib(1024) },
                Def::Text("4MiB"),
                "Largest JSON-RPC message of a client.",
            ),
            key(
                "max_response_bytes",
                Kind::Size { min: kib(1), max: mib(4096) },
                Def::Text("64MiB"),
                "Largest JSON-RPC message of a server.",
            ),
            key(
                "response_bytes_total",
                Kind::Size { min: kib(1), max: 1 << 40 },
                Def::Text("256MiB"),
                "Memory for all JSON answers that are being read whole; one that finds no room ends with 503.",
            ),
            key("max_depth", int(8, 1024), Def::Text("128"), "Deepest JSON nesting."),
            key("max_batch", int(1, 10_000), Def::Text("100"), "Messages in one batch."),
            key(
                "keep_alive",
                seconds(SECOND, HOUR),
                Def::Text("15s"),
                "A comment line goes out on a stream idle for this long.",
            ),
            key(
                "servers",
                Kind::List { of: &Kind::Block(&MCP_SERVER), max: 1000, one: false },
                Def::Empty,
                "The servers.",
            ),
        ],
        RULES,
        FRONTS,
        FEDERATION,
    ],
    scalar: None,
    reserved: &[],
};

static MCP_SERVER: Block = Block {
    name: "mcp.servers[]",
    doc: "One MCP server, reached at `/mcp/{name}`: a set of equal endpoints, or a program. Unset policy keys come from `routing`.",
    keys: &[
        &[key("name", Kind::Text(Rule::ServerName), Def::Required, "Name in the path.")],
        &[key(
            "endpoints",
            Kind::List { of: &Kind::Block(&MCP_ENDPOINT), max: 1000, one: true },
            Def::Empty,
            "Equal addresses. Either these or `command`.",
        )],
        TRANSPORT,
        COMMAND,
        LINKS,
        UPSTREAM,
        &[
            key(
                "session",
                Kind::Choice(&[
                    Word(&["pinned"], "404, so that the client initialises anew"),
                    Word(&["replayable"], "Holdfast initialises on another endpoint and goes on"),
                ]),
                Def::Text("pinned"),
                "What happens to a session whose endpoint dies.",
            ),
            key(
                "trust_hints",
                Kind::Bool,
                Def::Text("false"),
                "Believe `readOnlyHint` and `idempotentHint`: calls of such tools are retried.",
            ),
            key(
                "era",
                Kind::Choice(&[
                    Word(&["auto"], "each endpoint is asked once"),
                    Word(&["legacy"], "versions with a handshake"),
                    Word(&["modern"], "2026-07-28 only"),
                    Word(&["dual"], "both"),
                ]),
                Def::Text("auto"),
                "Protocol versions that the server speaks.",
            ),
            key(
                "request_timeout",
                seconds(1, DAY),
                Def::Text("10m"),
                "A whole call, from request to final response.",
            ),
            key(
                "initialize_timeout",
                seconds(1, HOUR),
                Def::Text("10s"),
                "`initialize` or `server/discover`.",
            ),
            key(
                "max_reinitializations",
                int(1, 100_000),
                Def::Text("32"),
                "With `session: replayable`: sessions of this server that Holdfast initialises anew at once. The others wait in the order they came, until `request_timeout`.",
            ),
            key(
                "handle_ttl",
                seconds(SECOND, 30 * DAY),
                Def::Text("1h"),
                "Life of sealed `requestState` and task handles.",
            ),
        ],
        LIMITS,
        PINS,
        SERVER_RULES,
        POLICY,
    ],
    scalar: None,
    reserved: &[],
};

pub(super) static API: Block = Block {
    name: "apis[]",
    doc: "A plain HTTP route. Unset policy keys come from `routing`.",
    keys: &[
        &[
            key("name", Kind::Text(Rule::Name), Def::Required, "Unique name, used in metrics and logs."),
            key(
                "path_prefix",
                Kind::Text(Rule::Prefix),
                Def::Required,
                "Prefix in whole segments; the longest wins.",
            ),
            key("strip_prefix", Kind::Bool, Def::Text("false"), "Remove the prefix before forwarding."),
        ],
        API_ENDPOINTS,
        UPSTREAM,
        &[
            key(
                "preserve_host",
                Kind::Bool,
                Def::Text("true"),
                "Send the client's `Host`. `false` = the endpoint's.",
            ),
            key(
                "max_body_bytes",
                Kind::Size { min: 0, max: 1 << 50 },
                Def::Rule("`server.max_body_bytes`"),
                "Request body.",
            ),
            key(
                "forward_authorization",
                Kind::Bool,
                Def::Text("true"),
                "Forward a client's `Authorization` that did not authenticate here.",
            ),
        ],
        POLICY,
    ],
    scalar: None,
    reserved: &["rate_limit"],
};
