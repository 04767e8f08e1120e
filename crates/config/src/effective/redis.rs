//! Shared servers: what a use takes over from the root, and what follows from the address.

use super::{derive, overlay};
use crate::{
    load::REDIS_URL,
    redis_url::RedisUrl,
    schema::Kind,
    value::{BlockVal, Data, Origin, SecretData, SecretFrom, Val},
};

/// The forms of an address; a block has at most one.
pub(crate) const FORMS: [&str; 3] = ["url", "addresses", "sentinel"];
/// What belongs to the servers themselves: never taken over by a use that names other servers.
const OF_THE_SERVERS: [&str; 6] = ["url", "addresses", "sentinel", "mode", "auth", "database"];

/// The variable fills the root's address when there is none (C6).
pub(crate) fn from_environment(root: &mut BlockVal, url: Option<&str>) {
    let Some(url) = url else { return };
    if root.block("redis").is_some_and(addressed) || root.refused.contains("redis") {
        return;
    }
    if let Some(redis) = root.reach(&["redis"]) {
        let secret = SecretData { value: url.to_owned(), from: SecretFrom::EnvKey(REDIS_URL.to_owned()) };
        redis.set("url", Val::derived(Data::Secret(secret), Origin::Given));
    }
}

/// `sessions.redis` takes over what it does not say itself. Without an address anywhere, or with `type: memory`, there is no such block.
pub(super) fn inherit(root: &mut BlockVal) {
    let Some(parent) = root.block("redis").filter(|parent| addressed(parent)).cloned() else { return };
    let Some(sessions) = root.reach(&["sessions"]) else { return };
    if sessions.word("type") == Some("memory") || sessions.refused.contains("redis") {
        return;
    }
    let mut parent = parent;
    if !sessions.mentions("redis") {
        let Some(Kind::Block(schema)) = sessions.schema.key("redis").map(|key| key.kind) else { return };
        let empty = Data::Block(BlockVal::new(schema, None));
        sessions.set("redis", Val::derived(empty, Origin::Inherited("redis")));
    }
    if sessions.block("redis").is_some_and(addressed) {
        parent.fields.retain(|name, _| !OF_THE_SERVERS.contains(name));
    }
    if let Some(block) = sessions.block_mut("redis") {
        overlay(block, &parent, "redis");
    }
}

/// Whether it says where the servers are.
pub(crate) fn addressed(block: &BlockVal) -> bool {
    FORMS.iter().any(|form| block.mentions(form))
}

/// The URL, if there is one and it can be read.
pub(crate) fn url(block: &BlockVal) -> Option<Result<RedisUrl, &'static str>> {
    match &block.get("url")?.data {
        Data::Secret(secret) => Some(RedisUrl::parse(&secret.value)),
        _ => None,
    }
}

/// Whether the servers speak TLS.
pub(crate) fn encrypted(block: &BlockVal) -> bool {
    let by_url = url(block).is_some_and(|url| url.is_ok_and(|url| url.tls));
    by_url || block.block("tls").is_some_and(|tls| tls.bool("enabled") != Some(false))
}

pub(super) fn settle(block: &mut BlockVal) {
    let mode = if block.mentions("sentinel") {
        "sentinel"
    } else if block.list("addresses").len() > 1 {
        "cluster"
    } else {
        "single"
    };
    derive(block, "mode", Data::Word(mode));
    let database = url(block).and_then(Result::ok).and_then(|url| url.database);
    if let Some(number) = database.filter(|_| !block.gives("database")) {
        block.set("database", Val::derived(Data::Int(u64::from(number)), Origin::Default));
    }
    let tls = encrypted(block);
    if let Some(sentinel) = block.block_mut("sentinel") {
        derive(sentinel, "tls", Data::Bool(tls));
    }
}
