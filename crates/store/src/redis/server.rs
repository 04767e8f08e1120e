//! One server: its one connection, kept alive by a task, and the breaker before it.

use super::{
    address::Address,
    answer::{Answer, Role, connection_error},
    connect::{Connection, NotConnected, at},
    keeper::{Keeper, Target},
    settings::{FAIR_TIME, Settings},
};
use crate::{StoreError, StoreErrorKind};
use holdfast_resilience::{EndpointState, FailureKind, Outcome, Permit, Rng};
use holdfast_telemetry::StoreServerMetrics;
use parking_lot::Mutex;
use redis::{Cmd, Pipeline, RedisError, Value};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::timeout_at,
};

/// A server, or the master behind sentinels, whichever process that is.
pub(crate) struct Server {
    pub(crate) core: Arc<Core>,
    keeper: AbortHandle,
}

/// What its users and its keeper share.
pub(crate) struct Core {
    pub(crate) settings: Arc<Settings>,
    pub(crate) state: Arc<EndpointState>,
    pub(crate) lane: watch::Sender<Lane>,
    /// Somebody's operation failed: the keeper looks at once.
    pub(crate) trouble: Notify,
    pub(crate) metrics: StoreServerMetrics,
    pub(crate) known: Mutex<Known>,
}

/// The way to the server.
#[derive(Clone)]
pub(crate) enum Lane {
    /// First attempt, or the first after a good connection: worth waiting for.
    Connecting,
    Up(Connection),
    /// The last attempt failed; another is made soon.
    Down(NotConnected),
}

/// For `/status`.
#[derive(Clone, Default)]
pub(crate) struct Known {
    pub(crate) address: Option<Address>,
    pub(crate) last_error: Option<Arc<str>>,
}

/// What goes to a server in one piece.
pub(crate) enum Packed {
    One(Cmd),
    /// After `ASKING`, which must stand directly before it.
    Asking(Cmd),
    Many(Pipeline),
}

impl Drop for Server {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Server {
    /// Starts to connect; call it where there is a runtime, which must be the control runtime.
    pub(crate) fn start(settings: &Arc<Settings>, name: &str, target: Target) -> Arc<Self> {
        let core = Arc::new(Core {
            settings: Arc::clone(settings),
            state: EndpointState::new(&Settings::policy(), Instant::now()),
            lane: watch::Sender::new(Lane::Connecting),
            trouble: Notify::new(),
            metrics: settings.metrics.server(name),
            known: Mutex::new(Known { address: target.fixed().cloned(), last_error: None }),
        });
        let keeper = tokio::spawn(Keeper::new(Arc::clone(&core), target).run()).abort_handle();
        Arc::new(Self { core, keeper })
    }

    /// One attempt, behind the breaker, within `command_timeout` and `until`. Every answer is judged.
    pub(crate) async fn attempt(&self, packed: &Packed, until: Instant) -> Result<Vec<Answer>, StoreError> {
        let core = &*self.core;
        let began = Instant::now();
        if began >= until {
            return Err(StoreError::new(
                StoreErrorKind::Timeout,
                "the deadline had passed before it was sent",
            ));
        }
        let mut permit = core
            .state
            .admit(began, &mut Rng::new())
            .map_err(|_| StoreError::new(StoreErrorKind::Refused, "the breaker before the server is open"))?;
        let until = until.min(began + core.settings.command_timeout);
        let connection = match core.connection(until).await {
            Ok(connection) => connection,
            Err(error) => {
                let late = error.kind() == StoreErrorKind::Timeout;
                core.failed(permit, if late { FailureKind::Timeout } else { FailureKind::Connect }, began);
                return Err(error);
            }
        };
        match timeout_at(at(until), packed.send(&connection)).await {
            Ok(Ok(values)) => {
                permit.first_byte(Instant::now());
                let answers: Vec<Answer> = values.into_iter().map(Answer::of).collect();
                core.judge(permit, &answers);
                Ok(answers)
            }
            Ok(Err(error)) => {
                core.failed(permit, FailureKind::Reset, began);
                Err(connection_error(&error).maybe_done())
            }
            Err(_) => {
                core.failed(permit, FailureKind::Timeout, began);
                let error = StoreError::new(StoreErrorKind::Timeout, "no answer from the server in time");
                Err(error.maybe_done())
            }
        }
    }

    /// The present connection, if there is one.
    pub(crate) fn connected(&self) -> Option<Connection> {
        match &*self.core.lane.borrow() {
            Lane::Up(connection) if !connection.is_closed() => Some(connection.clone()),
            _ => None,
        }
    }
}

impl Core {
    /// The connection, waited for only while there is hope.
    async fn connection(&self, until: Instant) -> Result<Connection, StoreError> {
        let mut lane = self.lane.subscribe();
        loop {
            match &*lane.borrow_and_update() {
                Lane::Up(connection) if !connection.is_closed() => return Ok(connection.clone()),
                // The keeper is about to notice.
                Lane::Up(_) | Lane::Connecting => {}
                Lane::Down(why) => return Err(why.error),
            }
            match timeout_at(at(until), lane.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(StoreError::new(StoreErrorKind::Connection, "the store is closed")),
                Err(_) => {
                    return Err(StoreError::new(
                        StoreErrorKind::Timeout,
                        "no connection to the server in time",
                    ));
                }
            }
        }
    }

    /// The server is to blame, unless the caller gave it no time. Each of these failures is one that the keeper's probe sees the end
    /// of, since it asks within the same `command_timeout`; so a timeout counts as a connection that broke.
    fn failed(&self, permit: Permit, kind: FailureKind, began: Instant) {
        self.trouble.notify_one();
        let now = Instant::now();
        let late = kind == FailureKind::Timeout;
        let unfair =
            late && now.saturating_duration_since(began) < FAIR_TIME.min(self.settings.command_timeout);
        let kind = if late { FailureKind::Reset } else { kind };
        permit.finish(if unfair { Outcome::Neutral } else { Outcome::Failed(kind) }, now);
    }

    fn judge(&self, permit: Permit, answers: &[Answer]) {
        let bad = answers.iter().any(|answer| matches!(answer, Answer::Later(later) if later.is_failure()));
        if bad {
            self.failed(permit, FailureKind::Reset, Instant::now());
        } else {
            permit.finish(Outcome::Ok, Instant::now());
        }
    }

    /// How long the keeper waits before it looks again.
    pub(crate) fn rest(&self, usual: Duration, urgent: Duration) -> Duration {
        let admitting = self.state.breaker_phase(Instant::now()) == holdfast_resilience::Phase::Admitting;
        if admitting { usual } else { urgent }
    }
}

impl Packed {
    async fn send(&self, connection: &Connection) -> Result<Vec<Value>, RedisError> {
        match self {
            Self::One(command) => connection.send(command).await.map(|value| vec![value]),
            Self::Asking(command) => {
                let mut both = Pipeline::with_capacity(2);
                both.cmd("ASKING").add_command(command.clone());
                connection.send_all(&both, 1, 1).await
            }
            Self::Many(all) => connection.send_all(all, 0, all.len()).await,
        }
    }
}

/// Whether a server that was asked for a master is one, as far as it says.
pub(crate) fn may_be_master(role: Role) -> bool {
    role != Role::Replica
}
