//! Metrics, logs, access records.

use crate::{ClientTls, Ratio, Secret};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// `observability`.
#[derive(Clone, Debug, PartialEq)]
pub struct Observability {
    /// Metrics.
    pub metrics: Metrics,
    /// Operational log.
    pub logging: Logging,
    /// One record per request.
    pub access_log: AccessLog,
    /// Spans.
    pub tracing: Tracing,
}

/// `observability.metrics`; `port` is `admin.port`.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Default true.
    pub enabled: bool,
    /// Labels on every series.
    pub additional_labels: BTreeMap<String, String>,
    /// Tools and prompts that are labels. Default 200.
    pub max_names: usize,
}

/// `observability.logging`.
#[derive(Clone, Debug, PartialEq)]
pub struct Logging {
    /// `error`, `warn`, `info` (default), `debug`, `trace`, or a filter per module.
    pub level: String,
    /// Default json; text on a terminal when `auto`.
    pub format: LogFormat,
    /// Fields on every line.
    pub additional_fields: BTreeMap<String, String>,
}

/// Log format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere (default).
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// `observability.access_log`.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// Default true.
    pub enabled: bool,
    /// Default json.
    pub format: LogFormat,
    /// File; default standard output.
    pub path: Option<PathBuf>,
}

/// `observability.tracing`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracing {
    /// Default false.
    pub enabled: bool,
    /// `service.name`. Default `holdfast`.
    pub service_name: String,
    /// Share of the traces that begin here. Default 10%.
    pub sample_rate: Ratio,
    /// The collector, without `/v1/traces`.
    pub endpoint: String,
    /// Headers for it.
    pub headers: BTreeMap<String, Secret>,
    /// Client TLS.
    pub tls: ClientTls,
    /// One message. Default 10s.
    pub timeout: Duration,
    /// Longest wait before spans are sent. Default 1s.
    pub interval: Duration,
    /// How long a message is tried again. Default 1m.
    pub retry_for: Duration,
    /// Spans that wait at most. Default 8192.
    pub max_queue: usize,
    /// Spans of one message. Default 512.
    pub max_batch: usize,
    /// Spans kept of one request besides its own. Default 128.
    pub max_spans: usize,
}
