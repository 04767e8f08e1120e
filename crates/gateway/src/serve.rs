//! `serve`: from sources to a running process, and from a signal to its end.

use crate::admin::{Admin, AdminError};
use crate::expiry;
use crate::export::Export;
use crate::gateway::{Gateway, Parts};
use crate::replicas;
use crate::runtime::{BuildError, Runtime, Shared};
use crate::stdio::{self, Stdio};
use holdfast_config::{Config, Loaded, ProcessEnv, Report, Role, Source};
use holdfast_edge::{Edge, EdgeError, Hooks};
use holdfast_fronts::Fronts;
use holdfast_mcp::Expiry;
use holdfast_telemetry::access::AccessMetrics;
use holdfast_telemetry::{
    AccessLog, ConfigMetrics, Registry, flush_records, init_logging, install_access_log,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

/// Time for the last access records to reach their file.
const LAST_RECORDS: Duration = Duration::from_secs(2);
/// Time for other replicas to learn which sessions were used here last, and for servers to hear of those that ended.
const LAST_USES: Duration = Duration::from_secs(2);
/// Time for the last answers of `--stdio` to be written.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// Time for the last spans to reach the collector.
const LAST_SPANS: Duration = Duration::from_secs(2);
/// Time for background work to end after the last connection did.
const CONTROL_SHUTDOWN: Duration = Duration::from_secs(1);

/// What to serve.
#[derive(Debug)]
pub struct ServeOptions {
    /// Read now and at each reload.
    pub sources: Vec<Source>,
    /// Written when every socket accepts: addresses and process id as JSON, renamed into place.
    pub ready_file: Option<PathBuf>,
    /// The one client is at the other end of standard input and output; nothing listens.
    pub stdio: bool,
}

/// Why the gateway did not start, or did not end in order.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration has errors.
    #[error("the configuration has errors")]
    Invalid(Report),
    /// The machine said no.
    #[error("{0}")]
    Environment(String),
}

impl From<BuildError> for ServeError {
    fn from(error: BuildError) -> Self {
        Self::Environment(error.to_string())
    }
}
impl From<EdgeError> for ServeError {
    fn from(error: EdgeError) -> Self {
        Self::Environment(error.to_string())
    }
}
impl From<AdminError> for ServeError {
    fn from(error: AdminError) -> Self {
        Self::Environment(error.to_string())
    }
}

/// Runs until the process has drained. Blocks.
pub fn serve(options: ServeOptions) -> Result<(), ServeError> {
    let Loaded { mut config, warnings, .. } =
        holdfast_config::load(&options.sources, &ProcessEnv, Role::Serve).map_err(ServeError::Invalid)?;
    if options.stdio {
        stdio::adapt(&mut config);
    }
    let config = Arc::new(config);
    let environment = |error: &dyn std::fmt::Display| ServeError::Environment(error.to_string());
    let _log = init_logging(&config.observability.logging).map_err(|e| environment(&e))?;
    for warning in &warnings {
        tracing::warn!(%warning, "configuration");
    }
    let registry =
        Registry::new(&config.observability.metrics.additional_labels).map_err(|e| environment(&e))?;
    let access = AccessLog::start(&config.observability.access_log, AccessMetrics::new(&registry))
        .map_err(|e| environment(&e))?;
    install_access_log(access.clone());
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|e| environment(&e))?;
    let outcome = run(&config, options, &registry, access.as_ref(), &control);
    control.shutdown_timeout(CONTROL_SHUTDOWN);
    flush_records();
    if let Some(access) = access {
        access.finish(LAST_RECORDS);
    }
    outcome
}

fn run(
    config: &Arc<Config>,
    options: ServeOptions,
    registry: &Registry,
    access: Option<&Arc<AccessLog>>,
    control: &tokio::runtime::Runtime,
) -> Result<(), ServeError> {
    let edge = if options.stdio {
        Edge::without_listeners(&config.server, registry)?
    } else {
        Edge::bind(&config.server, &config.listeners, registry)?
    };
    let admin = control.block_on(Admin::bind(&config.admin))?;
    let shared = Shared::new(config, registry, control.handle())?;
    let config_metrics = ConfigMetrics::new(registry);
    let runtime = Runtime::build(Arc::clone(config), 1, &shared, None)?;
    let fronts = Fronts::new(shared.mcp.replica(), registry);
    let peers = replicas::start(&runtime, &shared, &fronts)?;
    config_metrics.loaded(1, SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
    let instance = shared.mcp.replica().to_string();
    let export = Export::start(config, registry, control.handle(), instance)?;
    let listeners: Vec<_> =
        edge.bound().iter().map(|bound| (Arc::clone(&bound.name), bound.address)).collect();
    let drain = edge.handle().drain_handle();
    let gateway = Gateway::new(Parts {
        runtime,
        shared,
        peers,
        fronts,
        sources: options.sources,
        edge: edge.handle(),
        listeners,
        config_metrics,
        access_log: access.cloned(),
        tracer: export.as_ref().map(|export| Arc::clone(&export.tracer)),
    });
    let admin_address = admin.address();
    // Signals are caught before anybody can know that the process is ready, so that none is fatal by default.
    let signals = control.block_on(async { Signals::new() })?;
    control.spawn(admin.run(Arc::clone(&gateway)));
    control.spawn(signals.run(Arc::clone(&gateway)));
    let hooks = Hooks { start: Vec::new(), tick: vec![Arc::new(flush_records)] };
    let expiry = expiry::start(&gateway);
    let workers = edge.serve(&gateway, &hooks)?;
    for (name, address) in &gateway.listeners {
        tracing::info!(listener = %name, %address, "listening");
    }
    if let Some(path) = &options.ready_file {
        announce(path, &gateway, admin_address)
            .map_err(|error| ServeError::Environment(format!("ready file {}: {error}", path.display())))?;
    }
    let client = if options.stdio {
        let stdio = Stdio::new(&gateway, drain)?;
        Some(control.spawn(stdio.run()))
    } else {
        None
    };
    let in_order = workers.join();
    // What was asked before the end is answered; a client that hangs is left.
    let client = client.map(|client| (client, stdio::grace(config) + LAST_ANSWERS));
    control.block_on(end(&gateway, client, expiry, export));
    if in_order {
        tracing::info!("drained, ending");
        Ok(())
    } else {
        Err(ServeError::Environment("a worker thread ended out of order; the log has its panic".to_owned()))
    }
}

/// What is still to do when the last connection has ended. Each part has its limit.
async fn end(
    gateway: &Gateway,
    client: Option<(JoinHandle<()>, Duration)>,
    expiry: Expiry,
    export: Option<Export>,
) {
    if let Some((client, limit)) = client {
        let _ = tokio::time::timeout(limit, client).await;
    }
    expiry.finish(LAST_USES).await;
    gateway.end_links().await;
    if let Some(export) = export {
        export.finish(LAST_SPANS).await;
    }
}

/// Writes the ready file beside its place and renames it, so that whoever sees it sees all of it.
fn announce(path: &Path, gateway: &Gateway, admin: Option<std::net::SocketAddr>) -> std::io::Result<()> {
    let listeners: Vec<_> = gateway
        .listeners
        .iter()
        .map(|(name, address)| serde_json::json!({ "name": name, "address": address.to_string() }))
        .collect();
    let text = serde_json::json!({
        "pid": std::process::id(),
        "listeners": listeners,
        "admin": admin.map(|address| address.to_string()),
    });
    let draft = path.with_extension("partial");
    std::fs::write(&draft, text.to_string())?;
    std::fs::rename(&draft, path)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, ServeError> {
        let catch = |kind| signal(kind).map_err(|error| ServeError::Environment(format!("signals: {error}")));
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            hangup: catch(SignalKind::hangup())?,
        })
    }

    async fn run(mut self, gateway: Arc<Gateway>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => gateway.begin_drain("SIGTERM"),
                _ = self.interrupt.recv() => gateway.begin_drain("SIGINT"),
                _ = self.hangup.recv() => {
                    if let Some(log) = &gateway.access_log {
                        log.reopen();
                    }
                    // The outcome is logged where it happens; nobody waits for it here.
                    let _ = gateway.reload("SIGHUP").await;
                }
            }
        }
    }
}
