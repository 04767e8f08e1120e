//! The root.

use super::{
    Block, Def, Key, Kind,
    auth::{AUTH, SESSIONS},
    ha::HA,
    int, key,
    listener::{ADMIN, CONNECTION_POOL, LISTENER, SERVER, SSL_CONFIGURATION},
    mcp::{API, MCP},
    observability::OBSERVABILITY,
    redis::REDIS,
    routing::{CIRCUIT_BREAKER, RETRY, ROUTING},
};

static LISTENERS: Kind = Kind::Block(&LISTENER);
static APIS: Kind = Kind::Block(&API);

const KEYS: &[Key] = &[
    key("version", int(1, 1), Def::Text("1"), "Schema version."),
    key("server", Kind::Block(&SERVER), Def::Empty, "The first listener, and limits and defaults of all."),
    key("listeners", Kind::List { of: &LISTENERS, max: 64, one: false }, Def::Empty, "More listeners."),
    key("admin", Kind::Block(&ADMIN), Def::Empty, "Metrics, health, status, reload, drain."),
    key("ssl_configuration", Kind::Block(&SSL_CONFIGURATION), Def::Empty, "TLS defaults of all listeners."),
    key(
        "connection_pool",
        Kind::Block(&CONNECTION_POOL),
        Def::Empty,
        "Connections to upstreams, per endpoint, in this process.",
    ),
    key("auth", Kind::Block(&AUTH), Def::Empty, "Who may call, unless a route says otherwise."),
    key("sessions", Kind::Block(&SESSIONS), Def::Empty, "Sealed session tokens and stream logs."),
    key(
        "redis",
        Kind::Block(&REDIS),
        Def::None,
        "Servers that the replicas share: the default of every use.",
    )
    .restart(),
    key("routing", Kind::Block(&ROUTING), Def::Empty, "How upstreams are called, unless one says otherwise."),
    key(
        "circuit_breaker",
        Kind::Block(&CIRCUIT_BREAKER),
        Def::None,
        "Default of every circuit breaker. Nearest wins, field by field: upstream, `routing`, root.",
    ),
    key(
        "retry",
        Kind::Block(&RETRY),
        Def::None,
        "Default of every retry policy. Nearest wins, field by field: upstream, `routing`, root.",
    ),
    key("observability", Kind::Block(&OBSERVABILITY), Def::Empty, "Metrics, logs, access records."),
    key("mcp", Kind::Block(&MCP), Def::Empty, "MCP servers and their policy."),
    key("apis", Kind::List { of: &APIS, max: 10_000, one: false }, Def::Empty, "Plain HTTP routes."),
    key("ha", Kind::Block(&HA), Def::Empty, "Where this process runs, and the other replicas."),
];

/// The whole document.
pub(crate) static ROOT: Block = Block {
    name: "root",
    doc: "Nothing at the root is mandatory. A key `gateway` may wrap any of these keys: `gateway.server` is `server`.",
    keys: &[KEYS],
    scalar: None,
    reserved: &[
        "discovery",
        "rate_limit",
        "buckets",
        "cache",
        "guard",
        "analytics",
        "health_checks",
        "regions",
        "load_balancer",
        "regional_balancer",
        "replication",
        "backup",
        "recovery",
        "failover_alerts",
        "autoscaling",
        "network_policies",
        "service_mesh",
        "kubernetes",
    ],
};
