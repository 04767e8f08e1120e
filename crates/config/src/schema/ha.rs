//! This replica and the others.

use super::{Block, DAY, Def, HOUR, Key, Kind, MINUTE, Word, int, key, mib, rules::Rule, seconds};

const FILE: Kind = Kind::Text(Rule::File);

pub(super) static HA: Block = Block {
    name: "ha",
    doc: "Where this process runs, and the other replicas.",
    keys: &[&[
        key(
            "enabled",
            Kind::Bool,
            Def::Text("true"),
            "`false` = this replica stands alone, whatever `peer_discovery` says.",
        )
        .restart(),
        key(
            "region",
            Kind::Text(Rule::Any),
            Def::None,
            "Region label. With one, sessions may be used in other regions, which this replica cannot hear: `sessions.ttl` then ends none, `sessions.absolute_ttl` does.",
        )
        .restart(),
        key(
            "zone",
            Kind::Text(Rule::Any),
            Def::None,
            "Zone label. Endpoints of the same zone are preferred.",
        ),
        key(
            "replica",
            Kind::Text(Rule::Any),
            Def::None,
            "Name of this replica for people: status, logs. Absent = host name and port. Nothing is decided by it.",
        )
        .restart(),
        key("peer_discovery", Kind::Block(&PEER_DISCOVERY), Def::None, "How the other replicas are found."),
        key("peer_channel", Kind::Block(&PEER_CHANNEL), Def::Empty, "How replicas talk to each other."),
    ]],
    scalar: None,
    reserved: &["failover"],
};

static PEER_DISCOVERY: Block = Block {
    name: "ha.peer_discovery",
    doc: "How the other replicas are found. It needs credentials in `ha.peer_channel`: a replica is believed for what it \
          proves, never for where it was found.",
    keys: &[&[
        key("enabled", Kind::Bool, Def::Text("true"), "`false` = as if the block were absent.").restart(),
        key(
            "method",
            Kind::Choice(&[
                Word(&["static"], "the list `peers`"),
                Word(&["dns"], "every address of `name`"),
                Word(&["kubernetes"], "comes with Kubernetes discovery; refused until then"),
            ]),
            Def::Required,
            "Where the addresses come from.",
        ),
        key(
            "peers",
            Kind::List { of: &Kind::Text(Rule::HostPort), max: 256, one: true },
            Def::Empty,
            "With `method: static`: every replica, `host` or `host:port`. This one may be among them. Names are resolved again and again.",
        ),
        key(
            "name",
            Kind::Text(Rule::Host),
            Def::None,
            "With `method: dns`: a name that has the addresses of all replicas.",
        ),
        key(
            "port",
            int(1, 65535),
            Def::None,
            "Port of peers that are given without one. Absent = `ha.peer_channel.port`.",
        ),
        key(
            "interval",
            seconds(100, HOUR),
            Def::Text("5s"),
            "Pause between two resolutions, unless the answer's time to live is longer. The last good answer stays.",
        ),
    ]],
    scalar: None,
    reserved: &["namespace", "label_selector"],
};

const LIMITS: &[Key] = &[
    key("max_connections", int(1, 100_000), Def::Text("256"), "Connections of other replicas, open at once."),
    key(
        "max_handshakes",
        int(1, 10_000),
        Def::Text("64"),
        "Connections that have not proved who they are, at once; an address may hold a quarter of them.",
    ),
    key(
        "handshake_timeout",
        seconds(10, MINUTE),
        Def::Text("3s"),
        "From connect or accept until both sides know each other.",
    ),
    key("ping_interval", seconds(10, MINUTE), Def::Text("1s"), "Pause between two pings."),
    key(
        "max_missed_pings",
        int(1, 100),
        Def::Text("3"),
        "A replica that leaves this many pings in a row unanswered is dead. A lost connection is that at once.",
    ),
    key(
        "idle_timeout",
        seconds(100, HOUR),
        Def::Text("10s"),
        "A connection on which the other replica sends nothing, not even a ping, is closed.",
    ),
    key(
        "max_retry_delay",
        seconds(10, HOUR),
        Def::Text("10s"),
        "Longest pause before a replica is dialled again.",
    ),
    key(
        "max_asks",
        int(1, 1_000_000),
        Def::Text("1024"),
        "Questions to other replicas under way, all together; answers likewise.",
    ),
    key(
        "max_asks_per_peer",
        int(1, 16_384),
        Def::Text("256"),
        "Questions to one replica under way; answers to one likewise. A stream that is relayed is one.",
    ),
    key("max_ask_bytes", Kind::Size { min: 0, max: mib(64) }, Def::Text("4MiB"), "Body of a question."),
    key(
        "max_ask_time",
        seconds(100, DAY),
        Def::Text("15m"),
        "Longest time that a question may leave for the head of its answer.",
    ),
    key(
        "max_nonces",
        int(1024, 16_777_216),
        Def::Text("262144"),
        "Questions remembered so that none is answered twice. More than this in the time they leave are refused.",
    ),
    key(
        "max_notes",
        int(1, 1_000_000),
        Def::Text("1024"),
        "Notes waiting for one replica. More are dropped and counted.",
    ),
    key("max_note_bytes", Kind::Size { min: 64, max: mib(1) }, Def::Text("64KiB"), "One note."),
];

static PEER_CHANNEL: Block = Block {
    name: "ha.peer_channel",
    doc: "The channel between replicas: HTTP/2 inside mutual TLS 1.3, or inside Noise from a pre-shared key. Exactly one of the two. \
          It is open only with `ha.peer_discovery`.",
    keys: &[
        &[
            key("host", Kind::Text(Rule::Address), Def::Text("0.0.0.0"), "Address to bind.").restart(),
            key("port", int(0, 65535), Def::Text("9444"), "Port to bind. 0 = any free port.").restart(),
            key("tls", Kind::Block(&PEER_TLS), Def::None, "Mutual TLS."),
            key(
                "psk",
                Kind::Secret { min: 43 },
                Def::None,
                "Pre-shared key: at least 32 bytes in base64, the same on every replica.",
            ),
            key("psk_file", FILE, Def::None, "File that holds it. Read again when it changes."),
            key(
                "accepted_psks",
                Kind::List { of: &Kind::Block(&PSK), max: 7, one: false },
                Def::Empty,
                "More keys that are accepted, for rotation: first add the new one here everywhere, then swap, then remove the old one.",
            ),
        ],
        LIMITS,
    ],
    scalar: None,
    reserved: &[],
};

static PSK: Block = Block {
    name: "ha.peer_channel.accepted_psks[]",
    doc: "One more key. Exactly one of the spellings.",
    keys: &[&[
        key("psk", Kind::Secret { min: 43 }, Def::None, "At least 32 bytes in base64."),
        key("psk_file", FILE, Def::None, "File that holds it."),
    ]],
    scalar: None,
    reserved: &[],
};

static PEER_TLS: Block = Block {
    name: "ha.peer_channel.tls",
    doc: "Mutual TLS 1.3. A peer's certificate must come from `ca_file` and carry one of `identities`. Files are read again when they change.",
    keys: &[&[
        key("cert_file", FILE, Def::Required, "PEM chain, leaf first; usable as server and as client."),
        key("key_file", FILE, Def::Required, "PEM private key."),
        key(
            "ca_file",
            FILE,
            Def::Required,
            "PEM bundle of the roots that peers' certificates come from. The system's are never used.",
        ),
        key(
            "identities",
            Kind::List { of: &Kind::Text(Rule::Identity), max: 256, one: true },
            Def::Required,
            "DNS names or URIs, one of which a peer's certificate must carry as a subject alternative name. Compared exactly; no wildcards.",
        ),
    ]],
    scalar: None,
    reserved: &[],
};
