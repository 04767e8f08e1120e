//! The call side.
//!
//! Counters are updated where things happen. Gauges that only mirror what an endpoint knows of itself (breaker state,
//! requests in flight, pool sizes, latency) are set when somebody looks: register [`Registry::on_scrape`] and set them
//! there; then they cost nothing on the way of a request.

use super::{Counter, Gauge, Histogram, Metric, PerLabel, Registry, Scope, SecondsGauge, label::label};
use std::sync::Arc;

label! {
    /// How an attempt ended.
    pub enum AttemptOutcome {
        /// A good response, to its end.
        Ok => "ok",
        /// No judgement: caused by the caller, or the caller went away.
        Neutral => "neutral",
        /// Dropped before it ended.
        Cancelled => "cancelled",
        /// No TCP connection.
        Connect => "connect",
        /// No TLS session.
        Tls => "tls",
        /// Connection lost.
        Reset => "reset",
        /// No response in time.
        Timeout => "timeout",
        /// A status that says the endpoint failed.
        Status => "status",
        /// The endpoint said that it has too much to do.
        Overloaded => "overloaded",
    }
}

label! {
    /// Which retry budget was empty.
    pub enum RetryBudgetLabel {
        /// The upstream's own.
        Upstream => "upstream",
        /// The one of the process.
        Process => "process",
    }
}

label! {
    /// Why no endpoint could be picked.
    pub enum Unroutable {
        /// There are none.
        Empty => "empty",
        /// All have weight 0.
        Drained => "drained",
        /// All breakers refuse, or all are ejected.
        Refusing => "refusing",
        /// All were tried.
        Tried => "tried",
        /// `max_requests` of the upstream.
        Saturated => "saturated",
        /// The endpoint that the request is pinned to is gone.
        PinnedGone => "pinned_gone",
    }
}

label! {
    /// State of an endpoint; each endpoint is counted in exactly one.
    pub enum EndpointStateLabel {
        /// Takes requests.
        Available => "available",
        /// Active probes failed.
        Unhealthy => "unhealthy",
        /// Its breaker refuses or probes.
        Refusing => "refusing",
        /// Ejected by its outcomes.
        Ejected => "ejected",
        /// Weight 0.
        Drained => "drained",
    }
}

label! {
    /// States of a circuit breaker, in the order of the gauge's numbers.
    pub enum BreakerState {
        /// Requests pass.
        Closed => "closed",
        /// A few requests find out.
        HalfOpen => "half_open",
        /// No request passes.
        Open => "open",
    }
}

label! {
    /// How a connect ended.
    pub enum ConnectResult {
        /// A connection.
        Ok => "ok",
        /// Refused or unreachable.
        Failed => "failed",
        /// `connect_timeout`.
        Timeout => "timeout",
        /// The TLS handshake failed.
        Tls => "tls",
        /// The address is one that Holdfast does not call.
        Blocked => "blocked",
    }
}

label! {
    /// What a probe, or a name resolution, found.
    pub enum ProbeResult {
        /// Good.
        Ok => "ok",
        /// Not good.
        Failed => "failed",
    }
}

/// Handles of one upstream.
#[derive(Debug)]
pub struct UpstreamMetrics {
    /// Attempts after the first.
    pub retries: Counter,
    /// Retries not made.
    pub retries_refused: PerLabel<RetryBudgetLabel, Counter>,
    /// Requests without an endpoint.
    pub unroutable: PerLabel<Unroutable, Counter>,
    /// Endpoints by state; set at scrape.
    pub endpoints: PerLabel<EndpointStateLabel, Gauge>,
    /// Attempt to response head.
    pub first_byte: Histogram,
    /// Name resolutions.
    pub resolutions: PerLabel<ProbeResult, Counter>,
    name: Arc<str>,
    scope: Scope,
}

impl UpstreamMetrics {
    /// Handles of an upstream, by its name.
    pub fn new(registry: &Registry, upstream: &str) -> Self {
        let mut scope = registry.scope();
        Self {
            retries: scope.counter(Metric::UpstreamRetries, &[upstream]),
            retries_refused: scope.counters(Metric::UpstreamRetriesRefused, &[upstream]),
            unroutable: scope.counters(Metric::UpstreamUnroutable, &[upstream]),
            endpoints: scope.gauges(Metric::UpstreamEndpoints, &[upstream]),
            first_byte: scope.histogram(Metric::UpstreamFirstByte, &[upstream]),
            resolutions: scope.counters(Metric::UpstreamResolutions, &[upstream]),
            name: Arc::from(upstream),
            scope,
        }
    }

    /// Handles of one of its endpoints, by its key. Keep them as long as the endpoint is in the set: when the last
    /// handle of an endpoint is dropped, its series leave the page.
    pub fn endpoint(&self, key: &str) -> EndpointMetrics {
        let mut scope = self.scope.registry().scope();
        let labels = &[&*self.name, key];
        EndpointMetrics {
            attempts: scope.counters(Metric::UpstreamAttempts, labels),
            connects: scope.counters(Metric::UpstreamConnections, labels),
            breaker_state: scope.gauge(Metric::UpstreamBreakerState, labels),
            breaker_transitions: scope.counters(Metric::UpstreamBreakerTransitions, labels),
            ejections: scope.counter(Metric::UpstreamEjections, labels),
            in_flight: scope.gauge(Metric::UpstreamInFlight, labels),
            pool_open: scope.gauge(Metric::UpstreamPoolOpen, labels),
            pool_idle: scope.gauge(Metric::UpstreamPoolIdle, labels),
            pool_waiting: scope.gauge(Metric::UpstreamPoolWaiting, labels),
            healthy: scope.gauge(Metric::UpstreamHealthy, labels),
            probes: scope.counters(Metric::UpstreamProbes, labels),
            latency: scope.seconds(Metric::UpstreamLatency, labels),
            _scope: scope,
        }
    }
}

/// Handles of one endpoint.
#[derive(Debug)]
pub struct EndpointMetrics {
    /// Attempts by outcome.
    pub attempts: PerLabel<AttemptOutcome, Counter>,
    /// Connects by result.
    pub connects: PerLabel<ConnectResult, Counter>,
    /// 0 closed, 1 half open, 2 open; set at scrape by [`EndpointMetrics::set_breaker`].
    pub breaker_state: Gauge,
    /// Transitions by new state.
    pub breaker_transitions: PerLabel<BreakerState, Counter>,
    /// Ejections.
    pub ejections: Counter,
    /// Attempts under way; set at scrape.
    pub in_flight: Gauge,
    /// Connections, busy or idle; set at scrape.
    pub pool_open: Gauge,
    /// Idle connections; set at scrape.
    pub pool_idle: Gauge,
    /// Requests waiting for a connection; set at scrape.
    pub pool_waiting: Gauge,
    /// 1 or 0.
    pub healthy: Gauge,
    /// Probes by result.
    pub probes: PerLabel<ProbeResult, Counter>,
    /// Seconds; set at scrape.
    pub latency: SecondsGauge,
    _scope: Scope,
}

impl EndpointMetrics {
    /// Records the breaker's state.
    pub fn set_breaker(&self, state: BreakerState) {
        self.breaker_state.set(state as i64);
    }
}
