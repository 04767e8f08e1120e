//! Accept side: listeners, TLS, limits, drain, admin; and the connection pool.

use super::{
    Block, DAY, Def, HOUR, Key, Kind, MINUTE, SECOND, Word, also, int, key, kib, mib, rules::Rule, seconds,
};

const PROTOCOL: Kind = Kind::Choice(&[
    Word(&["http"], "HTTP/1.1 and HTTP/2, with TLS if `tls` is configured"),
    Word(&["https"], "the same, and TLS must be configured"),
    Word(&["websocket", "ws", "wss"], "the same as `http`: every listener takes WebSocket upgrades"),
]);
const PROXY: Kind = Kind::Choice(&[
    Word(&["off", "none", "false", "no"], "no header is read"),
    Word(&["required", "v2"], "every connection starts with one, from `trusted_proxies` only"),
]);
const FILE: Kind = Kind::Text(Rule::File);
const TLS_VERSION: Kind = Kind::Choice(&[
    Word(&["TLSv1.2", "TLS1.2", "tlsv1.2", "tls1.2", "1.2"], "RFC 5246"),
    Word(&["TLSv1.3", "TLS1.3", "tlsv1.3", "tls1.3", "1.3"], "RFC 8446"),
]);
/// TLS 1.2 suites of the library; those of TLS 1.3 cannot be switched off.
const CIPHER: Kind = Kind::Choice(&[
    Word(&["ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"], ""),
    Word(&["ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"], ""),
    Word(&["ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"], ""),
    Word(&["ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"], ""),
    Word(&["ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"], ""),
    Word(&["ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"], ""),
]);
const CIPHERS: Kind = Kind::List { of: &CIPHER, max: 16, one: false };

/// What a listener itself has; `server` has it too, as the first listener.
const SOCKET: &[Key] = &[
    key("host", Kind::Text(Rule::Address), Def::Text("0.0.0.0"), "Address to bind.").restart(),
    key("port", int(0, 65535), Def::Text("8443"), "Port to bind. 0 = any free port, printed at start.")
        .restart(),
    key("protocol", PROTOCOL, Def::Text("http"), "What the listener speaks."),
    key("tls", Kind::Block(&TLS), Def::None, "TLS. Absent = clear text."),
    key("proxy_protocol", PROXY, Def::Text("off"), "PROXY protocol version 2 before anything else."),
];

static TLS: Block = Block {
    name: "tls (server)",
    doc: "TLS of a listener. Certificate files are read again when they change.",
    keys: &[&[
        key("enabled", Kind::Bool, Def::Text("true"), "`false` = clear text, as if the block were absent."),
        key("cert_file", FILE, Def::None, "PEM chain, leaf first. Needs `key_file`."),
        key("key_file", FILE, Def::None, "PEM private key. Needs `cert_file`."),
        key(
            "certificates",
            Kind::List { of: &Kind::Block(&CERTIFICATE), max: 1000, one: false },
            Def::Empty,
            "More certificates, chosen by SNI. The first of all is the default. None at all = those of `ssl_configuration`.",
        ),
        key(
            "minimum_version",
            TLS_VERSION,
            Def::Rule("`ssl_configuration.minimum_version`"),
            "Lowest version.",
        ),
        key(
            "preferred_ciphers",
            CIPHERS,
            Def::Rule("`ssl_configuration.preferred_ciphers`"),
            "TLS 1.2 suites in order of preference. Those of TLS 1.3 stay on.",
        ),
    ]],
    scalar: None,
    reserved: &[],
};

static CERTIFICATE: Block = Block {
    name: "certificate",
    doc: "A chain and its key.",
    keys: &[&[
        key("cert_file", FILE, Def::Required, "PEM chain, leaf first."),
        key("key_file", FILE, Def::Required, "PEM private key."),
    ]],
    scalar: None,
    reserved: &[],
};

pub(super) static SSL_CONFIGURATION: Block = Block {
    name: "ssl_configuration",
    doc: "TLS defaults of all listeners that have a `tls` block; the block wins.",
    keys: &[&[
        key("minimum_version", TLS_VERSION, Def::Text("TLSv1.2"), "Lowest version."),
        key(
            "preferred_ciphers",
            CIPHERS,
            Def::Empty,
            "TLS 1.2 suites in order of preference. Empty = the library's.",
        ),
        key("certificates", Kind::Block(&CERTIFICATES), Def::None, "Where certificates come from."),
    ]],
    scalar: None,
    reserved: &[],
};

static CERTIFICATES: Block = Block {
    name: "ssl_configuration.certificates",
    doc: "Certificates of listeners that name none.",
    keys: &[&[
        key(
            "provider",
            Kind::Choice(&[
                Word(&["file"], "the PEM files in `files`"),
                Word(
                    &["acm"],
                    "a cloud load balancer holds them: for rendered artefacts only, `serve` cannot use it",
                ),
            ]),
            Def::Text("file"),
            "Who holds them.",
        ),
        key(
            "files",
            Kind::List { of: &Kind::Block(&CERTIFICATE), max: 1000, one: false },
            Def::Empty,
            "With `provider: file`.",
        ),
        key(
            "domains",
            Kind::List { of: &Kind::Text(Rule::Any), max: 100, one: true },
            Def::Empty,
            "With `provider: acm`: names of the certificate.",
        ),
        key(
            "validation",
            Kind::Choice(&[Word(&["dns"], "a DNS record"), Word(&["email"], "a mail")]),
            Def::None,
            "With `provider: acm`: how the names are proved.",
        ),
    ]],
    scalar: None,
    reserved: &[],
};

const LIMITS: &[Key] = &[
    key("workers", int(0, 1024), Def::Text("0"), "Worker threads, one runtime each. 0 = one per core.")
        .restart(),
    key(
        "max_connections",
        int(1, 10_000_000),
        Def::Text("100000"),
        "Open client connections, all listeners together.",
    ),
    key(
        "max_connections_per_ip",
        int(1, 10_000_000),
        Def::Text("1000"),
        "Open client connections per client address (IPv6: per /64).",
    ),
    key(
        "max_handshakes",
        int(1, 1_000_000),
        Def::Text("256"),
        "TLS handshakes under way at once, all listeners together. The others wait in the order they came, until `handshake_timeout`.",
    ),
    key(
        "accept_rate",
        int(1, 10_000_000),
        Def::Text("10000"),
        "Connections accepted per second, all listeners together. The others wait in the system's queue.",
    ),
    key(
        "accept_burst",
        int(1, 10_000_000),
        Def::Text("1000"),
        "Connections accepted at once, beyond that rate.",
    ),
    key(
        "handshake_timeout",
        seconds(10, HOUR),
        Def::Text("10s"),
        "PROXY header plus TLS handshake, the wait for its turn included.",
    ),
    key("header_timeout", seconds(10, HOUR), Def::Text("10s"), "A whole request head, from its first byte."),
    key(
        "read_timeout",
        seconds(10, DAY),
        Def::Text("30s"),
        "Longest pause while a request body is expected.",
    ),
    key("write_timeout", seconds(10, DAY), Def::Text("30s"), "Longest pause while a client takes nothing."),
    key(
        "idle_timeout",
        seconds(10, DAY),
        Def::Text("75s"),
        "How long a connection without a request stays open.",
    ),
    key(
        "stream_idle_timeout",
        seconds(10, 30 * DAY),
        Def::Text("1h"),
        "A streaming response (SSE, tunnel) without a byte either way ends after this.",
    ),
    key(
        "max_header_bytes",
        Kind::Size { min: kib(1), max: mib(1) },
        Def::Text("64KiB"),
        "All header lines together.",
    ),
    key("max_headers", int(1, 10_000), Def::Text("100"), "Header lines."),
    key(
        "max_body_bytes",
        Kind::Size { min: 1, max: 1 << 50 },
        Def::Text("64MiB"),
        "Request body, where no route says otherwise.",
    ),
    key("max_concurrent_streams", int(1, 100_000), Def::Text("256"), "HTTP/2 streams per connection."),
    key(
        "max_pending_resets",
        int(1, 10_000),
        Def::Text("20"),
        "HTTP/2 streams reset by the peer and still pending before GOAWAY (CVE-2023-44487).",
    ),
    key(
        "trusted_proxies",
        Kind::List { of: &Kind::Text(Rule::Network), max: 1000, one: true },
        Def::Empty,
        "Hops whose `X-Forwarded-For`, `X-Forwarded-Proto` and PROXY header are believed.",
    ),
    key(
        "drain_delay",
        seconds(0, HOUR),
        Def::Text("15s"),
        "After SIGTERM `/ready` is 503 and accepting goes on for this long.",
    ),
    key(
        "max_drain",
        seconds(0, DAY),
        Def::Text("5m"),
        "Hard stop, counted from the closing of the listeners.",
    ),
    key(
        "certificate_reload_interval",
        seconds(100, DAY),
        Def::Text("10s"),
        "How often certificate files are looked at.",
    ),
];

pub(super) static SERVER: Block = Block {
    name: "server",
    doc: "The first listener (named `server`), and limits and timeouts of all.",
    keys: &[SOCKET, LIMITS],
    scalar: None,
    reserved: &["limits"],
};

pub(super) static LISTENER: Block = Block {
    name: "listeners[]",
    doc: "One more listener. Limits and timeouts come from `server`.",
    keys: &[
        &[key("name", Kind::Text(Rule::Name), Def::Required, "Unique name, used in metrics and logs.")],
        SOCKET,
    ],
    scalar: None,
    reserved: &[],
};

pub(super) static ADMIN: Block = Block {
    name: "admin",
    doc: "The admin port. `/metrics`, `/healthz`, `/ready` and `/health` answer to everybody; the rest needs the Unix \
          socket, or loopback with the token.",
    keys: &[&[
        key("enabled", Kind::Bool, Def::Text("true"), "`false` = no admin port.").restart(),
        key("host", Kind::Text(Rule::Address), Def::Text("127.0.0.1"), "Address to bind.").restart(),
        key("port", int(0, 65535), Def::Text("9090"), "Port to bind. 0 = any free port, printed at start.")
            .restart(),
        key(
            "token",
            Kind::Secret { min: 16 },
            Def::None,
            "Bearer token for `/status`, `/` and every mutation.",
        ),
        key(
            "unix_socket",
            FILE,
            Def::None,
            "Unix socket (mode 0600) on which everything answers without a token.",
        )
        .restart(),
    ]],
    scalar: None,
    reserved: &[],
};

pub(super) static CONNECTION_POOL: Block = Block {
    name: "connection_pool",
    doc: "Connections to upstreams, per endpoint.",
    keys: &[&[
        key("max_size", int(1, 1_000_000), Def::Text("1024"), "Connections per endpoint, this process."),
        key(
            "max_idle",
            int(0, 1_000_000),
            Def::Rule("64, or `max_size` if that is less"),
            "Idle connections kept per endpoint and worker.",
        ),
        key(
            "max_idle_time",
            seconds(100, DAY),
            Def::Text("4s"),
            "Longer idle connections are closed. Shorter than the endpoints' own limit, or a request meets a connection that is being closed: servers on Node and uvicorn close after 5 s.",
        ),
        key(
            "max_waiting",
            int(0, 1_000_000),
            Def::Text("1024"),
            "Requests that wait for a connection of a full pool.",
        ),
        key(
            "dns_refresh",
            seconds(SECOND, 60 * MINUTE),
            Def::Text("30s"),
            "Names whose answer has no time to live are resolved again after this.",
        )
        .alias(&[also("dns_refresh_rate")]),
        key(
            "dns_servers",
            Kind::List { of: &Kind::Text(Rule::DnsServer), max: 16, one: true },
            Def::Empty,
            "DNS servers, by UDP and TCP; names are then asked for as they stand, without a search list. Empty = the system's. `/etc/hosts` comes first.",
        ),
    ]],
    scalar: None,
    reserved: &[],
};
