//! Routes: what clients saw.

use super::{Counter, Gauge, Histogram, Metric, PerLabel, Registry, Scope, label::label};
use crate::access::{AccessRecord, RecordOutcome};

label! {
    /// Class of a status code.
    pub enum CodeClass {
        /// 101: an upgrade.
        Informational => "1xx",
        /// 200 to 299.
        Success => "2xx",
        /// 300 to 399.
        Redirect => "3xx",
        /// 400 to 499, caused by the caller.
        Client => "4xx",
        /// 500 to 599.
        Server => "5xx",
        /// The client went away before any status was sent.
        NoStatus => "none",
    }
}

impl CodeClass {
    /// The class of a status; 0 = none was sent.
    pub fn of(status: u16) -> Self {
        match status {
            100..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirect,
            400..=499 => Self::Client,
            500..=599 => Self::Server,
            _ => Self::NoStatus,
        }
    }
}

/// Handles of one route.
#[derive(Debug)]
pub struct RouteMetrics {
    /// Requests ended, by class of status.
    pub requests: PerLabel<CodeClass, Counter>,
    /// Requests ended, by outcome.
    pub outcomes: PerLabel<RecordOutcome, Counter>,
    /// Head to last byte.
    pub duration: Histogram,
    /// Head to response head.
    pub first_byte: Histogram,
    /// Request body bytes.
    pub bytes_in: Counter,
    /// Response body bytes.
    pub bytes_out: Counter,
    /// Upgraded connections open now.
    pub tunnels: Gauge,
    _scope: Scope,
}

impl RouteMetrics {
    /// Handles of a route, by its name.
    pub fn new(registry: &Registry, route: &str) -> Self {
        let mut scope = registry.scope();
        Self {
            requests: scope.counters(Metric::RouteRequests, &[route]),
            outcomes: scope.counters(Metric::RouteOutcomes, &[route]),
            duration: scope.histogram(Metric::RouteDuration, &[route]),
            first_byte: scope.histogram(Metric::RouteFirstByte, &[route]),
            bytes_in: scope.counter(Metric::RouteBytesIn, &[route]),
            bytes_out: scope.counter(Metric::RouteBytesOut, &[route]),
            tunnels: scope.gauge(Metric::RouteTunnels, &[route]),
            _scope: scope,
        }
    }

    /// The one update per request, from its finished record.
    ///
    /// Durations of streams and tunnels are not in the duration histogram: how long a subscription was kept open is
    /// no latency. Their time to first byte is.
    pub fn count(&self, record: &AccessRecord) {
        self.requests.inc(CodeClass::of(record.status));
        self.outcomes.inc(record.outcome);
        if !record.streaming {
            self.duration.observe(record.duration);
        }
        if let Some(first_byte) = record.first_byte {
            self.first_byte.observe(first_byte);
        }
        let received = record.received();
        if received > 0 {
            self.bytes_in.inc_by(received);
        }
        if record.bytes_out > 0 {
            self.bytes_out.inc_by(record.bytes_out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeMap, time::Duration};

    #[test]
    fn one_request_is_counted_once_everywhere() {
        let registry = Registry::new(&BTreeMap::new()).unwrap();
        let route = RouteMetrics::new(&registry, "r");
        let record = AccessRecord {
            status: 503,
            outcome: RecordOutcome::UpstreamError,
            duration: Duration::from_millis(5),
            first_byte: Some(Duration::from_millis(4)),
            bytes_in: 10,
            bytes_out: 20,
            ..AccessRecord::default()
        };
        route.count(&record);
        let sum: u64 = route.requests.iter().map(|(_, c)| c.get()).sum();
        assert_eq!((sum, route.requests.get(CodeClass::Server).get()), (1, 1));
        let sum: u64 = route.outcomes.iter().map(|(_, c)| c.get()).sum();
        assert_eq!((sum, route.outcomes.get(RecordOutcome::UpstreamError).get()), (1, 1));
        assert_eq!((route.duration.count(), route.first_byte.count()), (1, 1));
        assert_eq!((route.bytes_in.get(), route.bytes_out.get()), (10, 20));
    }

    #[test]
    fn a_stream_that_was_open_for_an_hour_is_no_latency() {
        let registry = Registry::new(&BTreeMap::new()).unwrap();
        let route = RouteMetrics::new(&registry, "r");
        route.count(&AccessRecord {
            status: 200,
            streaming: true,
            duration: Duration::from_hours(1),
            first_byte: Some(Duration::from_millis(1)),
            ..AccessRecord::default()
        });
        assert_eq!((route.duration.count(), route.first_byte.count()), (0, 1));
    }

    #[test]
    fn every_status_has_a_class() {
        let class = |status| crate::metrics::Label::as_str(CodeClass::of(status));
        assert_eq!(
            [0, 101, 204, 304, 499, 599, 999].map(class),
            ["none", "1xx", "2xx", "3xx", "4xx", "5xx", "none"]
        );
    }
}
