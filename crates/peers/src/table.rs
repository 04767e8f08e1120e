//! The replicas: those that live, with a way to ask them, and the last ones that died.

use crate::{ReplicaId, channel::Credential, hello::Hello, limits::Places};
use arc_swap::ArcSwap;
use bytes::Bytes;
use holdfast_telemetry::{Gauge, PeerMetrics};
use http_body_util::Full;
use hyper::client::conn::http2::SendRequest;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::sync::mpsc;

/// Dead replicas that are remembered: whoever asks for one learns that it is dead, and not that it never was.
const DEAD_MAX: usize = 256;

/// What is sent to other replicas.
pub(crate) type Sender = SendRequest<Full<Bytes>>;

/// A connection to a replica that lives.
pub(crate) struct Living {
    pub(crate) hello: Hello,
    pub(crate) sender: Sender,
    pub(crate) notes: mpsc::Sender<Bytes>,
    pub(crate) credential: Credential,
    /// Questions to this replica, over all its connections.
    pub(crate) asks: Places,
}

/// Read by every ask, written when a replica comes or goes.
#[derive(Default)]
pub(crate) struct Table {
    living: ArcSwap<HashMap<ReplicaId, Vec<Arc<Living>>>>,
    dead: Mutex<VecDeque<ReplicaId>>,
}

/// What is known of a replica.
pub(crate) enum Known {
    Living(Arc<Living>),
    Dead,
    Unknown,
}

impl Table {
    /// The newest connection to a replica.
    pub(crate) fn find(&self, replica: ReplicaId) -> Known {
        if let Some(living) = self.living.load().get(&replica).and_then(|links| links.last()) {
            return Known::Living(Arc::clone(living));
        }
        if self.dead.lock().contains(&replica) { Known::Dead } else { Known::Unknown }
    }

    pub(crate) fn lives(&self, replica: ReplicaId) -> bool {
        self.living.load().contains_key(&replica)
    }

    /// One connection to each.
    pub(crate) fn all(&self) -> Vec<Arc<Living>> {
        self.living.load().values().filter_map(|links| links.last().cloned()).collect()
    }

    /// Places for questions to a replica: those it has already, or new ones.
    pub(crate) fn places(&self, replica: ReplicaId) -> Places {
        match self.find(replica) {
            Known::Living(living) => living.asks.clone(),
            Known::Dead | Known::Unknown => Places::default(),
        }
    }

    pub(crate) fn add(&self, living: &Arc<Living>, metrics: &PeerMetrics) {
        let replica = living.hello.replica;
        let mut dead = self.dead.lock();
        dead.retain(|known| *known != replica);
        self.change(&metrics.replicas, |table| table.entry(replica).or_default().push(Arc::clone(living)));
    }

    pub(crate) fn remove(&self, living: &Arc<Living>, metrics: &PeerMetrics) {
        let replica = living.hello.replica;
        let mut dead = self.dead.lock();
        self.change(&metrics.replicas, |table| {
            let Some(links) = table.get_mut(&replica) else { return };
            links.retain(|link| !Arc::ptr_eq(link, living));
            if links.is_empty() {
                table.remove(&replica);
            }
        });
        if !self.lives(replica) && !dead.contains(&replica) {
            dead.truncate(DEAD_MAX - 1);
            dead.push_front(replica);
        }
    }

    /// The lock on the dead is held by whoever changes the living.
    fn change(&self, count: &Gauge, change: impl FnOnce(&mut HashMap<ReplicaId, Vec<Arc<Living>>>)) {
        let mut table = HashMap::clone(&self.living.load());
        change(&mut table);
        count.set(i64::try_from(table.len()).unwrap_or(i64::MAX));
        self.living.store(Arc::new(table));
    }
}
