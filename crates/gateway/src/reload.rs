//! Reload: load again, build beside, swap one pointer; or change nothing and say why.

use crate::gateway::Gateway;
use crate::runtime::{BuildError, Runtime};
use holdfast_config::{ProcessEnv, Report, Role};
use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A reload that took effect.
#[derive(Debug)]
pub(crate) struct Reloaded {
    generation: u64,
    restart: Vec<&'static str>,
    warnings: usize,
    took: std::time::Duration,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "generation {} is serving, built in {:.1} ms",
            self.generation,
            self.took.as_secs_f64() * 1e3
        )?;
        if self.warnings > 0 {
            writeln!(f, "{} warnings; 'holdfast check' shows them", self.warnings)?;
        }
        if !self.restart.is_empty() {
            writeln!(f, "changed, but effective only after a restart: {}", self.restart.join(", "))?;
        }
        Ok(())
    }
}

/// A reload that changed nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    #[error("nothing was changed; the configuration has errors:\n{}", .0.render(false))]
    Invalid(Report),
    #[error("nothing was changed; {0}\n")]
    Build(#[from] BuildError),
    #[error("nothing was changed; the process is draining\n")]
    Draining,
    #[error("nothing was changed; the reload did not finish: {0}\n")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl Gateway {
    /// Loads the sources again and swaps the snapshot. One at a time; who comes second waits and then loads anew. Cancel
    /// safe: a caller that goes away leaves a reload that finishes.
    pub(crate) async fn reload(self: &Arc<Self>, by: &'static str) -> Result<Reloaded, ReloadError> {
        let gateway = Arc::clone(self);
        // Reading files and building 10,000 endpoints is no work for a runtime that also answers probes.
        let outcome = tokio::task::spawn_blocking(move || gateway.reload_now()).await?;
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        match &outcome {
            Ok(done) => {
                self.config_metrics.loaded(done.generation, unix);
                tracing::info!(by, generation = done.generation, "configuration reloaded");
                for key in &done.restart {
                    tracing::warn!(key, "needs a restart");
                }
            }
            Err(error) => {
                self.config_metrics.refused(unix);
                tracing::error!(by, %error, "reload refused, the old configuration serves on");
            }
        }
        outcome
    }

    fn reload_now(self: &Arc<Self>) -> Result<Reloaded, ReloadError> {
        let _one_at_a_time = self.reloading.lock();
        let start = Instant::now();
        if !self.is_ready() {
            return Err(ReloadError::Draining);
        }
        let loaded =
            holdfast_config::load(&self.sources, &ProcessEnv, Role::Serve).map_err(ReloadError::Invalid)?;
        let old = self.runtime();
        let generation = old.generation + 1;
        let new = Runtime::build(Arc::new(loaded.config), generation, &self.shared, Some(&old))?;
        self.apply(&new)?;
        let restart = holdfast_config::restart_needed(&self.began_with, &new.config);
        Ok(Reloaded { generation, restart, warnings: loaded.warnings.len(), took: start.elapsed() })
    }
}
