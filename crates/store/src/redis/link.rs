//! The way to the servers: where a command goes, what happens when it comes back, and when to give up.

use super::{
    cluster::Cluster,
    command::Command,
    keeper::Target,
    sentinel::Sentinels,
    server::Server,
    settings::{OPERATIONS_MAX, Settings},
    slots::slot,
    view::{Asked, LinkView, keep_asking, on_scrape},
};
use crate::{BuildError, StoreError, StoreErrorKind};
use holdfast_config::{Redis, RedisMode};
use holdfast_telemetry::{StoreLinkMetrics, metrics::ScrapeHook};
use redis::Value;
use std::{sync::Arc, time::Instant};
use tokio::{runtime::Handle, sync::Semaphore, task::AbortHandle};

/// The way to the servers of one store. Clones are the same link; the last one closes every connection.
///
/// Operations run on the control runtime. Dropping a waiting future is safe and stops nothing: the operation goes on, at most to its deadline.
#[derive(Clone)]
pub(crate) struct Link {
    inner: Arc<Inner>,
    /// Of the last clone: its drop ends what runs behind the link.
    _tasks: Arc<Tasks>,
}

/// Work behind the link that is nobody's operation.
struct Tasks {
    asking: AbortHandle,
    _hook: ScrapeHook,
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

pub(crate) struct Inner {
    pub(crate) settings: Arc<Settings>,
    pub(crate) place: Place,
    control: Handle,
    operations: Arc<Semaphore>,
    pub(crate) asked: Asked,
}

/// Where commands go.
pub(crate) enum Place {
    /// One server, or the master behind sentinels.
    One(Arc<Server>),
    Cluster(Cluster),
}

impl Link {
    /// Starts to connect and returns. It reads certificate files and waits for nothing else; a server that is absent is no error.
    pub(crate) fn open(
        config: &Redis,
        metrics: Arc<StoreLinkMetrics>,
        control: &Handle,
    ) -> Result<Self, BuildError> {
        let settings = Arc::new(Settings::build(config, metrics)?);
        let _control = control.enter();
        let place = match settings.mode {
            RedisMode::Single => {
                let address = settings.addresses.first().cloned();
                let address = address.ok_or_else(|| BuildError::Address("no server is named".to_owned()))?;
                Place::One(Server::start(&settings, &address.to_string(), Target::Fixed(address)))
            }
            RedisMode::Sentinel => {
                let master = settings.sentinel.as_ref().map_or("", |sentinel| &sentinel.master);
                Place::One(Server::start(&settings, master, Target::Sentinels(Sentinels::new(&settings))))
            }
            RedisMode::Cluster => Place::Cluster(Cluster::start(&settings, control)),
        };
        let operations = Arc::new(Semaphore::new(OPERATIONS_MAX));
        let asked = Asked::default();
        let inner = Arc::new(Inner { settings, place, control: control.clone(), operations, asked });
        let asking = control.spawn(keep_asking(Arc::downgrade(&inner))).abort_handle();
        let tasks = Arc::new(Tasks { asking, _hook: on_scrape(&inner) });
        Ok(Self { inner, _tasks: tasks })
    }

    /// One command. `key` says where it goes in a cluster; an empty one means anywhere.
    pub(crate) async fn run(
        &self,
        key: &[u8],
        command: Command,
        until: Instant,
    ) -> Result<Value, StoreError> {
        let Ok(permit) = Arc::clone(&self.inner.operations).try_acquire_owned() else {
            return Err(too_many());
        };
        let (inner, slot) = (Arc::clone(&self.inner), self.inner.slot(key));
        let operation = self.inner.control.spawn(async move {
            let _permit = permit;
            inner.drive(slot, &command, until, None).await
        });
        operation.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Several commands, each by its key, in their order for each server. Results are in the order of the commands.
    pub(crate) async fn run_all(
        &self,
        commands: Vec<(Vec<u8>, Command)>,
        until: Instant,
    ) -> Vec<Result<Value, StoreError>> {
        let count = commands.len();
        let Ok(permit) = Arc::clone(&self.inner.operations).try_acquire_owned() else {
            return vec![Err(too_many()); count];
        };
        let inner = Arc::clone(&self.inner);
        let operation = self.inner.control.spawn(async move {
            let _permit = permit;
            inner.drive_all(commands, until).await
        });
        operation.await.unwrap_or_else(|_| vec![Err(closed()); count])
    }

    /// Grows with every connection to a master, the first one included: what the old one may have lost is worth repeating.
    pub(crate) fn generation(&self) -> u64 {
        *self.inner.settings.generation.borrow()
    }

    /// Resolves when the generation grows. Cancel safe; a growth before the call is not waited for.
    pub(crate) async fn reconnected(&self) {
        let mut generation = self.inner.settings.generation.subscribe();
        // The sender lives as long as this link.
        let _ = generation.changed().await;
    }

    /// A look at everything, for `/status`.
    pub(crate) fn view(&self) -> LinkView {
        self.inner.view()
    }
}

impl Inner {
    pub(crate) fn servers(&self) -> Vec<Arc<Server>> {
        match &self.place {
            Place::One(server) => vec![Arc::clone(server)],
            Place::Cluster(cluster) => cluster.servers(),
        }
    }

    /// `None` = anywhere.
    pub(super) fn slot(&self, key: &[u8]) -> Option<u16> {
        (matches!(self.place, Place::Cluster(_)) && !key.is_empty()).then(|| slot(key))
    }
}

fn too_many() -> StoreError {
    StoreError::new(StoreErrorKind::Refused, "too many operations are under way")
}

pub(super) fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Connection, "the runtime of the store has ended")
}
