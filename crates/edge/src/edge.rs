//! The accept side as a whole: bind, serve, reload, drain.

use crate::{
    Bound, CertificateView, Drain, DrainEvent, DrainHandle, Handler, Hooks, Phase, TlsError, Turns,
    caps::Caps,
    control, count, fd_limit,
    listener::bind,
    settings::{Limits, ListenerSettings, Settings},
    worker::Worker,
};
use arc_swap::ArcSwap;
use holdfast_config::{Listener, Server};
use holdfast_resilience::GcraCell;
use holdfast_telemetry::{
    EdgeMetrics, Registry,
    metrics::{CertificateMetrics, ProcessMetrics},
};
use holdfast_upstream::clock;
use parking_lot::Mutex;
use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::sync::Notify;

/// Why the accept side cannot start or cannot be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EdgeError {
    /// An address cannot be bound.
    #[error("listener `{listener}` cannot bind {address}: {source}")]
    Bind {
        /// Listener.
        listener: String,
        /// Address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// TLS of a listener cannot be set up; on a reload the old one goes on.
    #[error("listener `{listener}`: {source}")]
    Tls {
        /// Listener.
        listener: String,
        /// What is wrong.
        source: TlsError,
    },
    /// No listener at all.
    #[error("no listener is configured")]
    NoListener,
    /// A worker's thread or runtime cannot be started.
    #[error("a worker cannot be started: {0}")]
    Worker(io::Error),
}

/// One listener as all workers see it.
pub(crate) struct Socket {
    pub(crate) bound: Bound,
    pub(crate) metrics: Arc<EdgeMetrics>,
}

/// What workers, control thread and handles share.
pub(crate) struct Shared {
    pub(crate) sockets: Vec<Socket>,
    pub(crate) settings: ArcSwap<Settings>,
    pub(crate) caps: Arc<Caps>,
    /// TLS handshakes under way.
    pub(crate) handshakes: Arc<Turns>,
    /// What has been accepted lately.
    pub(crate) accepted: GcraCell,
    pub(crate) drain: DrainHandle,
    table: Mutex<Drain>,
    pub(crate) timing: Mutex<Timing>,
    /// Woken at each change of phase and when certificates should be looked at.
    pub(crate) control: Notify,
    process: ProcessMetrics,
    pub(crate) registry: Registry,
    pub(crate) certificates: Mutex<Vec<CertificateMetrics>>,
    workers: usize,
}

/// The times the control thread goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) drain_delay: Duration,
    pub(crate) max_drain: Duration,
    pub(crate) reload: Duration,
}

impl Timing {
    fn new(server: &Server) -> Self {
        Self {
            drain_delay: server.drain_delay,
            max_drain: server.max_drain,
            reload: server.certificate_reload_interval,
        }
    }
}

impl Shared {
    /// Applies a drain event and tells everybody. `false` = it has no meaning now.
    pub(crate) fn event(&self, event: DrainEvent) -> bool {
        let outcome = self.table.lock().handle(event);
        let Ok(phase) = outcome else { return false };
        tracing::info!(?event, ?phase, "drain");
        self.process.set_drain_phase(count::phase(phase));
        self.drain.publish(phase);
        self.control.notify_one();
        true
    }
}

/// The accept side with its sockets bound, not yet serving.
pub struct Edge {
    shared: Arc<Shared>,
    /// Per listener, one per worker.
    sockets: Vec<Vec<TcpListener>>,
    bound: Vec<Bound>,
}

impl Edge {
    /// Binds every socket and loads every certificate, or does nothing. From here clients queue in the kernel.
    pub fn bind(server: &Server, listeners: &[Listener], registry: &Registry) -> Result<Self, EdgeError> {
        if listeners.is_empty() {
            return Err(EdgeError::NoListener);
        }
        Self::bind_all(server, listeners, registry)
    }

    /// Workers that no client connects to: for a process whose one client comes another way.
    pub fn without_listeners(server: &Server, registry: &Registry) -> Result<Self, EdgeError> {
        Self::bind_all(server, &[], registry)
    }

    fn bind_all(server: &Server, listeners: &[Listener], registry: &Registry) -> Result<Self, EdgeError> {
        fd_limit::raise(server.max_connections);
        let workers = match server.workers {
            0 => thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let settings = build_settings(server, listeners, None)?;
        let (mut sockets, mut all) = (Vec::new(), Vec::new());
        for listener in listeners {
            let name: Arc<str> = listener.name.as_str().into();
            let (address, own) = bind(listener, workers).map_err(|source| EdgeError::Bind {
                listener: listener.name.clone(),
                address: SocketAddr::new(listener.host, listener.port),
                source,
            })?;
            let metrics = Arc::new(EdgeMetrics::new(registry, &name));
            sockets.push(Socket { bound: Bound { name, address, tls: listener.tls.is_some() }, metrics });
            all.push(own);
        }
        let bound = sockets.iter().map(|socket| socket.bound.clone()).collect();
        let shared = Arc::new(Shared {
            sockets,
            settings: ArcSwap::from_pointee(settings),
            caps: Caps::new(server.max_connections, server.max_connections_per_ip),
            handshakes: Turns::new(server.max_handshakes),
            accepted: GcraCell::new(clock::now()),
            drain: DrainHandle::new(),
            table: Mutex::new(Drain::new()),
            timing: Mutex::new(Timing::new(server)),
            control: Notify::new(),
            process: ProcessMetrics::new(registry),
            registry: registry.clone(),
            certificates: Mutex::new(Vec::new()),
            workers,
        });
        control::publish_certificates(&shared);
        Ok(Self { shared, sockets: all, bound })
    }

    /// Where it listens, in the order of the configuration.
    pub fn bound(&self) -> &[Bound] {
        &self.bound
    }

    /// Number of workers that will run.
    pub fn workers(&self) -> usize {
        self.shared.workers
    }

    /// For reload, drain and status.
    pub fn handle(&self) -> EdgeHandle {
        EdgeHandle { shared: Arc::clone(&self.shared) }
    }

    /// Starts the workers and the control thread. Returns at once.
    pub fn serve<H: Handler>(self, handler: &Arc<H>, hooks: &Hooks) -> Result<Workers, EdgeError> {
        let mut columns: Vec<_> = self.sockets.into_iter().map(Vec::into_iter).collect();
        let mut threads = Vec::with_capacity(self.shared.workers);
        for index in 0..self.shared.workers {
            let worker = Worker {
                shared: Arc::clone(&self.shared),
                handler: Arc::clone(handler),
                hooks: hooks.clone(),
                sockets: columns.iter_mut().filter_map(Iterator::next).collect(),
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(EdgeError::Worker)?;
            let thread = thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || runtime.block_on(worker.run()))
                .map_err(EdgeError::Worker)?;
            threads.push(thread);
        }
        let control = control::start(Arc::clone(&self.shared)).map_err(EdgeError::Worker)?;
        Ok(Workers { shared: self.shared, threads, control })
    }
}

/// The running threads.
pub struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    control: JoinHandle<()>,
}

impl Workers {
    /// Waits until the drain is over. Blocks the calling thread. Returns whether every worker ended in order: `false` means
    /// that one panicked.
    pub fn join(self) -> bool {
        let mut orderly = true;
        for thread in self.threads {
            orderly &= thread.join().is_ok();
        }
        if !self.shared.event(DrainEvent::LastDone) {
            // Cut by `max_drain` or by force, or a worker died: the table is there already, or has to be.
            self.shared.event(DrainEvent::Force);
        }
        orderly & self.control.join().is_ok()
    }
}

/// Changes a running accept side. Cheap to clone.
#[derive(Clone)]
pub struct EdgeHandle {
    shared: Arc<Shared>,
}

impl EdgeHandle {
    /// Replaces limits, timeouts, trusted hops and TLS for connections accepted from now on; those that are open keep what they
    /// began with. Threads and sockets stay as they are: what needs a restart is known to [`holdfast_config::restart_needed`]. An error
    /// changes nothing.
    pub fn apply(&self, server: &Server, listeners: &[Listener]) -> Result<(), EdgeError> {
        let old = self.shared.settings.load_full();
        let matched = self.matched(listeners);
        let settings = build_settings(server, &matched, Some(&old))?;
        self.shared.settings.store(Arc::new(settings));
        self.shared.caps.set(server.max_connections, server.max_connections_per_ip);
        self.shared.handshakes.set(server.max_handshakes);
        *self.shared.timing.lock() = Timing::new(server);
        control::publish_certificates(&self.shared);
        Ok(())
    }

    /// The configured listeners in the order of the sockets; a socket that lost its listener keeps what it has.
    fn matched(&self, listeners: &[Listener]) -> Vec<Option<Listener>> {
        let find =
            |socket: &Socket| listeners.iter().find(|new| new.name.as_str() == &*socket.bound.name).cloned();
        self.shared.sockets.iter().map(find).collect()
    }

    /// Begins the drain; asked again, ends it at once. Returns the phase afterwards.
    pub fn drain(&self) -> Phase {
        if !self.shared.event(DrainEvent::Begin) {
            self.shared.event(DrainEvent::Force);
        }
        self.phase()
    }

    /// Ends everything now: open connections are cut.
    pub fn stop(&self) {
        self.shared.event(DrainEvent::Force);
    }

    /// The present phase.
    pub fn phase(&self) -> Phase {
        self.shared.drain.phase()
    }

    /// For whoever has to know of the drain.
    pub fn drain_handle(&self) -> DrainHandle {
        self.shared.drain.clone()
    }

    /// The certificates that are served.
    pub fn certificates(&self) -> Vec<CertificateView> {
        control::certificates(&self.shared)
    }

    /// Looks at the certificate files now instead of at the next interval.
    pub fn poll_certificates(&self) {
        control::poll_certificates(&self.shared);
    }
}

/// A listener as it may be missing from a new configuration.
trait MaybeListener {
    fn listener(&self) -> Option<&Listener>;
}

impl MaybeListener for Listener {
    fn listener(&self) -> Option<&Listener> {
        Some(self)
    }
}

impl MaybeListener for Option<Listener> {
    fn listener(&self) -> Option<&Listener> {
        self.as_ref()
    }
}

fn build_settings<L: MaybeListener>(
    server: &Server,
    listeners: &[L],
    old: Option<&Settings>,
) -> Result<Settings, EdgeError> {
    let mut built = Vec::with_capacity(listeners.len());
    for (index, listener) in listeners.iter().enumerate() {
        let previous = old.and_then(|old| old.listeners.get(index));
        let settings = match (listener.listener(), previous) {
            (Some(listener), previous) => ListenerSettings::build(listener, previous)
                .map_err(|source| EdgeError::Tls { listener: listener.name.clone(), source })?,
            (None, Some(previous)) => previous.clone(),
            (None, None) => continue,
        };
        built.push(settings);
    }
    Ok(Settings { limits: Arc::new(Limits::new(server)), listeners: built })
}

#[cfg(test)]
#[path = "edge_tests.rs"]
mod tests;
