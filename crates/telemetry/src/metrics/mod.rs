//! Metrics: a table, a registry, and structs of handles.
//!
//! Nothing here is looked up while a request runs. A room asks for its handles when a snapshot is built and keeps
//! them; two snapshots that ask for the same series share the same atomics. When the last struct that holds a series
//! is dropped, the series disappears from the page.

mod config;
mod edge;
mod expiry;
mod fronts;
mod histogram;
mod label;
mod links;
mod mcp;
mod operation_names;
mod operations;
mod peers;
mod reference;
mod registry;
mod route;
mod store;
mod store_link;
mod table;
mod traces;
mod under_way;
mod upstream;
mod verdict;

pub use config::{ConfigMetrics, ReloadResult};
pub use edge::{
    CertificateMetrics, DrainPhase, EdgeMetrics, FramingViolation, ProcessMetrics, RefusedConnection, Stall,
    TlsFailure,
};
pub use expiry::{ExpiryMetrics, LastUse, SessionEnd, Touched};
pub use fronts::{Carrier, ConversationEnd, FrontMetrics, MessageRefusal, Passed};
pub use histogram::{DURATION_BUCKETS, Histogram, OPERATION_BUCKETS};
pub use label::{Label, PerLabel};
pub use links::{LinkDrop, LinkEnd, LinkMetrics, LinkOpening, LinkTear, ProcessEnd};
pub use mcp::{
    Denied, JournalRead, Limit, ListPart, MappedEra, McpMetrics, McpOutcome, MethodClass, Rebinding,
    SealFailure, SessionRefusal, StreamKind,
};
pub use operations::{Operation, OperationMethod, OperationVersion, Operations, ServerOperations, SessionOf};
pub use peers::{PeerAnswer, PeerAsk, PeerDeath, PeerDial, PeerEnd, PeerLinkState, PeerMetrics, PeerNote};
pub use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
pub use reference::reference_page;
pub use registry::{BadLabel, CONTENT_TYPE, Registry, Scope, ScrapeHook};
pub use route::{CodeClass, RouteMetrics};
pub use store::{StoreMetrics, StorePart, StoreResult, StoreValue};
pub use store_link::{StoreConnect, StoreDetour, StoreLinkMetrics, StoreServerMetrics};
pub use table::{Definition, Kind, Metric, Unit};
pub use traces::{ExportResult, SpanLoss, TraceMetrics};
pub use under_way::UnderWay;
pub use upstream::{
    AttemptOutcome, BreakerState, ConnectResult, EndpointMetrics, EndpointStateLabel, ProbeResult,
    RetryBudgetLabel, Unroutable, UpstreamMetrics,
};
pub use verdict::Verdict;

/// A gauge of seconds.
pub type SecondsGauge = Gauge<f64, std::sync::atomic::AtomicU64>;
