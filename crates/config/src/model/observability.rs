//! Metrics, logs, access records.

use std::{collections::BTreeMap, path::PathBuf};

/// `observability`.
#[derive(Clone, Debug, PartialEq)]
pub struct Observability {
    /// Metrics.
    pub metrics: Metrics,
    /// Operational log.
    pub logging: Logging,
    /// One record per request.
    pub access_log: AccessLog,
}

/// `observability.metrics`; `port` is `admin.port`.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Default true.
    pub enabled: bool,
    /// Labels on every series.
    pub additional_labels: BTreeMap<String, String>,
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
