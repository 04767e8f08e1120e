//! Who may call, and sealed sessions.

use super::{
    Block, DAY, Def, Key, Kind, MINUTE, SECOND, Word, also, int, key, kib, mib, redis::REDIS, rules::Rule,
    seconds,
};

const TYPE: Kind = Kind::Choice(&[
    Word(&["none"], "everybody is anonymous"),
    Word(&["api_key", "api_keys"], "static keys in `api_key`"),
    Word(&["jwt"], "JWT bearer tokens, by `jwt`"),
]);
const WORDS: Kind = Kind::List { of: &Kind::Text(Rule::Any), max: 100, one: true };

const RULES: &[Key] = &[
    key(
        "type",
        TYPE,
        Def::Rule("`jwt` or `api_key` if that block is given, else `none`"),
        "How callers prove who they are.",
    ),
    key("jwt", Kind::Block(&JWT), Def::None, "With `type: jwt`."),
    key("api_key", Kind::Block(&API_KEY), Def::None, "With `type: api_key`.").alias(&[also("api_keys")]),
];

pub(super) static AUTH: Block = Block {
    name: "auth",
    doc: "Who may call. `auth: none` is short for `auth: {type: none}`.",
    keys: &[RULES],
    scalar: Some("type"),
    reserved: &[],
};

pub(super) static ROUTE_AUTH: Block = Block {
    name: "auth (of a route)",
    doc: "Absent = the root's. `auth: false` = public. `auth: true` = the root's, which must exist.",
    keys: &[&[key("enabled", Kind::Bool, Def::Text("true"), "`false` = public.")], RULES],
    scalar: Some("enabled"),
    reserved: &[],
};

/// Where a verification key is: exactly one of the six spellings.
const KEY_SOURCE: &[Key] = &[
    key("kid", Kind::Text(Rule::Any), Def::None, "`kid` of the tokens it verifies. Absent = any.")
        .alias(&[also("id")]),
    key(
        "algorithm",
        Kind::Choice(&[
            Word(&["HS256"], "HMAC SHA-256, with `secret_key`"),
            Word(&["RS256"], "RSA PKCS#1 v1.5 SHA-256"),
            Word(&["ES256"], "ECDSA P-256"),
            Word(&["EdDSA", "Ed25519"], "Ed25519"),
        ]),
        Def::Rule("`HS256` for a `secret_key`; a public key must name its own"),
        "Pinned algorithm.",
    ),
    key(
        "secret_key",
        Kind::Secret { min: 32 },
        Def::None,
        "Shared secret, at least 32 bytes (RFC 7518, 3.2).",
    ),
    key("secret_key_file", Kind::Text(Rule::File), Def::None, "File that holds it."),
    key("public_key", Kind::Secret { min: 32 }, Def::None, "Public key, PEM."),
    key("public_key_file", Kind::Text(Rule::File), Def::None, "File that holds it."),
];

static JWT: Block = Block {
    name: "auth.jwt",
    doc: "JWT validation. Algorithms are pinned, `exp` is required. One key may stand in the block itself instead of `keys`.",
    keys: &[
        &[
            key("issuer", Kind::Text(Rule::Any), Def::Required, "Required `iss`."),
            key("audience", WORDS, Def::Required, "Accepted `aud`, at least one."),
            key(
                "keys",
                Kind::List { of: &Kind::Block(&JWT_KEY), max: 64, one: false },
                Def::Empty,
                "Verification keys; two or more allow rotation.",
            ),
            key("leeway", seconds(0, 5 * MINUTE), Def::Text("1m"), "Clock difference that is forgiven."),
            key("tenant_claim", Kind::Text(Rule::Any), Def::None, "Claim that names the tenant."),
            key(
                "roles_claim",
                Kind::Text(Rule::Any),
                Def::Text("roles"),
                "Claim that lists the caller's roles; `a.b` is `b` inside `a`, unless a claim has this very name.",
            ),
            key("required_scopes", WORDS, Def::Empty, "Scopes that every token must carry."),
        ],
        KEY_SOURCE,
    ],
    scalar: None,
    reserved: &["jwks_url", "jwks_uri", "introspection"],
};

static JWT_KEY: Block = Block {
    name: "auth.jwt.keys[]",
    doc: "One verification key.",
    keys: &[KEY_SOURCE],
    scalar: None,
    reserved: &["jwks_url", "jwks_uri"],
};

static API_KEY: Block = Block {
    name: "auth.api_key",
    doc: "Static keys, sent as `Authorization: Bearer` or in `header`.",
    keys: &[&[
        key("header", Kind::Text(Rule::Header), Def::Text("x-api-key"), "Header besides `Authorization`."),
        key(
            "keys",
            Kind::List { of: &Kind::Block(&API_KEY_ENTRY), max: 10_000, one: false },
            Def::Required,
            "Keys and who they are.",
        ),
    ]],
    scalar: None,
    reserved: &[],
};

static API_KEY_ENTRY: Block = Block {
    name: "auth.api_key.keys[]",
    doc: "One static key.",
    keys: &[&[
        key("name", Kind::Text(Rule::Any), Def::Required, "Subject of the caller."),
        key("key", Kind::Secret { min: 16 }, Def::Required, "The key, at least 16 bytes."),
        key("scopes", WORDS, Def::Empty, "Scopes of the caller."),
        key("roles", WORDS, Def::Empty, "Roles of the caller."),
        key("tenant", Kind::Text(Rule::Any), Def::None, "Tenant of the caller."),
    ]],
    scalar: None,
    reserved: &[],
};

pub(super) static SESSIONS: Block = Block {
    name: "sessions",
    doc: "Sealed session tokens, and what is kept for streams that can be resumed.",
    keys: &[&[
        key(
            "type",
            Kind::Choice(&[
                Word(&["memory"], "each replica for itself"),
                Word(&["redis"], "shared by the replicas; needs an address in `sessions.redis`, in `redis`, or in `REDIS_URL`"),
            ]),
            Def::Rule("`redis` if there is such an address, else `memory`"),
            "Where what a session token cannot hold is kept.",
        )
        .restart(),
        key("redis", Kind::Block(&REDIS), Def::Rule("the root's `redis`"), "The servers of `type: redis`.").restart(),
        key("absolute_ttl", seconds(SECOND, 365 * DAY), Def::Text("24h"), "Life of a session, however busy. Its server is told of the end. With several replicas it ends a minute later, because their clocks may differ by that."),
        key(
            "ttl",
            seconds(SECOND, 365 * DAY),
            Def::Text("1h"),
            "A session that nobody used for so long ends: its token is refused, its server told. An open stream is a use. Replicas that share neither `redis` nor a peer channel count for themselves.",
        )
        .restart(),
        key(
            "keys",
            Kind::List { of: &Kind::Block(&SESSION_KEY), max: 16, one: false },
            Def::Empty,
            "Key ring: the first seals, all open. Every replica needs the same.",
        ),
        key(
            "ephemeral_key",
            Kind::Bool,
            Def::Text("false"),
            "Make a key at start; sessions then end with the process, and no other replica can open them.",
        ),
        key(
            "stream_events",
            int(0, 1_000_000),
            Def::Text("256"),
            "Events kept per stream for `Last-Event-ID`.",
        )
        .restart(),
        key(
            "stream_bytes",
            Kind::Size { min: 0, max: mib(1024) },
            Def::Text("256KiB"),
            "Bytes kept per stream.",
        )
        .restart(),
        key(
            "stream_bytes_total",
            Kind::Size { min: kib(1), max: 1 << 40 },
            Def::Text("64MiB"),
            "Bytes kept for all streams.",
        )
        .restart(),
        key(
            "stream_retention",
            seconds(0, DAY),
            Def::Text("1m"),
            "How long an ended or abandoned stream can be resumed.",
        )
        .restart(),
        key(
            "max_entries",
            int(1, 100_000_000),
            Def::Text("100000"),
            "Sessions remembered for re-binding, for revocation, and for their last use.",
        )
        .restart(),
        key(
            "max_journal_reads",
            int(1, 100_000),
            Def::Text("64"),
            "Looks into the shared journal at once. The others wait in the order they came; one that finds no place in time goes on as if the journal could not be read.",
        )
        .restart(),
    ]],
    scalar: None,
    reserved: &[],
};

static SESSION_KEY: Block = Block {
    name: "sessions.keys[]",
    doc: "One key of the ring.",
    keys: &[&[
        key("id", Kind::Text(Rule::KeyId), Def::Required, "Names the key inside a token."),
        key("key", Kind::Secret { min: 43 }, Def::Required, "32 bytes in base64."),
    ]],
    scalar: None,
    reserved: &[],
};
