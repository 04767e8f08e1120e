//! The room's front: start, ask, tell, look, reload.

use crate::{
    Ask, Owner, PeerError, PeerLimit, Refusal, ReplicaId,
    body::{PeerBody, UnderWay},
    dial::request,
    discovery::discover,
    error::BuildError,
    limits::{Place, Places},
    listen::{accept, bind},
    nonces::Nonces,
    serve::ANSWERING,
    shared::{self, InUse, Settings, Shared, Task, now},
    table::{Known, Living, Table},
    view::PeerView,
    wire::{self, No, WireAsk},
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use holdfast_config::Ha;
use holdfast_seal::KeyRing;
use holdfast_telemetry::{
    PeerMetrics,
    metrics::{PeerAsk, PeerNote},
};
use holdfast_upstream::{Resolve, clock};
use http::Response;
use hyper::body::Incoming;
use parking_lot::Mutex;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{runtime::Handle, sync::watch, time::MissedTickBehavior};

/// How often files of keys and certificates are looked at.
const FILES_EVERY: Duration = Duration::from_secs(10);

/// What a peer channel is started with, besides its configuration.
pub struct Parts {
    /// This process.
    pub replica: ReplicaId,
    /// Version of the program.
    pub version: &'static str,
    /// Generation of the configuration.
    pub generation: u64,
    /// Opens handles.
    pub ring: Arc<KeyRing>,
    /// Metrics.
    pub metrics: Arc<PeerMetrics>,
    /// Turns names of peers into addresses.
    pub resolver: Arc<dyn Resolve>,
    /// Answers what others ask.
    pub owner: Arc<dyn Owner>,
    /// Where all of it runs.
    pub control: Handle,
}

/// The other replicas. Dropping it, or [`stop`](Self::stop), ends every connection and task.
pub struct Peers {
    pub(crate) shared: Arc<Shared>,
    address: SocketAddr,
    tasks: Mutex<Vec<Task>>,
}

impl Peers {
    /// Binds the port, begins to accept and to look for the others. Never waits for any of them. Reads files, so it blocks.
    pub fn start(ha: &Ha, parts: Parts) -> Result<Arc<Self>, BuildError> {
        let settings = Settings::of(ha, parts.ring)?;
        let in_use = InUse::read(&settings.credentials)?;
        let _inside = parts.control.enter();
        let listener = bind(&settings.channel)?;
        let address = listener.local_addr().map_err(|source| BuildError::Bind {
            address: SocketAddr::new(settings.channel.host, settings.channel.port),
            source,
        })?;
        let name = ha.replica.clone().unwrap_or_else(|| default_name(address.port()));
        let shared = Arc::new(Shared {
            me: parts.replica,
            hello: shared::hello(parts.replica, ha, &name, parts.version),
            generation: AtomicU64::new(parts.generation),
            settings: ArcSwap::from_pointee(settings),
            in_use: ArcSwap::from_pointee(in_use),
            changed: watch::Sender::new(0),
            table: Table::default(),
            nonces: Mutex::new(Nonces::default()),
            asks: Places::default(),
            answers: Places::default(),
            callers: Mutex::default(),
            views: Mutex::default(),
            metrics: parts.metrics,
            resolver: parts.resolver,
            owner: parts.owner,
            control: parts.control.clone(),
        });
        tracing::info!(replica = %shared.me, name, %address, "listening for other replicas");
        let tasks = vec![
            shared.spawn(accept(Arc::clone(&shared), listener)),
            shared.spawn(discover(Arc::clone(&shared))),
            shared.spawn(watch_files(Arc::clone(&shared))),
        ];
        Ok(Arc::new(Self { shared, address, tasks: Mutex::new(tasks) }))
    }

    /// Asks the replica that has something. The answer's head is there before `ask.until`, or an error is; its body then streams
    /// for as long as both sides live. Cancel safe: dropping it, or the body, ends the work at the owner.
    pub async fn ask(&self, owner: ReplicaId, ask: Ask) -> Result<Response<PeerBody>, PeerError> {
        let mut counted = Counted { metrics: &self.shared.metrics, outcome: PeerAsk::Cancelled };
        let answer = self.ask_uncounted(owner, ask).await;
        counted.outcome = match &answer {
            Ok(_) => PeerAsk::Ok,
            Err(error) => label(error),
        };
        answer
    }

    async fn ask_uncounted(&self, owner: ReplicaId, ask: Ask) -> Result<Response<PeerBody>, PeerError> {
        // Hop limit 1. Asking oneself is a hop too many as well.
        if ANSWERING.try_with(|()| ()).is_ok() || owner == self.shared.me {
            return Err(PeerError::Looped);
        }
        let living = match self.shared.table.find(owner) {
            Known::Living(living) => living,
            Known::Dead => return Err(PeerError::Dead { replica: owner, sent: false }),
            Known::Unknown => return Err(PeerError::Unknown(owner)),
        };
        let limits = self.shared.settings.load_full();
        let limits = &limits.channel;
        if ask.body.len() as u64 > limits.max_ask_bytes.0 {
            return Err(PeerError::Refused(Refusal::TooLarge));
        }
        let within = wire::within(ask.until, now(), limits.max_ask_time).ok_or(PeerError::Timeout(owner))?;
        let places = self.places(&living)?;
        let nonce = fastrand::u128(..);
        let mut message =
            request(wire::ASK, ask.body.clone()).ok_or(PeerError::Refused(Refusal::Malformed))?;
        let written = WireAsk::of(&ask, within, nonce).write(message.headers_mut());
        written.ok_or(PeerError::Refused(Refusal::Malformed))?;
        let sent = living.sender.clone().send_request(message);
        let until = clock::after(now(), within);
        let response = match clock::timeout_at(until, sent).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(lost(owner, &error)),
            Err(_) => return Err(PeerError::Timeout(owner)),
        };
        self.open(owner, response, places)
    }

    fn places(&self, living: &Living) -> Result<(Place, Place, UnderWay), PeerError> {
        let settings = self.shared.settings.load();
        let limits = &settings.channel;
        // What the owner would refuse is not sent.
        let per_peer = limits.max_asks_per_peer.min(living.hello.asks as usize);
        let one = living.asks.take(per_peer).ok_or(PeerError::Overloaded(PeerLimit::AsksPerPeer))?;
        let all = self.shared.asks.take(limits.max_asks).ok_or(PeerError::Overloaded(PeerLimit::Asks))?;
        Ok((one, all, UnderWay::new(&self.shared.metrics.asks_in_flight)))
    }

    fn open(
        &self,
        owner: ReplicaId,
        response: Response<Incoming>,
        places: (Place, Place, UnderWay),
    ) -> Result<Response<PeerBody>, PeerError> {
        if let Some(no) = No::read(response.headers()) {
            return Err(no.error(owner));
        }
        let (mut head, body) = response.into_parts();
        wire::strip(&mut head.headers);
        Ok(Response::from_parts(head, PeerBody::new(body, &self.shared.metrics.torn, places)))
    }

    /// Sends a note to every replica that lives: in order, at most once, without an answer. One whose queue is full misses it, which is
    /// counted. Never waits.
    pub fn tell(&self, note: &Bytes) {
        let notes = &self.shared.metrics.notes;
        if note.len() as u64 > self.shared.settings.load().channel.max_note_bytes.0 {
            tracing::error!(bytes = note.len(), "a note is longer than ha.peer_channel.max_note_bytes");
            return notes.inc(PeerNote::TooLong);
        }
        for living in self.shared.table.all() {
            if living.notes.try_send(note.clone()).is_err() {
                notes.inc(PeerNote::QueueFull);
            }
        }
    }

    /// Whether a replica lives, as far as is known here. `false` for this one.
    pub fn lives(&self, replica: ReplicaId) -> bool {
        self.shared.table.lives(replica)
    }

    /// Every address that is followed, for `/status`.
    pub fn view(&self) -> Vec<PeerView> {
        let now = now();
        let views = self.shared.views.lock();
        let mut views: Vec<PeerView> = views
            .values()
            .map(|(view, since)| PeerView { since: now.saturating_duration_since(*since), ..view.clone() })
            .collect();
        views.sort_by_key(|view| view.address);
        views
    }

    /// This process.
    pub fn replica(&self) -> ReplicaId {
        self.shared.me
    }

    /// Its name for people.
    pub fn name(&self) -> &str {
        &self.shared.hello.name
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes another configuration, or changes nothing. Connections whose credential is no longer accepted end; all others stay. Reads
    /// files, so it blocks.
    pub fn reload(&self, ha: &Ha, ring: Arc<KeyRing>, generation: u64) -> Result<(), BuildError> {
        let settings = Settings::of(ha, ring)?;
        let in_use = InUse::read(&settings.credentials)?;
        self.shared.settings.store(Arc::new(settings));
        self.shared.in_use.store(Arc::new(in_use));
        self.shared.generation.store(generation, Relaxed);
        self.shared.announce_change();
        Ok(())
    }

    /// Ends every connection and task. Answers that stream break off, here and there.
    pub fn stop(&self) {
        self.tasks.lock().clear();
    }
}

/// Files change under a running process: certificates are renewed, keys are rotated.
async fn watch_files(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(FILES_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if !reread(&shared).await {
            return;
        }
    }
}

/// Looks at the files once. `false` = the runtime is going down.
pub(crate) async fn reread(shared: &Shared) -> bool {
    let credentials = shared.settings.load().credentials.clone();
    match tokio::task::spawn_blocking(move || InUse::read(&credentials)).await {
        Ok(Ok(fresh)) if fresh.made_of != shared.in_use.load().made_of => {
            // A reload that came meanwhile has read newer ones.
            if fresh.made_of.0 == shared.settings.load().credentials {
                shared.in_use.store(Arc::new(fresh));
                shared.announce_change();
                tracing::info!("keys or certificates of the peer channel have changed");
            }
        }
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "keeping the old keys and certificates of the peer channel"),
        Err(_) => return false,
    }
    true
}

fn default_name(port: u16) -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    format!("{}:{port}", host.as_deref().unwrap_or("replica"))
}

fn lost(replica: ReplicaId, error: &hyper::Error) -> PeerError {
    let cause = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    match cause.filter(|cause| cause.is_reset()).and_then(h2::Error::reason) {
        // RFC 9113, 8.7: it was not processed. Its limit is lower than it said, or it is going away.
        Some(h2::Reason::REFUSED_STREAM) => PeerError::Overloaded(PeerLimit::Owner),
        // The question's own stream ended, not the connection.
        Some(_) => PeerError::Torn(replica),
        None => PeerError::Dead { replica, sent: !error.is_canceled() },
    }
}

fn label(error: &PeerError) -> PeerAsk {
    match error {
        PeerError::Unknown(_) => PeerAsk::Unknown,
        PeerError::Dead { .. } => PeerAsk::Dead,
        PeerError::Timeout(_) => PeerAsk::Timeout,
        PeerError::Torn(_) => PeerAsk::Torn,
        PeerError::Refused(_) => PeerAsk::Refused,
        PeerError::Looped => PeerAsk::Looped,
        PeerError::Overloaded(_) => PeerAsk::Overloaded,
    }
}

/// Counts an ask when its head is here, or when nobody waits for it any more.
struct Counted<'a> {
    metrics: &'a PeerMetrics,
    outcome: PeerAsk,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.metrics.asks.inc(self.outcome);
    }
}
