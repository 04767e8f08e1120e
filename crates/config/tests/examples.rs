//! The documented examples load as they stand, and mean what they say.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{environment, example, load_text};
use holdfast_config::{
    Auth, Config, JwtAlgorithm, KeySource, ListenerProtocol, ProbeKind, RetryOn, Role, RouteAuth,
    SessionMode, SlidingWindow, Source, Strategy, TlsVersion, load,
};
use std::time::Duration;

fn config(name: &str) -> Config {
    load_text(&example(name), Role::Any).map_err(|report| report.render(false)).unwrap().config
}

#[test]
fn connection_tuning() {
    let config = config("connection-tuning.yaml");
    assert_eq!(config.server.max_connections, 100_000);
    assert_eq!(config.server.max_connections_per_ip, 1000);
    assert_eq!(config.server.read_timeout, Duration::from_secs(30));
    assert_eq!(config.server.write_timeout, Duration::from_secs(30));
    assert_eq!(config.connection_pool.max_size, 50);
    assert_eq!(config.connection_pool.max_idle, 50, "the default of 64 gives way to max_size");
    assert_eq!(config.connection_pool.max_idle_time, Duration::from_mins(5));
}

#[test]
fn circuit_breaker_by_rate() {
    let breaker = config("circuit-breaker-rate.yaml").routing.policy.circuit_breaker;
    let rate = breaker.rate.unwrap();
    assert_eq!((rate.failure_rate.0, rate.slow_call_rate.0), (0.5, 1.0));
    assert_eq!(rate.slow_call_duration, Some(Duration::from_secs(1)));
    assert_eq!(rate.window, SlidingWindow::Count(100));
    assert_eq!(rate.minimum_calls, 20);
    assert_eq!(breaker.timeout, Duration::from_mins(1));
    assert_eq!(breaker.permitted_calls_in_half_open_state, Some(10));
    assert_eq!(breaker.failure_threshold, Some(5), "the other condition keeps its default");
}

#[test]
fn circuit_breaker_by_count() {
    let breaker = config("circuit-breaker-count.yaml").routing.policy.circuit_breaker;
    assert_eq!(breaker.failure_threshold, Some(5));
    assert_eq!(breaker.success_threshold, 2);
    assert_eq!(breaker.timeout, Duration::from_mins(1));
    assert_eq!(breaker.half_open_requests, 1);
    assert_eq!(breaker.rate.unwrap().window, SlidingWindow::Time(Duration::from_secs(10)));
}

#[test]
fn retry() {
    let retry = config("retry.yaml").routing.policy.retry;
    assert_eq!(retry.max_attempts, 3);
    assert_eq!(retry.initial_delay, Duration::from_secs(1));
    assert_eq!(retry.max_delay, Duration::from_secs(5));
    assert!((retry.multiplier - 2.0).abs() < f64::EPSILON);
    assert_eq!(retry.retry_on, [RetryOn::ConnectionError, RetryOn::TimeoutError, RetryOn::TransientError]);
}

#[test]
fn ssl_configuration_sets_what_every_tls_listener_starts_from() {
    let text = example("ssl-configuration.yaml");
    let alone = load_text(&text, Role::Any).unwrap();
    assert!(alone.warnings.iter().any(|w| w.message.contains("acm")), "{:?}", alone.warnings);
    let with_tls = format!("{text}\nserver: {{tls: {{cert_file: a.pem, key_file: b.pem}}}}\n");
    let config = load_text(&with_tls, Role::Any).unwrap().config;
    let tls = config.listeners[0].tls.clone().unwrap();
    assert_eq!(tls.minimum_version, TlsVersion::V1_2);
    assert_eq!(tls.preferred_ciphers, ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"]);
    let report = load_text(&format!("{text}\nserver: {{tls: {{enabled: on}}}}\n"), Role::Serve).unwrap_err();
    assert!(report.render(false).contains("acm"), "serve says why it cannot use it");
}

#[test]
fn all_examples_together_are_one_configuration_but_for_the_two_breakers() {
    let names = [
        "connection-tuning.yaml",
        "circuit-breaker-rate.yaml",
        "retry.yaml",
        "ssl-configuration.yaml",
        "circuit-breaker-count.yaml",
    ];
    let sources = names.map(|name| Source::Text { name: name.into(), text: example(name) });
    let config = load(&sources, &environment(), Role::Any).map_err(|r| r.render(false)).unwrap().config;
    let breaker = config.routing.policy.circuit_breaker;
    assert_eq!(breaker.timeout, Duration::from_mins(1), "60000 ms and 60 s are the same");
    assert_eq!(breaker.half_open_requests, 1);
    assert_eq!(breaker.permitted_calls_in_half_open_state, Some(10));
}

#[test]
fn a_whole_gateway() {
    let config = config("gateway.yaml");
    let listener = &config.listeners[0];
    assert_eq!((listener.name.as_str(), listener.port), ("server", 8443));
    assert_eq!(listener.protocol, ListenerProtocol::Websocket);
    assert_eq!(config.admin.port, 9090);
    assert_eq!(config.ha.region.as_deref(), Some("eu: \"west\" # 1"), "a value never becomes YAML");
    let Auth::Jwt(jwt) = &config.auth else { panic!("{:?}", config.auth) };
    assert_eq!(jwt.audience, ["mcp-services"]);
    assert_eq!(jwt.keys[0].algorithm, JwtAlgorithm::Hs256);
    assert!(matches!(&jwt.keys[0].source, KeySource::Inline(key) if key.expose().len() == 32));
    let [files, search] = &config.mcp.servers[..] else { panic!() };
    assert_eq!(files.session, SessionMode::Replayable);
    assert_eq!(files.upstream.endpoints[1].weight, 2);
    assert_eq!(files.upstream.policy.strategy, Strategy::LeastConnections);
    assert_eq!(files.upstream.policy.circuit_breaker.failure_threshold, Some(3), "nearest wins");
    assert_eq!(files.upstream.policy.circuit_breaker.timeout, Duration::from_secs(30), "field by field");
    assert_eq!(files.upstream.policy.slow_start, Duration::ZERO);
    assert_eq!(search.auth, RouteAuth::Public);
    assert_eq!(search.upstream.policy.retry.max_attempts, 2, "max_retries counts without the first");
    assert_eq!(search.upstream.policy.retry.initial_delay, Duration::from_millis(100));
    let orders = &config.apis[0];
    assert_eq!(orders.upstream.policy.health_check.kind, ProbeKind::Http { path: "/healthz".into() });
    assert_eq!(orders.upstream.policy.slow_start, Duration::from_secs(30));
    assert_eq!(orders.max_body_bytes.0, 1_000_000);
    assert_eq!(files.upstream.policy.health_check.interval, Duration::from_secs(30));
}
