//! The one table of everything that the gateway keeps in Redis. Names of keys and the reference page are made from it.

use crate::seam::{Name, SessionId, Stream};
use std::fmt::Write as _;

/// Parts into which last uses are cut, so that the servers of a cluster share them.
pub(crate) const SHARDS: usize = 16;

/// One row of the table.
pub(crate) struct Row {
    /// What follows the prefix. What stands in braces decides the slot of a cluster.
    pub(crate) pattern: &'static str,
    pub(crate) holds: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) ttl: &'static str,
    pub(crate) sealed: &'static str,
}

macro_rules! keys {
    ($($key:ident: $pattern:literal, $kind:literal, $holds:literal, ttl $ttl:literal, sealed $sealed:literal;)+) => {
        /// A kind of key.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Key { $($key,)+ }

        impl Key {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$key),+];

            pub(crate) fn row(self) -> &'static Row {
                match self {
                    $(Self::$key => &Row { pattern: $pattern, holds: $holds, kind: $kind, ttl: $ttl, sealed: $sealed },)+
                }
            }
        }
    };
}

keys! {
    Journal: "journal:{<session>}", "string", "where a session lives that has moved: epoch, value",
        ttl "the rest of the session's life", sealed "the value, with the epoch";
    Revoked: "revoked:{changes}", "stream", "sessions that ended before their tokens expired",
        ttl "`sessions.absolute_ttl` and two minutes (clocks differ) from the last one; entries older than that go, and the oldest beyond 4 times `sessions.max_entries`",
        sealed "each entry";
    Rebound: "rebound:{changes}", "stream", "sessions that have moved, so that other replicas read the journal",
        ttl "`sessions.ttl` from the last one; older entries go, and the oldest beyond `sessions.max_entries`", sealed "each entry";
    ChangesBirth: "birth:{changes}", "string", "random mark of this life of the two streams: another one means that they were lost",
        ttl "`sessions.absolute_ttl`, renewed while a replica listens", sealed "no: means nothing";
    StreamHead: "stream:{<stream>}", "hash", "owner, epoch, first and last event of an event stream, its meta",
        ttl "as the stream's owner said, from the last write", sealed "owner with the epoch, meta";
    StreamEvents: "events:{<stream>}", "stream", "events of an event stream, at most `sessions.stream_events` and `sessions.stream_bytes`",
        ttl "as the stream's head", sealed "each event, with its sequence number";
    Uses: "uses:{<shard>}", "hash", "when sessions were last used, and what is needed to end them",
        ttl "`sessions.absolute_ttl` + `sessions.ttl` from the last use; a session goes with its end",
        sealed "what is needed to end it; times are the server's own";
    Due: "due:{<shard>}", "sorted set", "sessions by when their end is due", ttl "as the uses", sealed "no: times are the server's own";
    Birth: "birth:{<shard>}", "string", "since when the uses are complete", ttl "as the uses", sealed "no: the server's own time";
    Quota: "quota:{<name>}", "hash", "shares of a quota, by replica", ttl "5s from the last lease", sealed "no: numbers that the server computes";
    Cached: "cached:{<name>}", "string", "a cached value", ttl "as whoever cached it said", sealed "the value";
    Peers: "peers", "hash", "living replicas with their records", ttl "the longest of its records", sealed "each record";
}

/// Names of keys under one prefix.
pub(crate) struct Names {
    prefix: String,
}

impl Names {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// A key that exists once.
    pub(crate) fn only(&self, key: Key) -> Vec<u8> {
        self.name(key, "")
    }

    pub(crate) fn session(&self, key: Key, session: SessionId) -> Vec<u8> {
        self.name(key, &hex(&session.0))
    }

    pub(crate) fn stream(&self, key: Key, stream: Stream) -> Vec<u8> {
        self.name(key, &format!("{}.{:016x}", hex(&stream.session.0), stream.number))
    }

    pub(crate) fn named(&self, key: Key, name: Name) -> Vec<u8> {
        self.name(key, &hex(&name.0))
    }

    /// The key of a shard.
    pub(crate) fn shard(&self, key: Key, shard: usize) -> Vec<u8> {
        self.name(key, &format!("{shard:02}"))
    }

    fn name(&self, key: Key, id: &str) -> Vec<u8> {
        let pattern = key.row().pattern;
        let (before, after) = match (pattern.split_once('<'), pattern.split_once('>')) {
            (Some((before, _)), Some((_, after))) => (before, after),
            _ => (pattern, ""),
        };
        [&self.prefix, ":", before, id, after].concat().into_bytes()
    }
}

/// The shard of a session: its id is random.
pub(crate) fn shard(session: SessionId) -> usize {
    usize::from(session.0[0]) % SHARDS
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `docs/reference/store-keys.md`.
pub fn reference_page() -> String {
    let mut page = String::from(PAGE_HEAD);
    for key in Key::ALL {
        let Row { pattern, holds, kind, ttl, sealed } = key.row();
        let _ = writeln!(page, "| `{pattern}` | {kind} | {holds} | {ttl} | {sealed} |");
    }
    page.push_str(PAGE_FOOT);
    page
}

const PAGE_HEAD: &str = "\
# Keys in Redis

Generated from the table in the code; `cargo test -p holdfast-store` fails when it is stale, and `UPDATE=1` writes it.

Every key begins with `redis.key_prefix` and a colon. Identifiers are random, in hexadecimal; a name of a quota or a cached value is half of a SHA-256. What stands
in braces decides the slot in a cluster: keys with the same braces live together. Every key has a TTL.

| key | type | holds | TTL | sealed |
|---|---|---|---|---|
";

const PAGE_FOOT: &str = "
A sealed value opens only under its own key's name and with the numbers that stand beside it in clear (epoch, sequence). What does not open is taken for absent
and counted in `holdfast_store_bad_seals_total`. Numbers that the server computes from its own clock cannot be sealed: whoever can change them ends a session early or
lets it live until its token expires, or lends more of a quota than there is; nothing else.

`<shard>` is 00 to 15, by the first byte of the session's id. Set `maxmemory-policy noeviction`: evicted keys are lost values.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_table() {
        let names = Names::new("holdfast");
        let text = |name: Vec<u8>| String::from_utf8(name).unwrap();
        let session = SessionId([0xab; 16]);
        let id = "ab".repeat(16);
        assert_eq!(text(names.session(Key::Journal, session)), format!("holdfast:journal:{{{id}}}"));
        let stream = Stream { session, number: 7 };
        assert_eq!(
            text(names.stream(Key::StreamEvents, stream)),
            format!("holdfast:events:{{{id}.0000000000000007}}")
        );
        assert_eq!(text(names.shard(Key::Due, 3)), "holdfast:due:{03}");
        assert_eq!(text(names.only(Key::Peers)), "holdfast:peers");
        assert_eq!(text(names.only(Key::Revoked)), "holdfast:revoked:{changes}");
    }

    #[test]
    fn each_pattern_stands_once() {
        let mut patterns: Vec<_> = Key::ALL.iter().map(|key| key.row().pattern).collect();
        patterns.sort_unstable();
        patterns.dedup();
        assert_eq!(patterns.len(), Key::ALL.len());
    }
}
