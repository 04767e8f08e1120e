//! Who may use what of MCP servers, and how much of it.

use super::{Block, DAY, Def, Key, Kind, Rule, Word, int, key, kib, mib, seconds};

const NAMES: Kind = Kind::List { of: &Kind::Text(Rule::Glob), max: 1000, one: true };
const WORDS: Kind = Kind::List { of: &Kind::Text(Rule::Any), max: 1000, one: true };

const EFFECT: Key = key(
    "effect",
    Kind::Choice(&[
        Word(&["allow"], "the caller may"),
        Word(&["deny"], "the caller may not, whatever else allows it"),
    ]),
    Def::Text("allow"),
    "What the rule says.",
);

const WHO: &[Key] = &[
    key("subjects", WORDS, Def::Empty, "Callers by name, with `*` for anything. Absent = everybody."),
    key("scopes", WORDS, Def::Empty, "Callers with one of these scopes. Absent = everybody."),
    key("roles", WORDS, Def::Empty, "Callers with one of these roles. Absent = everybody."),
];

const WHAT: &[Key] = &[
    key("tools", NAMES, Def::Empty, "Tools by their name at the server, with `*` for anything."),
    key("prompts", NAMES, Def::Empty, "Prompts, likewise."),
    key(
        "resources",
        Kind::List { of: &Kind::Text(Rule::UriGlob), max: 1000, one: true },
        Def::Empty,
        "Resources by URI, and templates by their text, likewise.",
    ),
];

pub(super) const RULES: &[Key] = &[key(
    "rules",
    Kind::List { of: &RULE_KIND, max: 1000, one: false },
    Def::Empty,
    "Who may use what. Once there is one, every server refuses what no rule allows.",
)];

pub(super) const SERVER_RULES: &[Key] = &[key(
    "rules",
    Kind::List { of: &SERVER_RULE_KIND, max: 1000, one: false },
    Def::Empty,
    "The same for this server, beside `mcp.rules`. Once there is one, this server refuses what no rule allows.",
)];

const REQUEST_BYTES: Kind = Kind::Size { min: kib(1), max: mib(1024) };
const RESPONSE_BYTES: Kind = Kind::Size { min: kib(1), max: mib(4096) };

/// Beside `request_timeout` and, of the policy keys, `max_requests`, which hold for the server as a whole.
pub(super) const LIMITS: &[Key] = &[
    key(
        "max_request_bytes",
        REQUEST_BYTES,
        Def::None,
        "Largest message of a client for this server. Absent = `mcp.max_message_bytes`.",
    ),
    key(
        "max_response_bytes",
        RESPONSE_BYTES,
        Def::None,
        "Largest message of this server. Absent = `mcp.max_response_bytes`.",
    ),
    key(
        "tools",
        Kind::List { of: &TOOL_KIND, max: 1000, one: false },
        Def::Empty,
        "Limits of single tools. The first entry that matches a tool holds for its calls.",
    ),
];

pub(super) const PINS: &[Key] = &[key(
    "pins",
    Kind::List { of: &PIN_KIND, max: 10_000, one: false },
    Def::Empty,
    "Tools of this server by their definition. Once there is one, tools that are not named here or have another definition are neither shown nor called.",
)];

static PIN_KIND: Kind = Kind::Block(&PIN);

static PIN: Block = Block {
    name: "mcp.servers[].pins[]",
    doc: "One tool and what its definition must be. `holdfast pins` prints them.",
    keys: &[&[
        key("tool", Kind::Text(Rule::Any), Def::Required, "Name of the tool at the server."),
        key(
            "sha256",
            Kind::List { of: &Kind::Text(Rule::Sha256), max: 16, one: true },
            Def::Required,
            "SHA-256 of its canonical definition; several while its server changes.",
        ),
    ]],
    scalar: None,
    reserved: &[],
};

static TOOL_KIND: Kind = Kind::Block(&TOOL);

static TOOL: Block = Block {
    name: "mcp.servers[].tools[]",
    doc: "Limits for calls of the tools that match. What is absent is as for the server.",
    keys: &[&[
        key(
            "match",
            Kind::Text(Rule::Glob),
            Def::Required,
            "Tools by their name at the server, with `*` for anything.",
        ),
        key("timeout", seconds(1, DAY), Def::None, "A whole call, in place of `request_timeout`."),
        key(
            "max_concurrency",
            int(1, 1_000_000),
            Def::None,
            "Calls at once of all tools that match, in this replica; beyond it 503 with `Retry-After` at once.",
        ),
        key("max_request_bytes", REQUEST_BYTES, Def::None, "Largest call."),
        key("max_response_bytes", RESPONSE_BYTES, Def::None, "Largest message of the answer."),
    ]],
    scalar: None,
    reserved: &[],
};

static RULE_KIND: Kind = Kind::Block(&RULE);
static SERVER_RULE_KIND: Kind = Kind::Block(&SERVER_RULE);

static RULE: Block = Block {
    name: "mcp.rules[]",
    doc: "One rule. It holds for callers that fit each of `subjects`, `scopes` and `roles` that is given, and for what `tools`, `prompts` and `resources` name: for everything, if none of the three is given. A `deny` wins over every `allow`.",
    keys: &[
        &[EFFECT],
        WHO,
        &[key("servers", NAMES, Def::Empty, "Servers by name, with `*` for anything. Absent = all.")],
        WHAT,
    ],
    scalar: None,
    reserved: &[],
};

static SERVER_RULE: Block = Block {
    name: "mcp.servers[].rules[]",
    doc: "One rule for one server, as in `mcp.rules`.",
    keys: &[&[EFFECT], WHO, WHAT],
    scalar: None,
    reserved: &[],
};
