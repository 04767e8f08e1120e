//! Shared servers: every form of the address, who takes over what, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{environment, example};
use holdfast_config::{
    Config, Loaded, PrintOptions, Redis, RedisMode, Report, Role, SecretText, Source, load,
};
use std::{collections::BTreeMap, time::Duration};

fn with(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Report> {
    let mut env: BTreeMap<String, String> = environment();
    env.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    load(&[Source::Text { name: "t.yaml".into(), text: text.into() }], &env, Role::Any)
}

fn config(text: &str) -> Config {
    with(text, &VARIABLES).map_err(|report| format!("{text}\n{}", report.render(false))).unwrap().config
}

fn sessions(text: &str) -> Redis {
    config(text).sessions.redis.unwrap()
}

const VARIABLES: [(&str, &str); 5] = [
    ("REDIS_CLUSTER_ADDRESSES", "redis-0.redis:6379, redis-1.redis:6379,redis-2.redis"),
    ("REDIS_AUTH_TOKEN", "token-secret"),
    ("REDIS_USER", "holdfast"),
    ("URL", "redis://:url-secret@10.0.0.7/2"),
    ("ONE", "redis-0:7000"),
];

#[test]
fn the_documented_blocks_load_as_they_stand() {
    let tls = config(&example("redis-tls.yaml"));
    let redis = tls.redis.unwrap();
    assert_eq!(redis.addresses, ["master.mcp-redis.xxxxx.cache.amazonaws.com:6380"]);
    assert_eq!((redis.mode, redis.tls.is_some(), redis.password.is_none()), (RedisMode::Single, true, true));
    assert_eq!(
        tls.sessions.redis.unwrap().addresses,
        redis.addresses,
        "an address is enough to share sessions"
    );

    let redis = config(&example("redis-password.yaml")).redis.unwrap();
    assert_eq!(redis.addresses, ["10.x.x.x:6379"]);
    assert_eq!(redis.password.unwrap().expose(), "token-secret");
    assert!(redis.tls.is_none());

    let config = config(&example("sessions-redis.yaml"));
    let redis = config.sessions.redis.unwrap();
    assert_eq!(redis.addresses, ["redis-0.redis:6379", "redis-1.redis:6379", "redis-2.redis:6379"]);
    assert_eq!((redis.mode, redis.pool_size, redis.max_retries), (RedisMode::Cluster, 50, 3));
    assert_eq!(
        (redis.retry_delay, redis.command_timeout),
        (Duration::from_secs(1), Duration::from_millis(50))
    );
    assert_eq!(redis.key_prefix, "holdfast");
    assert!(config.redis.is_none());
}

#[test]
fn the_mode_follows_from_the_shape() {
    for (text, mode) in [
        ("redis: {url: 'redis://h'}", RedisMode::Single),
        ("redis: {url_env: URL}", RedisMode::Single),
        ("redis: {url: 'redis://h', mode: cluster}", RedisMode::Cluster),
        ("redis: {addresses: h}", RedisMode::Single),
        ("redis: {addresses_env: ONE}", RedisMode::Single),
        ("redis: {addresses: [a, b]}", RedisMode::Cluster),
        ("redis: {addresses: [a], mode: cluster}", RedisMode::Cluster),
        ("redis: {sentinel: {addresses: [a, b, c]}}", RedisMode::Sentinel),
    ] {
        assert_eq!(config(text).redis.unwrap().mode, mode, "{text}");
    }
}

#[test]
fn a_url_brings_login_and_database() {
    let redis = config("redis: {url_env: URL}").redis.unwrap();
    assert_eq!((redis.addresses, redis.database), (vec!["10.0.0.7:6379".to_owned()], 2));
    assert_eq!(redis.password.unwrap().expose(), "url-secret");
    let redis =
        config("redis: {url: 'redis://h', auth: {username_env: REDIS_USER, password_env: REDIS_AUTH_TOKEN}}");
    assert_eq!(redis.redis.unwrap().username.as_deref(), Some("holdfast"));
}

#[test]
fn sentinels_have_a_login_of_their_own() {
    let text = "redis: {sentinel: {addresses: [s1, 's2:5'], username: u, password: p}, auth: {password: q}, tls: {}}";
    let sentinel = config(text).redis.unwrap().sentinel.unwrap();
    assert_eq!(sentinel.addresses, ["s1:26379", "s2:5"]);
    assert_eq!((sentinel.master.as_str(), sentinel.tls), ("mymaster", true), "TLS as the servers");
    assert_eq!(sentinel.password.unwrap().expose(), "p");
    let text = "redis: {sentinel: {addresses: s, tls: false}, tls: {}}";
    assert!(!config(text).redis.unwrap().sentinel.unwrap().tls);
    let lone =
        config("redis: {sentinel: {addresses: s}, auth: {password: q}}").redis.unwrap().sentinel.unwrap();
    assert!(lone.password.is_none(), "the servers' password is not for sentinels");
}

#[test]
fn a_use_takes_over_field_by_field() {
    let root = "redis: {url: 'redis://r/1', pool_size: 7, retry_delay: 2s, auth: {password: p}, tls: {server_name: n}}\n";
    let redis = sessions(&format!("{root}sessions: {{redis: {{pool_size: 9}}}}"));
    assert_eq!((redis.pool_size, redis.retry_delay, redis.database), (9, Duration::from_secs(2), 1));
    assert_eq!(redis.addresses, ["r:6379"]);
    assert_eq!(redis.password.unwrap().expose(), "p");

    let redis = sessions(&format!("{root}sessions: {{redis: {{addresses: [a, b]}}}}"));
    assert_eq!((redis.pool_size, redis.database, redis.mode), (7, 0, RedisMode::Cluster));
    assert!(redis.password.is_none(), "a password goes only to the servers it was given for");
    assert_eq!(redis.tls.unwrap().server_name.as_deref(), Some("n"));
}

#[test]
fn sessions_are_shared_when_there_is_a_server_and_nobody_says_otherwise() {
    assert!(config("").sessions.redis.is_none());
    assert!(config("redis: {addresses: h}").sessions.redis.is_some());
    assert!(config("redis: {addresses: h}\nsessions: {type: memory}").sessions.redis.is_none());
    assert!(config("redis: {pool_size: 3}").sessions.redis.is_none(), "no address, no store");
    assert!(config("sessions: {redis: {addresses: h}}").sessions.redis.is_some());
}

#[test]
fn the_variable_fills_what_the_file_leaves_out_and_the_file_wins() {
    let url = [("REDIS_URL", "redis://:env-secret@redis:6379")];
    let loaded = with("", &url).unwrap();
    assert_eq!(loaded.config.sessions.redis.as_ref().unwrap().addresses, ["redis:6379"]);
    assert!(loaded.warnings.is_empty());
    let loaded = with("redis: {pool_size: 3}", &url).unwrap();
    assert_eq!(loaded.config.sessions.redis.unwrap().pool_size, 3);

    let warned = |text: &str| {
        let loaded = with(text, &url).unwrap();
        let warnings: Vec<String> =
            loaded.warnings.iter().map(|w| format!("{} {}", w.path, w.message)).collect();
        assert!(!warnings.join(" ").contains("secret"));
        (loaded.config.sessions.redis.map(|redis| redis.addresses), warnings.len())
    };
    assert_eq!(warned("redis: {addresses: other}"), (Some(vec!["other:6379".to_owned()]), 1), "told once");
    assert_eq!(warned("redis: {url: 'redis://:env-secret@redis'}").1, 0, "they agree");
    assert_eq!(warned("redis: {addresses: redis}").1, 0, "the same server");
    assert_eq!(warned("sessions: {redis: {addresses: other}}"), (Some(vec!["other:6379".to_owned()]), 1));
    assert_eq!(warned("sessions: {type: memory}"), (None, 0));

    let report = with("", &[("REDIS_URL", "http://:env-secret@h")]).unwrap_err().render(false);
    assert!(report.contains("redis://") && !report.contains("env-secret"), "{report}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (text, part) in [
        ("redis: {url: 'redis://h', addresses: h}", "there is `url` as well"),
        ("redis: {addresses: h, sentinel: {addresses: s}}", "there is `addresses` as well"),
        ("redis: {url: 'http://h'}", "must start with `redis://`"),
        ("redis: {url: 'redis://:hush@h:0'}", "must have a port"),
        ("redis: {addresses: [a, b], mode: single}", "has one server"),
        ("redis: {addresses: []}", "at least one server"),
        ("redis: {addresses: 'h:0'}", "must have a port"),
        ("redis: {addresses: 'u@h'}", "redis.addresses"),
        ("redis: {addresses: h, mode: sentinel}", "needs a block `sentinel`"),
        ("redis: {sentinel: {addresses: s}, mode: cluster}", "needs `mode: sentinel`"),
        ("redis: {sentinel: {master: m}}", "`addresses` is missing"),
        ("redis: {addresses: [a, b], database: 1}", "only database 0"),
        ("redis: {url: 'redis://h/1', mode: cluster}", "only database 0"),
        ("redis: {url: 'redis://h/1', database: 2}", "names another database"),
        ("redis: {url: 'redis://:hush@h', auth: {password: other}}", "the URL has one as well"),
        ("redis: {url: 'rediss://h', tls: {enabled: false}}", "contradicts `rediss://`"),
        ("redis: {url: 'rediss://h', tls: {skip_verify: true}}", "certificates are always verified"),
        ("redis: {addresses: h, tls: {cert_file: a}}", "needs `key_file`"),
        ("redis: {url: 'redis://:hush@8.8.8.8'}", "clear text"),
        ("redis: {addresses: '[2001:db8::1]', auth: {password: hush}}", "clear text"),
        ("redis: {cluster: {enabled: true}}", "no code behind it"),
        ("redis: {key_prefix: 'a{b}'}", "must be a name"),
        ("sessions: {type: redis}", "needs the address of a server"),
        ("sessions: {type: memory, redis: {addresses: h}}", "not used with `type: memory`"),
        ("redis: {addresses_env: NOT_SET}", "`NOT_SET` is not set"),
    ] {
        let report = with(text, &VARIABLES).map(|_| panic!("accepted: {text}")).unwrap_err();
        let told = report.errors().fold(report.render(false), |all, error| format!("{all}{error}\n"));
        assert!(told.contains(part), "{part:?} is not in the report of {text}\n{told}");
        assert!(!told.contains("hush"), "{told}");
    }
    for text in [
        "redis: {url: 'redis://:hush@10.1.2.3'}",
        "redis: {url: 'redis://:hush@redis.example.com'}",
        "redis: {url: 'redis://:hush@8.8.8.8', allow_plaintext: true}",
        "redis: {url: 'rediss://:hush@8.8.8.8'}",
        "redis: {url: 'redis://:hush@8.8.8.8', tls: {enabled: true}}",
    ] {
        config(text);
    }
}

#[test]
fn the_print_loads_to_the_same_and_hides_the_url() {
    for text in [
        &example("redis-tls.yaml"),
        &example("redis-password.yaml"),
        &example("sessions-redis.yaml"),
        "redis: {url_env: URL}",
        "redis: {sentinel: {addresses: [a, b], password: hush}, tls: {}}\nsessions: {redis: {pool_size: 5}}",
    ] {
        let loaded = with(text, &VARIABLES).unwrap();
        let shown = loaded.print(PrintOptions { defaults: true, secrets: SecretText::Shown });
        let again =
            with(&shown, &VARIABLES).map_err(|report| format!("{shown}{}", report.render(false))).unwrap();
        assert_eq!(again.config, loaded.config, "{shown}");
        assert!(!loaded.print(PrintOptions::default()).contains("hush"));
    }
    let loaded = with("", &[("REDIS_URL", "redis://:env-secret@h")]).unwrap();
    let shown = loaded.print(PrintOptions::default());
    assert!(shown.contains("url_env: REDIS_URL") && !shown.contains("env-secret"), "{shown}");
}
