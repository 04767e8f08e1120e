//! The servers of a cluster, and the task that keeps the map of its slots.

use super::{
    address::Address,
    keeper::Target,
    server::{Lane, Server},
    settings::{SETTLE_PAUSE, Settings},
    slots::SlotMap,
};
use parking_lot::Mutex;
use redis::Value;
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::Notify,
    task::AbortHandle,
    time::{sleep, timeout},
};

/// How often the map is read without a reason.
const REFRESH: Duration = Duration::from_secs(10);

pub(crate) struct Cluster {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    settings: Arc<Settings>,
    control: Handle,
    /// Somebody found the map to be wrong.
    stale: Notify,
    view: Mutex<View>,
}

#[derive(Default)]
struct View {
    map: SlotMap,
    /// What MOVED told since the map was read.
    moved: HashMap<u16, Address>,
    servers: HashMap<Address, Arc<Server>>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cluster {
    /// Starts with the configured seeds.
    pub(crate) fn start(settings: &Arc<Settings>, control: &Handle) -> Self {
        let shared = Arc::new(Shared {
            settings: Arc::clone(settings),
            control: control.clone(),
            stale: Notify::new(),
            view: Mutex::default(),
        });
        shared.add_seeds();
        let task = control.spawn(keep_map(Arc::downgrade(&shared))).abort_handle();
        Self { shared, task }
    }

    /// The master of a slot, as far as it is known.
    pub(crate) fn master(&self, slot: u16) -> Option<Arc<Server>> {
        let mut view = self.shared.view.lock();
        let address = view.moved.get(&slot).or_else(|| view.map.master(slot))?.clone();
        Some(self.shared.server_in(&mut view, &address))
    }

    /// A server for a command without a key: any that is connected, else any.
    pub(crate) fn any(&self) -> Option<Arc<Server>> {
        let servers = self.servers();
        let start = fastrand::usize(..servers.len().max(1));
        let turned = || servers[start..].iter().chain(&servers[..start]);
        turned().find(|server| server.connected().is_some()).or_else(|| turned().next()).cloned()
    }

    /// The server at an address that another one named.
    pub(crate) fn at(&self, address: &Address) -> Arc<Server> {
        let mut view = self.shared.view.lock();
        self.shared.server_in(&mut view, address)
    }

    /// MOVED: true from now on, until the whole map is read, which is asked for.
    pub(crate) fn moved(&self, slot: u16, address: &Address) {
        self.shared.view.lock().moved.insert(slot, address.clone());
        self.stale();
    }

    /// The map may be wrong.
    pub(crate) fn stale(&self) {
        self.shared.stale.notify_one();
    }

    pub(crate) fn servers(&self) -> Vec<Arc<Server>> {
        self.shared.view.lock().servers.values().cloned().collect()
    }
}

impl Shared {
    fn add_seeds(&self) {
        let mut view = self.view.lock();
        for seed in &self.settings.addresses {
            self.server_in(&mut view, seed);
        }
    }

    fn server_in(&self, view: &mut View, address: &Address) -> Arc<Server> {
        let start = || {
            let _control = self.control.enter();
            Server::start(&self.settings, &address.to_string(), Target::Fixed(address.clone()))
        };
        Arc::clone(view.servers.entry(address.clone()).or_insert_with(start))
    }

    /// Reads the map from one connected server after another until one knows it.
    async fn refresh(&self) -> Refreshed {
        let mut servers: Vec<_> = self.view.lock().servers.values().cloned().collect();
        fastrand::shuffle(&mut servers);
        for server in servers {
            let Some(connection) = server.connected() else { continue };
            let mut question = redis::cmd("CLUSTER");
            question.arg("SLOTS");
            let answer = timeout(self.settings.connect_timeout, connection.send(&question)).await;
            let Ok(Ok(value @ Value::Array(_))) = answer else { continue };
            if let Some(map) = SlotMap::read(&value, &connection.address).filter(|map| !map.is_empty()) {
                return if self.adopt(map) { Refreshed::Changed } else { Refreshed::Same };
            }
        }
        Refreshed::Unknown
    }

    /// Whether it says anything new.
    fn adopt(&self, map: SlotMap) -> bool {
        let mut view = self.view.lock();
        let known = !view.map.is_empty();
        let changed = !map.same_masters(&view.map);
        let masters = map.masters();
        if known && changed {
            let gone = view.map.masters().iter().any(|master| !masters.contains(master));
            if gone {
                self.settings.metrics.failovers.inc();
                tracing::warn!("some slots of the store have another master");
            }
            self.settings.generation.send_modify(|generation| *generation += 1);
        }
        view.map = map;
        view.moved.clear();
        for master in &masters {
            self.server_in(&mut view, master);
        }
        let old = std::mem::take(&mut view.servers);
        let (kept, dropped): (HashMap<_, _>, HashMap<_, _>) =
            old.into_iter().partition(|(address, _)| masters.contains(address));
        view.servers = kept;
        drop(view);
        // Operations under way keep theirs until they end.
        drop(dropped);
        changed
    }

    /// Whether the last attempt to connect failed with every server.
    fn lost(&self) -> bool {
        self.view.lock().servers.values().all(|server| matches!(&*server.core.lane.borrow(), Lane::Down(_)))
    }
}

/// Reads the map when it is wrong, and now and then.
async fn keep_map(shared: Weak<Shared>) {
    // Readings that told nothing new: a lost shard is reported all the time.
    let mut in_vain = 0;
    loop {
        let Some(here) = shared.upgrade() else { return };
        let found = here.refresh().await;
        if found == Refreshed::Unknown && here.lost() {
            // The servers of the old map are all gone: the seeds may know others.
            here.add_seeds();
        }
        in_vain = if found == Refreshed::Changed { 0 } else { in_vain + 1 };
        sleep(gap(in_vain)).await;
        if found != Refreshed::Unknown {
            let _ = timeout(REFRESH.mul_f64(0.75 + 0.25 * fastrand::f64()), here.stale.notified()).await;
        }
    }
}

/// What a reading of the map told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refreshed {
    Changed,
    Same,
    Unknown,
}

/// Not more often than this, whatever is reported meanwhile: a pause that doubles up to half a second, with jitter.
fn gap(in_vain: u32) -> Duration {
    const LONGEST: Duration = Duration::from_millis(500);
    let most = SETTLE_PAUSE.saturating_mul(1 << in_vain.min(8)).min(LONGEST);
    most.mul_f64(0.5 + 0.5 * fastrand::f64())
}
