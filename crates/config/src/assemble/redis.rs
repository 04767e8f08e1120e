//! The servers that replicas share.

use super::{Missing, assemble};
use crate::{
    effective::redis::{encrypted, url},
    model::{Redis, RedisSentinel, RedisTls},
    redis_url::{PORT, SENTINEL_PORT, with_port},
    units::Secret,
    value::BlockVal,
};

pub(super) fn redis(block: &BlockVal) -> Result<Redis, Missing> {
    let url = url(block).transpose().map_err(|_| block.missing("url"))?;
    let auth = |name: &str| block.block("auth").filter(|auth| auth.mentions(name));
    let mut redis = assemble!(block => Redis {
        mode, database, allow_plaintext, pool_size, max_retries, retry_delay, connect_timeout, command_timeout, key_prefix;
        addresses: addresses(block, PORT),
        sentinel: block.block("sentinel").map(sentinel).transpose()?,
        username: auth("username").map(|auth| auth.take("username")).transpose()?,
        password: auth("password").map(|auth| auth.take("password")).transpose()?,
        tls: encrypted(block).then(|| tls(block.block("tls"))).transpose()?
    });
    if let Some(url) = url {
        redis.addresses = vec![url.address];
        redis.username = url.username.or(redis.username);
        redis.password = url.password.map(|password| Secret::new(&password)).or(redis.password);
        redis.database = url.database.unwrap_or(redis.database);
    }
    Ok(redis)
}

pub(super) fn of_sessions(sessions: &BlockVal) -> Result<Option<Redis>, Missing> {
    let shared = sessions.word("type") == Some("redis");
    sessions.block("redis").filter(|_| shared).map(redis).transpose()
}

fn addresses(block: &BlockVal, port: u16) -> Vec<String> {
    let all: Vec<String> = block.take("addresses").unwrap_or_default();
    all.iter().filter_map(|address| with_port(address, port)).collect()
}

fn sentinel(block: &BlockVal) -> Result<RedisSentinel, Missing> {
    Ok(
        assemble!(block => RedisSentinel { master, username, password, tls; addresses: addresses(block, SENTINEL_PORT) }),
    )
}

fn tls(block: Option<&BlockVal>) -> Result<RedisTls, Missing> {
    let Some(block) = block else {
        return Ok(RedisTls { ca_file: None, cert_file: None, key_file: None, server_name: None });
    };
    Ok(assemble!(block => RedisTls { ca_file, cert_file, key_file, server_name }))
}
