//! Spans on their way to the collector.

use super::{Counter, Gauge, Metric, PerLabel, Registry, Scope, label::label};

label! {
    /// Why a span that was to be kept was lost.
    pub enum SpanLoss {
        /// `observability.tracing.max_queue` others waited.
        Queue => "queue",
        /// Its request had `observability.tracing.max_spans` already.
        Request => "request",
        /// The collector could not be reached, or answered that it was too busy, for too long.
        Unsent => "unsent",
        /// The collector refused it.
        Rejected => "rejected",
    }
}

label! {
    /// How one message to the collector ended.
    pub enum ExportResult {
        /// It was taken.
        Ok => "ok",
        /// It is worth another try: no answer, or a status that says so.
        Again => "again",
        /// It was refused for good.
        Refused => "refused",
    }
}

/// Handles of the tracer. One per process.
#[derive(Debug)]
pub struct TraceMetrics {
    /// Spans that the collector took.
    pub sent: Counter,
    /// Spans lost.
    pub lost: PerLabel<SpanLoss, Counter>,
    /// Spans that wait.
    pub waiting: Gauge,
    /// Messages to the collector.
    pub exports: PerLabel<ExportResult, Counter>,
    _scope: Scope,
}

impl TraceMetrics {
    /// Handles.
    pub fn new(registry: &Registry) -> Self {
        let mut scope = registry.scope();
        Self {
            sent: scope.counter(Metric::TraceSpansSent, &[]),
            lost: scope.counters(Metric::TraceSpansLost, &[]),
            waiting: scope.gauge(Metric::TraceSpansWaiting, &[]),
            exports: scope.counters(Metric::TraceExports, &[]),
            _scope: scope,
        }
    }
}
