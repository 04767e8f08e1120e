//! Call side: upstreams, pools, balancing, health, breaker, retry.

use crate::{ByteSize, Ratio, RouteAuth, Secret};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Defaults of every upstream; an upstream's own block overrides field by field.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// The effective defaults.
    pub policy: UpstreamPolicy,
    /// Retries per second allowed beyond the ratio, all upstreams together. Default 100 and 20 %.
    pub process_retry_budget: RetryBudget,
    /// Refuse endpoints that resolve to link-local or metadata addresses. Default true.
    pub block_link_local: bool,
}

/// Everything that decides how an upstream is called.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamPolicy {
    /// Balancer. Default `p2c_ewma`.
    pub strategy: Strategy,
    /// Active probes. Default: on; TCP connect for MCP, TCP for HTTP unless a path is given.
    pub health_check: HealthCheck,
    /// Breaker per endpoint.
    pub circuit_breaker: CircuitBreaker,
    /// Passive ejection.
    pub outlier: Outlier,
    /// Retries.
    pub retry: Retry,
    /// TCP plus TLS connect. Default 2s.
    pub connect_timeout: Duration,
    /// Whole request until the response head, over all attempts. Default 30s.
    pub timeout: Duration,
    /// Longest pause inside a response body; streams use `server.stream_idle_timeout`. Default 60s.
    pub body_idle_timeout: Duration,
    /// Share of available endpoints below which health is ignored. 0 = never. Default 50%.
    pub panic_threshold: Ratio,
    /// Ramp of a joining or returning endpoint. 0s = off. Default 30s when 3 or more endpoints, else off.
    pub slow_start: Duration,
    /// Requests in flight per upstream; beyond it 503 at once. Default 10000.
    pub max_requests: usize,
}

/// Balancers. Other common names are aliases (`least_conn`, `leastconn`, `weighted`, `ip-hash`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Power of two choices on peak EWMA with failure penalty.
    P2cEwma,
    /// Least outstanding requests.
    LeastConnections,
    /// Smooth weighted round robin.
    RoundRobin,
    /// Weighted random.
    Random,
    /// Ring hash on the client address.
    IpHash,
    /// Ring hash on the route's hash key (session or client address).
    RingHash,
    /// Maglev table on the same key.
    Maglev,
}

/// Active health check (C12).
#[derive(Clone, Debug, PartialEq)]
pub struct HealthCheck {
    /// Default true.
    pub enabled: bool,
    /// TCP connect or HTTP GET.
    pub kind: ProbeKind,
    /// Pause between probes, jittered by 10 %. Default 5s.
    pub interval: Duration,
    /// One probe. Default 2s.
    pub timeout: Duration,
    /// Successes before in (rise). Default 2.
    pub healthy_threshold: u32,
    /// Failures before out (fall). Default 3.
    pub unhealthy_threshold: u32,
    /// Other port than the endpoint's. Default: none.
    pub port: Option<u16>,
}

/// How a probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// A connect is enough.
    Tcp,
    /// GET this path; 2xx and 3xx are healthy.
    Http {
        /// Path, starting with `/`.
        path: String,
    },
}

/// Both trip conditions of C2; each is optional.
#[derive(Clone, Debug, PartialEq)]
pub struct CircuitBreaker {
    /// Default true.
    pub enabled: bool,
    /// Failures in a row that open it. Default 5.
    pub failure_threshold: Option<u32>,
    /// Rate condition. Default 50 % over 10 s, at least 20 calls.
    pub rate: Option<BreakerRate>,
    /// Time open before probing; doubles per re-open up to `max_timeout`, jittered. Default 10s.
    pub timeout: Duration,
    /// Default 300s.
    pub max_timeout: Duration,
    /// Successes in a row while half open that close it. Default 2.
    pub success_threshold: u32,
    /// Concurrent probes while half open. Default 1.
    pub half_open_requests: u32,
    /// Total probe calls, then the rate decides (002-05). Default: none.
    pub permitted_calls_in_half_open_state: Option<u32>,
    /// A half-open state that reaches no verdict goes back to open. Default 30s.
    pub max_half_open: Duration,
}

/// Rate condition of a breaker.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerRate {
    /// Trip at or above. Default 50%.
    pub failure_rate: Ratio,
    /// Trip at or above this share of slow calls. Default 100% = only when all are slow.
    pub slow_call_rate: Ratio,
    /// What is slow; `None` = slow calls are not counted. Default none.
    pub slow_call_duration: Option<Duration>,
    /// Over what.
    pub window: SlidingWindow,
    /// Calls needed before a rate means anything. Default `min(20, size)`.
    pub minimum_calls: u32,
}

/// Over what a rate is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlidingWindow {
    /// The last N calls.
    Count(u32),
    /// The last duration, in 10 buckets.
    Time(Duration),
}

/// Outlier ejection.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlier {
    /// Default true.
    pub enabled: bool,
    /// Failures in a row before ejection. Default 5 (`max_fails`, `consecutive_errors`).
    pub consecutive_errors: u32,
    /// First ejection; times the number of ejections, up to `max_ejection_time`. Default 30s (`fail_timeout`).
    pub base_ejection_time: Duration,
    /// Default 300s.
    pub max_ejection_time: Duration,
    /// Share of endpoints that may be out at once; always leaves one. Default 50%.
    pub max_ejection_share: Ratio,
}

/// Retries. All inside `timeout`.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Default true.
    pub enabled: bool,
    /// Attempts including the first (`max_retries` + 1). Default 3.
    pub max_attempts: u32,
    /// Upper bound of the first jittered pause. Default 25ms.
    pub initial_delay: Duration,
    /// Growth per attempt. Default 2.
    pub multiplier: f64,
    /// Cap of the pause. Default 250ms.
    pub max_delay: Duration,
    /// One attempt until the response head. Default: none, the deadline alone.
    pub per_try_timeout: Option<Duration>,
    /// What may be retried (C3, GN-09). Default all three.
    #[allow(clippy::struct_field_names)] // the key's name
    pub retry_on: Vec<RetryOn>,
    /// Budget of this upstream. Default 20 % + 10/s over 10 s.
    pub budget: RetryBudget,
    /// Bodies up to this size are kept for a retry. Default 64KiB.
    pub replay_buffer: ByteSize,
}

/// Classes of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::enum_variant_names)] // the documented words
pub enum RetryOn {
    /// Connect, TLS, reset before anything was sent, refused stream, GOAWAY.
    ConnectionError,
    /// Per-try timeout.
    TimeoutError,
    /// 502, 503, 504, 429.
    TransientError,
}

/// A retry budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// Share of requests.
    pub ratio: Ratio,
    /// Retries per second always allowed.
    pub min_per_second: u32,
}

/// Upstream connection pool, per endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionPool {
    /// Connections per endpoint, this process (C7). Default 1024.
    pub max_size: usize,
    /// Idle connections kept per endpoint and worker. Default 64.
    pub max_idle: usize,
    /// Idle longer than this are closed. Default 60s.
    pub max_idle_time: Duration,
    /// Requests waiting for a connection of a full pool, per endpoint. Default 1024.
    pub max_waiting: usize,
    /// Re-resolution of names whose answer has no time to live. Default 30s; never below 1s.
    pub dns_refresh: Duration,
    /// Where names are asked for; empty = the system's servers. Default empty.
    pub dns_servers: Vec<SocketAddr>,
}

/// An upstream: a set of endpoints and the policy to call them by.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Unique name, used in metrics and logs: the route's or server's name.
    pub name: String,
    /// At least one.
    pub endpoints: Vec<Endpoint>,
    /// Effective policy.
    pub policy: UpstreamPolicy,
    /// Client TLS, for `https` endpoints.
    pub tls: ClientTls,
    /// Speak HTTP/2 to it: `auto` by ALPN on TLS, prior knowledge if `h2c`. Default HTTP/1.1 on clear text.
    pub http2: Http2Mode,
}

/// One address of an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// `http://host:port` or `https://host:port`, with an optional path prefix. A name is resolved again and again.
    pub url: String,
    /// Relative share; 0 = drained. Default 1.
    pub weight: u32,
    /// 0 is used first. Default 0.
    pub priority: u8,
    /// Zone label. Default none.
    pub zone: Option<String>,
}

/// When to use HTTP/2 towards an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2Mode {
    /// By ALPN over TLS, never in clear text (default).
    Auto,
    /// Never.
    Off,
    /// Always, also in clear text.
    PriorKnowledge,
}

/// Client side of TLS.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ClientTls {
    /// PEM bundle of trusted roots. Default: the system's.
    pub ca_file: Option<PathBuf>,
    /// Client certificate.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
    /// Name to verify instead of the endpoint's host.
    pub server_name: Option<String>,
}

/// A plain HTTP route.
#[derive(Clone, Debug, PartialEq)]
pub struct Api {
    /// Unique name.
    pub name: String,
    /// Segment-aware prefix; the longest wins.
    pub path_prefix: String,
    /// Remove the prefix before forwarding. Default false.
    pub strip_prefix: bool,
    /// Where it goes.
    pub upstream: Upstream,
    /// Who may call; default: root `auth`.
    pub auth: RouteAuth,
    /// Keep the client's Host (true, default) or send the endpoint's.
    pub preserve_host: bool,
    /// Request body limit. Default `server.max_body_bytes`.
    pub max_body_bytes: ByteSize,
    /// Header added upstream with a credential from config. Default none.
    pub upstream_auth: Option<UpstreamAuth>,
    /// Forward the client's `Authorization` when it did not authenticate here. Default true.
    pub forward_authorization: bool,
}

/// A credential that Holdfast adds.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamAuth {
    /// Header name. Default `authorization`.
    pub header: String,
    /// Value, for `authorization` usually `Bearer ...`.
    pub value: Secret,
}
