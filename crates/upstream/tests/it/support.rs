//! Upstreams for tests, from the documented configuration.

use crate::server::Server;
use bytes::Bytes;
use holdfast_config::{Config, Role, Source, Upstream as UpstreamConfig};
use holdfast_resilience::{Deadline, Safety};
use holdfast_telemetry::Registry;
use holdfast_upstream::{Call, CallBody, CallError, Reply, Shared, Target, Upstream, clock};
use http::{Method, StatusCode, uri::PathAndQuery};
use http_body_util::BodyExt;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Longer than any test needs; only a defect reaches it.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) upstream: UpstreamConfig,
    pub(crate) registry: Registry,
}

impl Setup {
    /// An upstream of these URLs without probes, slow start and breaker noise: each test turns on what it is about.
    pub(crate) fn new<S: AsRef<str>>(urls: impl IntoIterator<Item = S>) -> Self {
        let pairs: Vec<_> = urls.into_iter().map(|url| ("/".to_owned(), url.as_ref().to_owned())).collect();
        let Source::Text { name, text } = holdfast_config::config_from_flags(&[], &pairs, None) else {
            panic!("flags are text")
        };
        let source = Source::Text { name, text };
        let config =
            holdfast_config::load(&[source], &holdfast_config::ProcessEnv, Role::Any).unwrap().config;
        let mut upstream = config.apis[0].upstream.clone();
        upstream.policy.health_check.enabled = false;
        upstream.policy.slow_start = Duration::ZERO;
        let registry = Registry::new(&BTreeMap::new()).unwrap();
        Self { config, upstream, registry }
    }

    pub(crate) fn of(servers: &[&Server]) -> Self {
        Self::new(servers.iter().map(|server| server.url()))
    }

    /// One server as two endpoints.
    pub(crate) fn twice(server: &Server) -> Self {
        Self::new([server.url(), format!("{}/second", server.url())])
    }

    pub(crate) fn no_breaker(mut self) -> Self {
        self.upstream.policy.circuit_breaker.enabled = false;
        self.upstream.policy.outlier.enabled = false;
        self
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Shared::build(&self.config, &self.registry, None).unwrap()
    }

    pub(crate) fn build(&self) -> Arc<Upstream> {
        Upstream::build(&self.upstream, &self.shared(), None).unwrap()
    }

    /// The value of a series whose line holds all the given texts; the sum where several do.
    pub(crate) fn metric(&self, parts: &[&str]) -> f64 {
        let page = self.registry.render();
        let lines = page
            .lines()
            .filter(|line| !line.starts_with('#') && parts.iter().all(|part| line.contains(part)));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

pub(crate) fn call(method: Method, path: &'static str) -> Call {
    let target = Target::Path(PathAndQuery::from_static(path));
    Call::new(method, target, Deadline::after(clock::now(), LONG))
}

pub(crate) fn get() -> Call {
    call(Method::GET, "/")
}

pub(crate) fn post(body: &'static str) -> Call {
    let mut call = call(Method::POST, "/");
    call.body = CallBody::Full(Bytes::from_static(body.as_bytes()));
    assert_eq!(call.safety, Safety::Unsafe);
    call
}

pub(crate) async fn text(reply: Reply) -> String {
    let bytes = reply.response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Status and body of a call that must be answered.
pub(crate) async fn ok(upstream: &Upstream, call: Call) -> (StatusCode, String) {
    let reply = upstream.send(call).await.unwrap();
    (reply.response.status(), text(reply).await)
}

pub(crate) async fn fails(upstream: &Upstream, call: Call) -> CallError {
    upstream.send(call).await.expect_err("the call must fail")
}

/// Waits until a condition holds; a defect makes it panic after a while.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(std::time::Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Nothing is in flight and no permit is out.
pub(crate) async fn at_rest(upstream: &Upstream) {
    until("everything at rest", || {
        upstream.in_flight() == 0 && upstream.endpoints().iter().all(|view| view.state.in_flight == 0)
    })
    .await;
}
