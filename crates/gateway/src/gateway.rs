//! What lives as long as the process: the pointer to the current snapshot and the parts that outlive it.

use crate::runtime::{BuildError, Runtime, Shared};
use arc_swap::ArcSwap;
use holdfast_config::{Config, Source};
use holdfast_edge::{ContextDefaults, EdgeHandle, Phase};
use holdfast_fronts::Fronts;
use holdfast_peers::Peers;
use holdfast_telemetry::trace::Tracer;
use holdfast_telemetry::{AccessLog, ConfigMetrics, RouteMetrics};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time for links to end beyond what their servers' configuration gives them.
const LAST_LINKS: Duration = Duration::from_secs(2);

/// The gateway. One per process, shared by all workers.
pub(crate) struct Gateway {
    current: ArcSwap<Runtime>,
    /// What the process started with: what a reload cannot change is still as it says.
    pub(crate) began_with: Arc<Config>,
    pub(crate) shared: Shared,
    /// The other replicas, if there is a channel to them.
    pub(crate) peers: Option<Arc<Peers>>,
    /// Clients that do not speak Streamable HTTP.
    pub(crate) fronts: Arc<Fronts>,
    /// Read again at each reload.
    pub(crate) sources: Vec<Source>,
    edge: EdgeHandle,
    pub(crate) listeners: Vec<(Arc<str>, SocketAddr)>,
    pub(crate) reloading: Mutex<()>,
    pub(crate) config_metrics: ConfigMetrics,
    pub(crate) defaults: ContextDefaults,
    pub(crate) no_route_name: Arc<str>,
    pub(crate) no_route_metrics: Arc<RouteMetrics>,
    pub(crate) access_log: Option<Arc<AccessLog>>,
    pub(crate) started: Instant,
}

/// What [`Gateway::new`] is made of.
pub(crate) struct Parts {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) shared: Shared,
    pub(crate) peers: Option<Arc<Peers>>,
    pub(crate) fronts: Arc<Fronts>,
    pub(crate) sources: Vec<Source>,
    pub(crate) edge: EdgeHandle,
    pub(crate) listeners: Vec<(Arc<str>, SocketAddr)>,
    pub(crate) config_metrics: ConfigMetrics,
    pub(crate) access_log: Option<Arc<AccessLog>>,
    pub(crate) tracer: Option<Arc<Tracer>>,
}

impl Gateway {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts {
            runtime,
            shared,
            peers,
            fronts,
            sources,
            edge,
            listeners,
            config_metrics,
            access_log,
            tracer,
        } = parts;
        let no_route_metrics = Arc::new(RouteMetrics::new(&shared.registry, "none"));
        Arc::new(Self {
            began_with: Arc::clone(&runtime.config),
            current: ArcSwap::new(runtime),
            shared,
            peers,
            fronts,
            sources,
            edge,
            listeners,
            reloading: Mutex::new(()),
            config_metrics,
            defaults: ContextDefaults::new(tracer),
            no_route_name: "none".into(),
            no_route_metrics,
            access_log,
            started: Instant::now(),
        })
    }

    /// The snapshot that serves now. A request keeps the one that it began with.
    pub(crate) fn runtime(&self) -> Arc<Runtime> {
        self.current.load_full()
    }

    /// Makes a snapshot the current one. Limits and certificates first: they can still be refused.
    pub(crate) fn apply(&self, runtime: &Arc<Runtime>) -> Result<(), BuildError> {
        self.rekey(runtime)?;
        if let Err(error) = self.edge.apply(&runtime.config.server, &runtime.config.listeners) {
            // What was in use until now. Why the reload was refused is what its author must hear.
            if let Err(stuck) = self.rekey(&self.runtime()) {
                tracing::error!(%stuck, "the peer channel keeps the settings of a reload that was refused");
            }
            return Err(error.into());
        }
        let before = self.current.swap(Arc::clone(runtime));
        // What a program was started for that is not configured any more, or otherwise.
        for links in &before.links {
            if !runtime.links.iter().any(|kept| Arc::ptr_eq(kept, links)) {
                links.retire();
            }
        }
        Ok(())
    }

    /// Whether this process should get traffic.
    pub(crate) fn is_ready(&self) -> bool {
        self.edge.phase() == Phase::Serving
    }

    /// The drain phase as `/status` shows it.
    pub(crate) fn phase_name(&self) -> &'static str {
        match self.edge.phase() {
            Phase::Serving => "serving",
            Phase::Unready => "unready",
            Phase::Closing => "closing",
            Phase::Stopped => "stopped",
        }
    }

    /// Begins the drain; asked again, ends it at once.
    pub(crate) fn begin_drain(&self, by: &'static str) {
        let phase = self.edge.drain();
        tracing::info!(by, ?phase, "drain asked for");
    }

    /// Ends every program and waits until nothing is left of them.
    pub(crate) async fn end_links(&self) {
        let runtime = self.runtime();
        for links in &runtime.links {
            links.retire();
        }
        for links in &runtime.links {
            if !links.finish(links.end_max() + LAST_LINKS).await {
                tracing::error!(server = links.name(), "links that do not end are left behind");
            }
        }
    }

    /// Every metric, as text.
    pub(crate) fn render_metrics(&self) -> String {
        self.shared.registry.render()
    }
}
