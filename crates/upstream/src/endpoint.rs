//! One endpoint: where it is, how it has been, and its connections.

use crate::{
    EndpointKey,
    connect::{Http2Use, Place},
    pool::Pool,
    url::EndpointUrl,
};
use holdfast_config::{ConnectionPool, HealthCheck, UpstreamPolicy};
use holdfast_resilience::{EndpointSnapshot, EndpointState};
use holdfast_telemetry::{EndpointMetrics, metrics::BreakerState};
use http::HeaderValue;
use parking_lot::Mutex;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// Shared by all workers, and by all sets it is part of.
pub(crate) struct Endpoint {
    pub(crate) key: EndpointKey,
    pub(crate) url: Arc<EndpointUrl>,
    pub(crate) place: Place,
    pub(crate) state: Arc<EndpointState>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) metrics: EndpointMetrics,
    /// Told when a call could not reach the endpoint or lost it: the prober looks at once.
    pub(crate) doubt: Arc<Notify>,
    /// It spoke HTTP/2 before: new connections are opened one at a time and shared.
    speaks_http2: AtomicBool,
    /// The values of the state's counters that the metrics have already.
    mirrored: Mutex<[u64; 4]>,
    made_of: MadeOf,
}

/// What an endpoint's connections and state were made from: unchanged means that both are kept on a reload.
#[derive(Clone, PartialEq)]
pub(crate) struct MadeOf {
    pub(crate) policy: UpstreamPolicy,
    pub(crate) pool: ConnectionPool,
}

impl Endpoint {
    pub(crate) fn new(
        key: EndpointKey,
        url: Arc<EndpointUrl>,
        place: Place,
        state: Arc<EndpointState>,
        metrics: EndpointMetrics,
        made_of: MadeOf,
    ) -> Arc<Self> {
        Arc::new(Self {
            doubt: Arc::new(Notify::new()),
            speaks_http2: AtomicBool::new(place.http2 == Http2Use::Always),
            pool: Pool::new(&made_of.pool),
            // A state that is taken over has been counted before.
            mirrored: Mutex::new(counts(&state.snapshot(crate::clock::now()))),
            key,
            url,
            place,
            state,
            metrics,
            made_of,
        })
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.place.addresses.first().copied()
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.made_of.policy.connect_timeout
    }

    pub(crate) fn health_check(&self) -> &HealthCheck {
        &self.made_of.policy.health_check
    }

    pub(crate) fn probes_enabled(&self) -> bool {
        self.made_of.policy.health_check.enabled
    }

    pub(crate) fn host_header(&self) -> &HeaderValue {
        &self.url.host_header
    }

    pub(crate) fn speaks_http2(&self) -> bool {
        self.speaks_http2.load(Ordering::Relaxed)
    }

    pub(crate) fn note_http2(&self) {
        self.speaks_http2.store(true, Ordering::Relaxed);
    }

    /// Whether connections and state can serve under the new configuration as they are.
    pub(crate) fn fits(&self, place: &Place, made_of: &MadeOf) -> bool {
        let same_tls = match (&self.place.tls, &place.tls) {
            (None, None) => true,
            (Some((mine, name)), Some((new, new_name))) => mine.is_same(new) && name == new_name,
            _ => false,
        };
        same_tls
            && self.place.addresses == place.addresses
            && self.place.http2 == place.http2
            && self.made_of.pool == made_of.pool
            && self.made_of.policy.connect_timeout == made_of.policy.connect_timeout
            && self.state_fits(made_of)
    }

    /// Whether the state alone can be kept: what is known of the server holds whatever we connect with.
    pub(crate) fn state_fits(&self, made_of: &MadeOf) -> bool {
        let (mine, new) = (&self.made_of.policy, &made_of.policy);
        mine.circuit_breaker == new.circuit_breaker
            && mine.outlier == new.outlier
            && mine.slow_start == new.slow_start
            && mine.health_check == new.health_check
    }

    /// Brings the metrics that mirror state up to date. Called when somebody looks.
    pub(crate) fn mirror(&self) {
        let now = crate::clock::now();
        let state = self.state.snapshot(now);
        let metrics = &self.metrics;
        metrics.breaker_state.set(i64::from(state.phase.gauge()));
        metrics.in_flight.set(i64::from(state.in_flight));
        metrics.pool_open.set(as_gauge(self.pool.open()));
        metrics.pool_idle.set(as_gauge(self.pool.idle()));
        metrics.pool_waiting.set(as_gauge(self.pool.waiting()));
        metrics.healthy.set(i64::from(state.healthy));
        metrics.latency.set(state.latency.unwrap_or_default().as_secs_f64());
        let transitions = &metrics.breaker_transitions;
        let counters = [
            transitions.get(BreakerState::Closed),
            transitions.get(BreakerState::HalfOpen),
            transitions.get(BreakerState::Open),
            &metrics.ejections,
        ];
        let mut mirrored = self.mirrored.lock();
        for ((counter, seen), count) in counters.into_iter().zip(mirrored.iter_mut()).zip(counts(&state)) {
            counter.inc_by(count.saturating_sub(*seen));
            *seen = count.max(*seen);
        }
    }
}

fn counts(state: &EndpointSnapshot) -> [u64; 4] {
    let entered = state.transitions;
    [entered.admitting, entered.probing, entered.refusing, state.ejections]
}

fn as_gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
