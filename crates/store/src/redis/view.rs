//! What `/status` shows of the link, and the task that asks the servers about themselves.

use super::{
    advice::{Facts, SETTINGS, advise},
    link::Inner,
    server::{Lane, Server},
};
use holdfast_resilience::Phase;
use holdfast_telemetry::metrics::{BreakerState, ScrapeHook};
use parking_lot::Mutex;
use redis::Pipeline;
use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// How often servers are asked about themselves; also after each new connection.
const ASK: Duration = Duration::from_mins(1);

/// The link as `/status` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkView {
    /// `single`, `sentinel`, `cluster`.
    pub mode: &'static str,
    /// Each server that is spoken to.
    pub servers: Vec<ServerView>,
    /// Sockets in use, of `pool_size`.
    pub sockets: usize,
    /// The most.
    pub pool_size: usize,
    /// Connections to masters so far.
    pub generation: u64,
    /// What should be set otherwise at the servers, with the server it is about.
    pub advice: Vec<String>,
}

/// One server.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerView {
    /// Where it is; of a master behind sentinels, the present or last one.
    pub address: String,
    /// Whether there is a connection.
    pub connected: bool,
    /// `master`, `replica`, or `unknown`: an access rule keeps it secret, or there is no connection.
    pub role: &'static str,
    /// `closed`, `half_open`, `open`.
    pub breaker: &'static str,
    /// Why there is no connection, or why the last one ended.
    pub last_error: Option<String>,
    /// What it says it is.
    pub version: Option<String>,
    /// Replicas that follow it.
    pub replicas: Option<u64>,
}

/// What servers said of themselves, by address.
#[derive(Default)]
pub(crate) struct Asked(Mutex<BTreeMap<String, Facts>>);

impl Inner {
    /// A look at everything.
    pub(crate) fn view(&self) -> LinkView {
        let settings = &self.settings;
        let asked = self.asked.0.lock();
        let mut servers: Vec<ServerView> =
            self.servers().iter().map(|server| server_view(server, &asked)).collect();
        servers.sort_by(|a, b| a.address.cmp(&b.address));
        let mut advice = Vec::new();
        for (address, facts) in
            asked.iter().filter(|(address, _)| servers.iter().any(|s| s.address == **address))
        {
            advice.extend(advise(settings.mode, facts).into_iter().map(|text| format!("{address}: {text}")));
        }
        if servers.len() >= settings.pool_size {
            advice.push(format!(
                "`pool_size` {} is not enough for {} servers",
                settings.pool_size,
                servers.len()
            ));
        }
        LinkView {
            mode: settings.mode.name(),
            servers,
            sockets: settings.pool_size - settings.sockets.available_permits(),
            pool_size: settings.pool_size,
            generation: *settings.generation.borrow(),
            advice,
        }
    }
}

fn server_view(server: &Server, asked: &BTreeMap<String, Facts>) -> ServerView {
    let known = server.core.known.lock().clone();
    let address = known.address.map(|address| address.to_string()).unwrap_or_default();
    let facts = asked.get(&address);
    let role = match &*server.core.lane.borrow() {
        Lane::Up(connection) => connection.role.name(),
        _ => "unknown",
    };
    let breaker = match server.core.state.breaker_phase(Instant::now()) {
        Phase::Admitting => "closed",
        Phase::Probing => "half_open",
        Phase::Refusing { .. } => "open",
    };
    ServerView {
        connected: server.connected().is_some(),
        role,
        breaker,
        last_error: known.last_error.map(|error| error.to_string()),
        version: facts.and_then(Facts::version).map(str::to_owned),
        replicas: facts.and_then(Facts::replicas),
        address,
    }
}

/// Sets the gauges that mirror the breakers when somebody looks.
pub(crate) fn on_scrape(inner: &Arc<Inner>) -> ScrapeHook {
    let registry = inner.settings.metrics.registry().clone();
    let inner: Weak<Inner> = Arc::downgrade(inner);
    registry.on_scrape(move || {
        let Some(inner) = inner.upgrade() else { return };
        for server in inner.servers() {
            let snapshot = server.core.state.snapshot(Instant::now());
            let state = match snapshot.phase {
                Phase::Admitting => BreakerState::Closed,
                Phase::Probing => BreakerState::HalfOpen,
                Phase::Refusing { .. } => BreakerState::Open,
            };
            let entered = snapshot.transitions;
            server.core.metrics.set_breaker(
                state,
                [
                    (BreakerState::Closed, entered.admitting),
                    (BreakerState::HalfOpen, entered.probing),
                    (BreakerState::Open, entered.refusing),
                ],
            );
        }
    })
}

/// Asks each server after each new connection and each minute; says each piece of advice once.
pub(crate) async fn keep_asking(inner: Weak<Inner>) {
    let mut told: Vec<String> = Vec::new();
    loop {
        let Some(here) = inner.upgrade() else { return };
        let mut generation = here.settings.generation.subscribe();
        ask_all(&here).await;
        for text in here.view().advice {
            if !told.contains(&text) {
                tracing::warn!(advice = text, "the store's server could be set better");
                told.push(text);
            }
        }
        drop(here);
        let _ = timeout(ASK, generation.changed()).await;
        // Servers of a cluster come one after another.
        sleep(super::settings::PROBE).await;
    }
}

async fn ask_all(inner: &Inner) {
    let mut questions = Pipeline::with_capacity(1 + SETTINGS.len());
    questions.cmd("INFO");
    for name in SETTINGS {
        questions.cmd("CONFIG").arg("GET").arg(name);
    }
    for server in inner.servers() {
        let Some(connection) = server.connected() else { continue };
        let answers = connection.send_all(&questions, 0, questions.len());
        if let Ok(Ok(answers)) = timeout(inner.settings.connect_timeout, answers).await {
            inner.asked.0.lock().insert(connection.address.to_string(), Facts::read(&answers));
        }
    }
    let present: Vec<String> =
        inner.servers().iter().map(|server| server_view(server, &BTreeMap::new()).address).collect();
    inner.asked.0.lock().retain(|address, _| present.contains(address));
}
