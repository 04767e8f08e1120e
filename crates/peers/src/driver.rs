//! The task of one address: it carries out what [`Link`] decides.

use crate::{
    PeerState, PeerView,
    dial::{DialError, Dialled, dial, request},
    hello::Hello,
    link::{Action, Death, Event, Link, State},
    notes::{BATCH_BYTES, Batch},
    shared::{Confinement, Shared, Task, now},
    table::{Living, Sender},
    wire,
};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use holdfast_telemetry::metrics::{PeerDeath, PeerDial, PeerLinkState, PeerNote};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant as TokioInstant, sleep_until},
};

/// A batch of notes that is not taken by then is lost.
const TELL_TIMEOUT: Duration = Duration::from_secs(5);

/// Follows one address until it is neither named nor connected. `named` says whether discovery names it.
pub(crate) async fn drive(
    shared: Arc<Shared>,
    address: SocketAddr,
    host: Box<str>,
    named: watch::Receiver<bool>,
) {
    let changed = shared.changed.subscribe();
    let link = Link::new(shared.me, now());
    let view = Shown::new(&shared, address, &host);
    let mut driver = Driver {
        shared,
        address,
        host,
        link,
        dialling: None,
        connected: None,
        pings: FuturesUnordered::new(),
        view,
    };
    driver.run(named, changed).await;
}

struct Driver {
    shared: Arc<Shared>,
    address: SocketAddr,
    host: Box<str>,
    link: Link,
    dialling: Option<BoxFuture<'static, Result<Dialled, DialError>>>,
    connected: Option<Connected>,
    /// At most `max_missed_pings` of them: after that the connection is dropped, and they with it.
    pings: FuturesUnordered<BoxFuture<'static, Option<Duration>>>,
    view: Shown,
}

struct Connected {
    living: Arc<Living>,
    lost: oneshot::Receiver<Box<str>>,
    shared: Arc<Shared>,
    _connection: (Task, Confinement),
    _notes: Task,
}

impl Drop for Connected {
    /// Before the connection goes: nobody finds a replica that cannot be asked.
    fn drop(&mut self) {
        self.shared.table.remove(&self.living, &self.shared.metrics);
    }
}

impl Driver {
    async fn run(&mut self, mut named: watch::Receiver<bool>, mut changed: watch::Receiver<u64>) {
        loop {
            let Some(wake) = self.link.wake() else { return };
            let event = tokio::select! {
                biased;
                result = maybe(&mut self.dialling) => self.dialled(result),
                why = lost(&mut self.connected) => {
                    self.view.error(&why);
                    Event::Lost
                }
                Some(pong) = self.pings.next(), if !self.pings.is_empty() => match pong {
                    Some(round_trip) => {
                        self.shared.metrics.round_trip.observe(round_trip);
                        self.view.round_trip(round_trip);
                        Event::Ponged
                    }
                    // Its connection is about to say why.
                    None => continue,
                },
                // A sender that is gone is an address that nobody names.
                result = named.changed() => Event::Named(result.is_ok() && *named.borrow_and_update()),
                result = changed.changed() => {
                    if result.is_err() || self.is_accepted() {
                        continue;
                    }
                    Event::Withdrawn
                }
                () = sleep_until(TokioInstant::from_std(wake)) => Event::Tick,
            };
            self.on(event);
        }
    }

    fn on(&mut self, event: Event) {
        let policy = self.shared.settings.load().policy();
        let before = self.link.state();
        let action = self.link.on(event, now(), &policy, &mut fastrand::Rng::new());
        match action {
            Action::None | Action::Announce => {}
            Action::Dial => self.dial(),
            Action::Ping => self.ping(),
            Action::Abandon => self.abandon(event),
            Action::Dead(death) => self.dead(death),
        }
        self.view.state(before, self.link.state());
    }

    fn dial(&mut self) {
        let (shared, address, host) = (Arc::clone(&self.shared), self.address, self.host.clone());
        self.dialling = Some(async move { dial(&shared, address, &host).await }.boxed());
    }

    fn dialled(&mut self, result: Result<Dialled, DialError>) -> Event {
        self.dialling = None;
        match result {
            Ok(dialled) => {
                let replica = dialled.hello.replica;
                if replica == self.shared.me {
                    self.shared.metrics.dials.inc(PeerDial::Own);
                } else {
                    self.shared.metrics.dials.inc(PeerDial::Ok);
                    tracing::info!(%replica, name = %dialled.hello.name, address = %self.address, "found another replica");
                    self.view.greeted(&dialled.hello);
                    self.connected = Some(Connected::new(&self.shared, dialled));
                }
                Event::Greeted(replica)
            }
            Err(error) => {
                self.shared.metrics.dials.inc(error.result());
                if self.view.error(&error.to_string()) {
                    tracing::warn!(address = %self.address, host = %self.host, %error, "cannot reach a replica; trying again");
                }
                Event::Failed
            }
        }
    }

    fn abandon(&mut self, event: Event) {
        if self.dialling.take().is_some() && event == Event::Tick {
            self.shared.metrics.dials.inc(PeerDial::Timeout);
            if self.view.error("no connection in time (ha.peer_channel.handshake_timeout)") {
                tracing::warn!(address = %self.address, host = %self.host, "a replica does not answer in time; trying again");
            }
        }
    }

    fn ping(&mut self) {
        let Some(connected) = &self.connected else { return };
        let mut sender = connected.living.sender.clone();
        self.pings.push(
            async move {
                let sent = now();
                let answer = sender.send_request(request(wire::PING, Bytes::new())?).await.ok()?;
                answer.status().is_success().then(|| sent.elapsed())
            }
            .boxed(),
        );
    }

    fn dead(&mut self, death: Death) {
        let (reason, why) = match death {
            Death::Lost => (PeerDeath::Lost, None),
            Death::Silent => (PeerDeath::Silent, Some("its pings were not answered")),
            Death::Withdrawn => (PeerDeath::Withdrawn, Some("its credential is no longer accepted")),
        };
        self.shared.metrics.deaths.inc(reason);
        if let Some(why) = why {
            self.view.error(why);
        }
        if let Some(connected) = self.connected.take() {
            let hello = &connected.living.hello;
            tracing::warn!(
                replica = %hello.replica, name = %hello.name, address = %self.address, ?death, "another replica is gone"
            );
        }
        self.pings.clear();
    }

    fn is_accepted(&self) -> bool {
        let channel = self.shared.in_use.load();
        self.connected.as_ref().is_none_or(|connected| channel.channel.accepts(&connected.living.credential))
    }
}

impl Connected {
    fn new(shared: &Arc<Shared>, dialled: Dialled) -> Self {
        let Dialled { hello, sender, credential, lost, connection } = dialled;
        let (notes, queue) = mpsc::channel(shared.settings.load().channel.max_notes);
        let asks = shared.table.places(hello.replica);
        let telling = shared.spawn(tell(
            Arc::clone(shared),
            sender.clone(),
            Queue { queue, shared: Arc::clone(shared) },
        ));
        let living = Arc::new(Living { hello, sender, notes, credential, asks });
        shared.table.add(&living, &shared.metrics);
        Self { living, lost, shared: Arc::clone(shared), _connection: connection, _notes: telling }
    }
}

async fn maybe<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn lost(connected: &mut Option<Connected>) -> Box<str> {
    match connected {
        Some(connected) => (&mut connected.lost).await.unwrap_or_else(|_| "its task ended".into()),
        None => std::future::pending().await,
    }
}

/// Notes that wait for one replica. What waits when it goes is counted as lost.
struct Queue {
    queue: mpsc::Receiver<Bytes>,
    shared: Arc<Shared>,
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.queue.close();
        self.shared.metrics.notes.get(PeerNote::Lost).inc_by(self.queue.len() as u64);
    }
}

/// Counts notes as lost unless they were taken.
struct InFlight<'a> {
    shared: &'a Shared,
    count: u64,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.shared.metrics.notes.get(PeerNote::Lost).inc_by(self.count);
    }
}

async fn tell(shared: Arc<Shared>, mut sender: Sender, mut notes: Queue) {
    while let Some(note) = notes.queue.recv().await {
        let mut batch = Batch::default();
        let mut more = batch.push(&note);
        while more && let Ok(note) = notes.queue.try_recv() {
            more = batch.push(&note);
        }
        let count = batch.count() as u64;
        let mut in_flight = InFlight { shared: &shared, count };
        let Some(request) = request(wire::TELL, batch.into_bytes()) else { continue };
        // At most once: a batch that may have arrived is not sent again.
        let answer = tokio::time::timeout(TELL_TIMEOUT, sender.send_request(request)).await;
        if matches!(answer, Ok(Ok(response)) if response.status().is_success()) {
            in_flight.count = 0;
            shared.metrics.notes.get(PeerNote::Sent).inc_by(count);
        }
    }
}

const _: () = assert!(BATCH_BYTES <= u32::MAX as usize);

/// The line of `/status`, and the gauge of states. Both go with the driver.
struct Shown {
    shared: Arc<Shared>,
    address: SocketAddr,
    since: Instant,
    label: PeerLinkState,
}

impl Shown {
    fn new(shared: &Arc<Shared>, address: SocketAddr, host: &str) -> Self {
        let view = PeerView {
            address,
            host: host.into(),
            state: PeerState::Waiting,
            replica: None,
            name: "".into(),
            region: None,
            zone: None,
            version: "".into(),
            generation: 0,
            since: Duration::ZERO,
            round_trip: None,
            last_error: None,
        };
        shared.views.lock().insert(address, (view, now()));
        let label = PeerLinkState::Waiting;
        shared.metrics.links.get(label).inc();
        Self { shared: Arc::clone(shared), address, since: now(), label }
    }

    fn change(&self, change: impl FnOnce(&mut PeerView)) {
        if let Some((view, since)) = self.shared.views.lock().get_mut(&self.address) {
            *since = self.since;
            change(view);
        }
    }

    fn state(&mut self, before: State, after: State) {
        if std::mem::discriminant(&before) == std::mem::discriminant(&after) {
            return;
        }
        let (state, label) = match after {
            State::Waiting { .. } | State::Gone => (PeerState::Waiting, PeerLinkState::Waiting),
            State::Dialling { .. } => (PeerState::Dialling, PeerLinkState::Dialling),
            State::Living { .. } => (PeerState::Living, PeerLinkState::Living),
            State::Own { .. } => (PeerState::Own, PeerLinkState::Own),
        };
        self.shared.metrics.links.get(self.label).dec();
        self.shared.metrics.links.get(label).inc();
        (self.label, self.since) = (label, now());
        self.change(|view| view.state = state);
    }

    fn greeted(&self, hello: &Hello) {
        let hello = hello.clone();
        self.change(|view| {
            view.replica = Some(hello.replica);
            (view.name, view.region, view.zone) = (hello.name, hello.region, hello.zone);
            (view.version, view.generation) = (hello.version, hello.generation);
            (view.round_trip, view.last_error) = (None, None);
        });
    }

    fn round_trip(&self, round_trip: Duration) {
        self.change(|view| view.round_trip = Some(round_trip));
    }

    /// Whether it is news.
    fn error(&self, error: &str) -> bool {
        let mut news = false;
        self.change(|view| {
            news = view.last_error.as_deref() != Some(error);
            view.last_error = Some(error.into());
        });
        news
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.shared.metrics.links.get(self.label).dec();
        self.shared.views.lock().remove(&self.address);
    }
}
