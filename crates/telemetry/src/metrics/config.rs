//! What build and which configuration serve.

use super::{Counter, Gauge, Metric, PerLabel, Registry, Scope, label::label};

label! {
    /// How a load or reload ended.
    pub enum ReloadResult {
        /// The new snapshot serves.
        Ok => "ok",
        /// It was refused; the old one serves on.
        Refused => "refused",
    }
}

/// Build and configuration.
#[derive(Debug)]
pub struct ConfigMetrics {
    generation: Gauge,
    last_ok: Gauge,
    last_time: Gauge,
    reloads: PerLabel<ReloadResult, Counter>,
    _scope: Scope,
}

impl ConfigMetrics {
    /// Handles. One per process.
    pub fn new(registry: &Registry) -> Self {
        let mut scope = registry.scope();
        scope.gauge(Metric::BuildInfo, &[env!("CARGO_PKG_VERSION")]).set(1);
        Self {
            generation: scope.gauge(Metric::ConfigGeneration, &[]),
            last_ok: scope.gauge(Metric::ConfigLastReloadOk, &[]),
            last_time: scope.gauge(Metric::ConfigLastReloadTime, &[]),
            reloads: scope.counters(Metric::ConfigReloads, &[]),
            _scope: scope,
        }
    }

    /// A snapshot of this generation serves since `unix_seconds`.
    pub fn loaded(&self, generation: u64, unix_seconds: u64) {
        self.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.ended(ReloadResult::Ok, unix_seconds);
    }

    /// A reload was refused at `unix_seconds`.
    pub fn refused(&self, unix_seconds: u64) {
        self.ended(ReloadResult::Refused, unix_seconds);
    }

    fn ended(&self, result: ReloadResult, unix_seconds: u64) {
        self.last_ok.set(i64::from(result == ReloadResult::Ok));
        self.last_time.set(i64::try_from(unix_seconds).unwrap_or(i64::MAX));
        self.reloads.inc(result);
    }
}
