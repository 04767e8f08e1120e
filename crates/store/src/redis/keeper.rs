//! The task behind a server: it connects, notices the end, connects again, and tells the breaker when the server is back.

use super::{
    address::Address,
    answer::Role,
    connect::{Connection, NotConnected},
    sentinel::Sentinels,
    server::{Core, Lane, may_be_master},
    settings::{HEARTBEAT, PROBE, RECONNECT, Settings},
};
use crate::StoreErrorKind;
use holdfast_config::RedisMode;
use holdfast_telemetry::StoreConnect;
use std::{sync::Arc, time::Duration, time::Instant};
use tokio::time::{sleep, timeout};

/// Where the server is.
pub(crate) enum Target {
    Fixed(Address),
    Sentinels(Sentinels),
}

impl Target {
    pub(crate) fn fixed(&self) -> Option<&Address> {
        match self {
            Self::Fixed(address) => Some(address),
            Self::Sentinels(_) => None,
        }
    }
}

pub(crate) struct Keeper {
    core: Arc<Core>,
    target: Target,
    /// Of the last good connection.
    last: Option<Address>,
}

impl Keeper {
    pub(crate) fn new(core: Arc<Core>, target: Target) -> Self {
        Self { core, target, last: None }
    }

    /// Never ends by itself.
    pub(crate) async fn run(mut self) {
        let mut failures = 0;
        loop {
            match self.connect().await {
                Ok(connection) => {
                    failures = 0;
                    self.up(&connection);
                    let why = self.watch(&connection).await;
                    self.core.metrics.connections.set(0);
                    tracing::info!(server = %connection.address, why, "connection to the store ended");
                    self.core.known.lock().last_error = Some(why.into());
                    self.core.lane.send_replace(Lane::Connecting);
                }
                Err(why) => {
                    failures += 1;
                    self.down(&why, failures);
                    sleep(pause(failures)).await;
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<Connection, NotConnected> {
        let core = Arc::clone(&self.core);
        let settings = &*core.settings;
        let connection = match &mut self.target {
            Target::Fixed(address) => Connection::open(settings, &settings.login, address).await?,
            Target::Sentinels(sentinels) => sentinels.connect(settings).await?,
        };
        // In a cluster a replica sends us on by itself, and can tell the map.
        if settings.mode != RedisMode::Cluster && !may_be_master(connection.role) {
            return Err(not_master());
        }
        Ok(connection)
    }

    fn up(&mut self, connection: &Connection) {
        let core = &*self.core;
        core.metrics.connects.inc(StoreConnect::Ok);
        core.metrics.connections.set(1);
        {
            let mut known = core.known.lock();
            known.address = Some(connection.address.clone());
            known.last_error = None;
        }
        let moved = self.last.as_ref().is_some_and(|last| *last != connection.address);
        if moved {
            core.settings.metrics.failovers.inc();
            tracing::warn!(server = %connection.address, "the store has another master");
        } else {
            tracing::info!(server = %connection.address, role = connection.role.name(), "connected to the store");
        }
        self.last = Some(connection.address.clone());
        core.lane.send_replace(Lane::Up(connection.clone()));
        core.state.record_probe(true, Instant::now());
        if may_be_master(connection.role) {
            core.settings.generation.send_modify(|generation| *generation += 1);
        }
    }

    fn down(&self, why: &NotConnected, failures: u32) {
        let core = &*self.core;
        core.metrics.connects.inc(why.result);
        core.state.record_probe(false, Instant::now());
        let changed = {
            let mut known = core.known.lock();
            let changed = known.last_error.as_ref() != Some(&why.cause);
            known.last_error = Some(Arc::clone(&why.cause));
            changed
        };
        // Said once for each reason, not for each attempt.
        if changed || failures == 1 {
            let server = core.known.lock().address.as_ref().map(ToString::to_string).unwrap_or_default();
            tracing::warn!(server, why = %why.cause, "no connection to the store");
        }
        core.lane.send_replace(Lane::Down(why.clone()));
    }

    /// Watches a connection until it must be given up, and says why.
    async fn watch(&mut self, connection: &Connection) -> &'static str {
        loop {
            let rest = self.core.rest(HEARTBEAT, PROBE);
            let called = tokio::select! {
                () = connection.ended() => return "the server closed it",
                () = self.core.trouble.notified() => true,
                () = sleep(jittered(rest)) => false,
            };
            if let Some(why) = self.probe(connection).await {
                return why;
            }
            if let Target::Sentinels(sentinels) = &mut self.target
                && sentinels.has_moved(&self.core.settings, connection).await
            {
                return "the sentinels name another master";
            }
            if called {
                // However many operations fail, the server is asked no more often than this.
                tokio::select! {
                    () = connection.ended() => return "the server closed it",
                    () = sleep(PROBE) => {}
                }
            }
        }
    }

    /// Asks whether the server lives. It is well if it answers within `command_timeout`, as an operation would need it; it is given up if
    /// it answers nothing within `connect_timeout`.
    async fn probe(&self, connection: &Connection) -> Option<&'static str> {
        let core = &*self.core;
        let settings: &Settings = &core.settings;
        let began = Instant::now();
        let mut check = std::pin::pin!(connection.check());
        let mut answer = timeout(settings.command_timeout, &mut check).await.ok();
        if answer.is_none() {
            core.state.record_probe(false, Instant::now());
            let left = settings.connect_timeout.saturating_sub(began.elapsed());
            answer = timeout(left, &mut check).await.ok();
            match answer {
                None => return Some("the server does not answer"),
                Some(Ok(role)) if self.accepts(role) => return None,
                Some(_) => {}
            }
        }
        match answer {
            Some(Ok(role)) if self.accepts(role) => {
                core.state.record_probe(true, Instant::now());
                None
            }
            Some(Ok(_)) => Some("the server became a replica"),
            Some(Err(_)) => {
                core.state.record_probe(false, Instant::now());
                connection.is_closed().then_some("the server closed it")
            }
            None => None,
        }
    }

    fn accepts(&self, role: Role) -> bool {
        self.core.settings.mode == RedisMode::Cluster || may_be_master(role)
    }
}

fn not_master() -> NotConnected {
    NotConnected::new(StoreErrorKind::ReadOnly, "the server is a replica", StoreConnect::NotMaster)
}

/// Full jitter below a bound that doubles.
fn pause(failures: u32) -> Duration {
    let (first, most) = RECONNECT;
    let bound = first.saturating_mul(1 << failures.min(10)).min(most);
    // Never nothing: a server that refuses at once would be called in a circle.
    bound.mul_f64(0.2 + 0.8 * fastrand::f64())
}

/// Up to a quarter less, so that replicas do not ask in step.
fn jittered(rest: Duration) -> Duration {
    rest.mul_f64(1.0 - 0.25 * fastrand::f64())
}
