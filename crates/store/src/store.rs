//! The store as the rest of the program holds it.

use crate::BuildError;
use crate::memory::Memory;
use crate::redis::{Data, Link, LinkView};
use crate::seam::{
    Activity, EventLog, Journal, Limits, PeerRegistry, QuotaLedger, Revocations, SharedCache, Sink,
};
use holdfast_config::Redis;
use holdfast_seal::KeyRing;
use holdfast_telemetry::{Registry, StoreLinkMetrics, StoreMetrics};
use std::sync::Arc;
use tokio::runtime::Handle;

/// State that replicas share. Clones share everything.
#[derive(Clone)]
pub struct Store(Arc<Backend>);

enum Backend {
    Memory { memory: Box<Memory>, shared: bool },
    Redis(Data),
}

macro_rules! part {
    ($(#[$doc:meta] $name:ident: $part:ident;)+) => {$(
        #[$doc]
        pub fn $name(&self) -> &dyn $part {
            match &*self.0 {
                Backend::Memory { memory, .. } => &**memory,
                Backend::Redis(data) => data,
            }
        }
    )+};
}

impl Store {
    /// A store of this process alone, empty.
    pub fn memory(limits: Limits) -> Self {
        Self(Arc::new(Backend::Memory { memory: Box::new(Memory::new(limits)), shared: false }))
    }

    /// A store in memory that several replicas within this process share, empty.
    pub fn memory_of_replicas(limits: Limits) -> Self {
        Self(Arc::new(Backend::Memory { memory: Box::new(Memory::new(limits)), shared: true }))
    }

    /// A store on Redis. Reads certificate files and waits for nothing else: a server that is absent is no error, every operation then says
    /// so. Its work is done on `control`. One per process: its metrics are those of `registry`.
    pub fn redis(
        config: &Redis,
        ring: Arc<KeyRing>,
        registry: &Registry,
        control: &Handle,
        limits: Limits,
    ) -> Result<Self, BuildError> {
        let link = Link::open(config, Arc::new(StoreLinkMetrics::new(registry)), control)?;
        let metrics = Arc::new(StoreMetrics::new(registry));
        Ok(Self(Arc::new(Backend::Redis(Data::start(
            link,
            &config.key_prefix,
            ring,
            &metrics,
            control,
            limits,
        )))))
    }

    /// Seals and opens with another key ring from now on: a reload brought it. What older keys sealed is read as long as the ring has them.
    pub fn rekey(&self, ring: Arc<KeyRing>) {
        if let Backend::Redis(data) = &*self.0 {
            data.rekey(ring);
        }
    }

    part! {
        /// Where sessions live that have moved.
        journal: Journal;
        /// Sessions that ended before their tokens expired.
        revocations: Revocations;
        /// Logs of event streams.
        events: EventLog;
        /// Last use and end of sessions.
        activity: Activity;
        /// Shares of quotas.
        quotas: QuotaLedger;
        /// Values that one replica made and others can use.
        cache: SharedCache;
        /// Which replicas there are.
        registry: PeerRegistry;
    }

    /// Whether other replicas see what is put in.
    pub fn is_shared(&self) -> bool {
        match &*self.0 {
            Backend::Memory { shared, .. } => *shared,
            Backend::Redis(_) => true,
        }
    }

    /// A look at the store, for `/status`.
    pub fn view(&self) -> StoreView {
        match &*self.0 {
            Backend::Memory { .. } => StoreView { link: None, feed_complete: true, changes_pending: 0 },
            Backend::Redis(data) => data.view(),
        }
    }

    /// Tells `sink` of every change of this and other replicas until the feed is dropped: first what still matters of the past, then
    /// [`Change::Resync`](crate::Change::Resync), and so again after each interruption. A replica hears its own changes as well.
    pub fn changes(&self, sink: &Sink) -> Feed {
        let number = match &*self.0 {
            Backend::Memory { memory, .. } => memory.subscribe(sink),
            Backend::Redis(data) => data.subscribe(sink),
        };
        Feed { store: self.clone(), number }
    }
}

/// The store as `/status` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreView {
    /// The way to the servers; `None` = in memory.
    pub link: Option<LinkView>,
    /// Whether this replica has heard of all changes that still matter. `false` also while nobody listens.
    pub feed_complete: bool,
    /// Changes of this replica that the others have not been told.
    pub changes_pending: usize,
}

/// Ends the telling of changes when dropped.
#[must_use]
pub struct Feed {
    store: Store,
    number: u64,
}

impl Drop for Feed {
    fn drop(&mut self) {
        match &*self.store.0 {
            Backend::Memory { memory, .. } => memory.unsubscribe(self.number),
            Backend::Redis(data) => data.unsubscribe(self.number),
        }
    }
}
