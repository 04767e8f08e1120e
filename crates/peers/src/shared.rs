//! What every task of the peer channel shares.

use crate::{
    Owner, ReplicaId,
    channel::{Channel, Material},
    error::BuildError,
    hello::{Hello, PROTOCOL, text},
    limits::Places,
    link::Policy,
    nonces::Nonces,
    table::Table,
    view::PeerView,
};
use arc_swap::ArcSwap;
use holdfast_config::{Ha, PeerChannel, PeerCredentials, PeerDiscovery};
use holdfast_seal::KeyRing;
use holdfast_telemetry::PeerMetrics;
use holdfast_upstream::Resolve;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::{AbortHandle, JoinSet},
};

/// HTTP/2 window of one answer: what an owner may send ahead of its reader.
pub(crate) const STREAM_WINDOW: u32 = 64 * 1024;

/// Streams of a connection besides questions: hello, pings, notes.
pub(crate) const SPARE_STREAMS: usize = 16;

/// Longest header list: a sealed handle and what stands beside it.
pub(crate) const HEADERS_BYTES_MAX: u32 = 16 * 1024;

/// What a reload may change, and what is made from it.
pub(crate) struct Settings {
    pub(crate) discovery: PeerDiscovery,
    pub(crate) channel: PeerChannel,
    pub(crate) credentials: PeerCredentials,
    pub(crate) ring: Arc<KeyRing>,
}

/// The channel in use, with what it was made from.
pub(crate) struct InUse {
    pub(crate) channel: Channel,
    pub(crate) made_of: (PeerCredentials, Material),
}

pub(crate) struct Shared {
    pub(crate) me: ReplicaId,
    pub(crate) hello: Hello,
    pub(crate) generation: AtomicU64,
    pub(crate) settings: ArcSwap<Settings>,
    pub(crate) in_use: ArcSwap<InUse>,
    /// Counts changes of settings and of the channel; every task that lives by them watches it.
    pub(crate) changed: watch::Sender<u64>,
    pub(crate) table: Table,
    pub(crate) nonces: Mutex<Nonces>,
    pub(crate) asks: Places,
    pub(crate) answers: Places,
    pub(crate) callers: Mutex<HashMap<ReplicaId, Places>>,
    pub(crate) views: Mutex<HashMap<SocketAddr, (PeerView, Instant)>>,
    pub(crate) metrics: Arc<PeerMetrics>,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) owner: Arc<dyn Owner>,
    pub(crate) control: Handle,
}

impl Settings {
    pub(crate) fn of(ha: &Ha, ring: Arc<KeyRing>) -> Result<Self, BuildError> {
        let (Some(discovery), Some(credentials)) = (&ha.peer_discovery, &ha.peer_channel.credentials) else {
            return Err(BuildError::Off);
        };
        if !ha.enabled {
            return Err(BuildError::Off);
        }
        let (discovery, credentials) = (discovery.clone(), credentials.clone());
        Ok(Self { discovery, channel: ha.peer_channel.clone(), credentials, ring })
    }

    pub(crate) fn policy(&self) -> Policy {
        Policy {
            dial: self.channel.handshake_timeout,
            ping: self.channel.ping_interval,
            misses_max: self.channel.max_missed_pings,
            longest_pause: self.channel.max_retry_delay,
        }
    }

    /// Windows of all streams that a connection may have: a reader that stands still stops nobody else.
    pub(crate) fn connection_window(&self) -> u32 {
        let streams = self.channel.max_asks_per_peer + SPARE_STREAMS;
        u32::try_from(streams).unwrap_or(u32::MAX / 2).saturating_mul(STREAM_WINDOW).min(i32::MAX as u32)
    }
}

impl InUse {
    /// Reads and checks. Blocks.
    pub(crate) fn read(credentials: &PeerCredentials) -> Result<Self, BuildError> {
        let material = Material::read(credentials)?;
        let channel = Channel::build(credentials, &material)?;
        Ok(Self { channel, made_of: (credentials.clone(), material) })
    }
}

impl Shared {
    /// What this replica says of itself now.
    pub(crate) fn hello(&self) -> Hello {
        let asks = self.settings.load().channel.max_asks_per_peer;
        Hello {
            generation: self.generation.load(Relaxed),
            asks: u32::try_from(asks).unwrap_or(u32::MAX),
            ..self.hello.clone()
        }
    }

    /// Tells every task that settings or channel are others now.
    pub(crate) fn announce_change(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Runs on the control runtime until it ends or its handle is dropped.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Task {
        Task(self.control.spawn(task).abort_handle())
    }

    /// Places for questions of another replica. Those of replicas that have none under way and no connection are forgotten.
    pub(crate) fn caller(&self, replica: ReplicaId) -> Places {
        let mut callers = self.callers.lock();
        callers.retain(|known, places| *known == replica || places.is_shared());
        callers.entry(replica).or_default().clone()
    }
}

pub(crate) fn hello(replica: ReplicaId, ha: &Ha, name: &str, version: &str) -> Hello {
    Hello {
        protocol: PROTOCOL,
        replica,
        name: text(name),
        region: ha.region.as_deref().map(text),
        zone: ha.zone.as_deref().map(text),
        version: text(version),
        generation: 0,
        asks: 0,
    }
}

/// Ends its task when dropped.
pub(crate) struct Task(AbortHandle);

impl Task {
    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// hyper's tasks of one dialled connection: they go to the control runtime, whoever asks, and end with the connection. Without
/// this, what waits on a connection that was given up would wait for the other side.
#[derive(Clone)]
pub(crate) struct Confined {
    control: Handle,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

/// Ends every task of a connection when dropped.
pub(crate) struct Confinement(Arc<Mutex<JoinSet<()>>>);

impl Confined {
    pub(crate) fn new(control: &Handle) -> (Self, Confinement) {
        let tasks = Arc::new(Mutex::new(JoinSet::new()));
        (Self { control: control.clone(), tasks: Arc::clone(&tasks) }, Confinement(tasks))
    }
}

impl<F> hyper::rt::Executor<F> for Confined
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let mut tasks = self.tasks.lock();
        // Those that ended are not kept.
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &self.control);
    }
}

impl Drop for Confinement {
    fn drop(&mut self) {
        self.0.lock().abort_all();
    }
}

/// hyper's tasks of an accepted connection: they end with its streams.
#[derive(Clone)]
pub(crate) struct Control(pub(crate) Handle);

impl<F> hyper::rt::Executor<F> for Control
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
