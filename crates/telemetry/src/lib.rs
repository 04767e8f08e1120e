//! What the gateway says about itself: metrics, logs and access records.
//!
//! - [`metrics`]: one table of every metric, a [`Registry`] that renders it, and plain structs of handles that the other
//!   rooms resolve once, when a snapshot is built. On the way of a request a handle is one atomic addition.
//! - [`access`]: one [`AccessRecord`] per request, written as bytes into a thread-local buffer and handed over in blocks.
//! - [`trace`]: the spans of a request, kept or forgotten at its end, and OTLP of those that are kept.
//! - [`logging`]: the operational log through `tracing`.
//!
//! Secrets never get here: credentials are a type that does not print, a path is recorded without its query, and
//! every text that came from outside is escaped where it is written.

pub mod access;
pub mod digits;
mod escape;
pub mod logging;
pub mod metrics;
pub mod trace;

pub use access::{
    AccessLog, AccessRecord, Inline, McpCall, RecordOutcome, flush_records, install_access_log,
};
pub use logging::{LogControl, init_logging};
pub use metrics::{
    ConfigMetrics, Counter, EdgeMetrics, EndpointMetrics, Gauge, Histogram, McpMetrics, PeerMetrics,
    Registry, RouteMetrics, StoreConnect, StoreDetour, StoreLinkMetrics, StoreMetrics, StorePart,
    StoreResult, StoreServerMetrics, StoreValue, UnderWay, UpstreamMetrics,
};
