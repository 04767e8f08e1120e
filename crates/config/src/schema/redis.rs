//! The servers that replicas share.

use super::{Block, Def, Key, Kind, MINUTE, SECOND, Word, int, key, rules::Rule, seconds};

const ADDRESSES: Kind = Kind::List { of: &Kind::Text(Rule::Authority), max: 1000, one: true };

const KEYS: &[Key] = &[
    key(
        "mode",
        Kind::Choice(&[
            Word(&["single"], "one server"),
            Word(&["sentinel"], "a master with replicas, found through `sentinel`"),
            Word(&["cluster"], "a cluster; its other nodes are found through those that are named"),
        ]),
        Def::Rule("`sentinel` with that block, `cluster` with several `addresses`, else `single`"),
        "How the servers stand together.",
    ),
    key(
        "url",
        Kind::Secret { min: 1 },
        Def::None,
        "`redis://` or `rediss://` (TLS), then `[user][:password@]host[:port][/database]`. `valkey://` and `valkeys://` mean the same. Reserved characters as `%xx`. Never shown, since it may hold a password.",
    ),
    key("addresses", ADDRESSES, Def::None, "`host[:port]` of each server. The port is 6379 unless given.")
        .or_env(),
    key("sentinel", Kind::Block(&SENTINEL), Def::None, "Who knows the master."),
    key("auth", Kind::Block(&AUTH), Def::None, "Login at the servers."),
    key("database", int(0, 100_000), Def::Text("0"), "Number of the database. A cluster has only 0."),
    key(
        "tls",
        Kind::Block(&TLS),
        Def::None,
        "Encryption. `rediss://` alone is enough for a certificate of a public authority.",
    ),
    key(
        "allow_plaintext",
        Kind::Bool,
        Def::Text("false"),
        "Send a password without TLS to an address that is not private.",
    ),
    key(
        "pool_size",
        int(2, 100_000),
        Def::Text("50"),
        "Most sockets of this process, whatever the load: commands share one connection to each server (the single server, the master, \
         each master of a cluster), and one more goes to a sentinel.",
    ),
    key(
        "max_retries",
        int(0, 100),
        Def::Text("3"),
        "Attempts after the first. The operation's deadline ends them all the same.",
    ),
    key(
        "retry_delay",
        seconds(0, MINUTE),
        Def::Text("1s"),
        "Longest pause before another attempt, drawn at random from nothing to this, and never longer than a quarter of the time that is left.",
    ),
    key(
        "connect_timeout",
        seconds(1, MINUTE),
        Def::Text("1s"),
        "Time for a connection, TLS and login included. One that answers nothing for as long is given up.",
    ),
    key(
        "command_timeout",
        seconds(1, 10 * SECOND),
        Def::Text("50ms"),
        "Time for one attempt, within the operation's deadline.",
    ),
    key(
        "key_prefix",
        Kind::Text(Rule::Name),
        Def::Text("holdfast"),
        "First part of every key, so that several deployments can share servers.",
    ),
];

pub(super) static REDIS: Block = Block {
    name: "redis",
    doc: "Redis or Valkey, shared by the replicas. Exactly one of `url`, `addresses`, `sentinel` says where (or `url_env`, `addresses_env`). \
          At the root it is the default of every use. A use takes over what it does not say itself, field by field; one that names servers of its own takes \
          over neither the servers nor `mode`, `auth` and `database`, so that no password goes to a server it is not meant for. When the root names no servers, the environment variable `REDIS_URL` \
          does. When both do, the file wins, and `check` and `serve` warn if they differ.",
    keys: &[KEYS],
    scalar: None,
    reserved: &["cluster"],
};

static SENTINEL: Block = Block {
    name: "redis.sentinel",
    doc: "Sentinels are asked in turn, at each connection and each second, and the server they name must say itself that it is a master.",
    keys: &[&[
        key(
            "addresses",
            ADDRESSES,
            Def::Required,
            "`host[:port]` of each sentinel. The port is 26379 unless given.",
        )
        .or_env(),
        key("master", Kind::Text(Rule::Any), Def::Text("mymaster"), "Name under which they monitor it."),
        key("username", Kind::Text(Rule::Any), Def::None, "ACL user at the sentinels.").or_env(),
        key(
            "password",
            Kind::Secret { min: 1 },
            Def::None,
            "Password at the sentinels; that of the servers is never sent to them.",
        ),
        key("tls", Kind::Bool, Def::Rule("as the servers"), "Whether the sentinels speak TLS."),
    ]],
    scalar: None,
    reserved: &[],
};

static AUTH: Block = Block {
    name: "redis.auth",
    doc: "Login at the servers.",
    keys: &[&[
        key("username", Kind::Text(Rule::Any), Def::None, "ACL user. Absent = the server's default user.")
            .or_env(),
        key("password", Kind::Secret { min: 1 }, Def::None, "Its password."),
    ]],
    scalar: None,
    reserved: &[],
};

static TLS: Block = Block {
    name: "redis.tls",
    doc: "TLS to the servers. The certificate is always verified.",
    keys: &[&[
        key("enabled", Kind::Bool, Def::Text("true"), "`false` contradicts `rediss://`."),
        key(
            "skip_verify",
            Kind::Bool,
            Def::Text("false"),
            "Only `false` is legal: name the authority in `ca_file`, and another name in `server_name`.",
        ),
        key(
            "ca_file",
            Kind::Text(Rule::File),
            Def::None,
            "PEM with the authorities to trust. Absent = those of the system.",
        ),
        key("cert_file", Kind::Text(Rule::File), Def::None, "PEM with the certificate of this client."),
        key("key_file", Kind::Text(Rule::File), Def::None, "PEM with its key."),
        key(
            "server_name",
            Kind::Text(Rule::Authority),
            Def::None,
            "Name in the certificates of the servers. Absent = the host of the address.",
        ),
    ]],
    scalar: None,
    reserved: &[],
};
