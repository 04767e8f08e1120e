//! The conversations of this process.

use crate::queue::Sender;
use aws_lc_rs::rand;
use bytes::Bytes;
use holdfast_mcp::errors::{McpError, Problem};
use holdfast_peers::ReplicaId;
use holdfast_telemetry::{Registry, metrics::FrontMetrics};
use holdfast_upstream::clock;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Bytes of the name of a conversation: nobody guesses it.
pub(crate) const ID_BYTES: usize = 16;
/// What is asked of the client of a full process.
const COME_BACK: Duration = Duration::from_secs(5);

/// The name of a conversation in the process that holds it.
pub(crate) type Id = [u8; ID_BYTES];

/// The conversations of this process. One for its whole life: they outlive snapshots of the configuration.
pub struct Fronts {
    pub(crate) replica: ReplicaId,
    pub(crate) metrics: Arc<FrontMetrics>,
    open: AtomicUsize,
    /// Those that messages come to by other connections.
    named: Mutex<HashMap<Id, Named>>,
}

struct Named {
    principal: [u8; 32],
    say: Sender,
}

/// A place among `mcp.conversations.max`, given back when dropped.
pub struct Place(Arc<Fronts>);

/// A name that leads to a conversation for as long as this lives.
pub(crate) struct Registered {
    fronts: Arc<Fronts>,
    pub(crate) id: Id,
}

/// Why a message did not reach its conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undelivered {
    /// It is not there, or somebody else's.
    Unknown,
    /// It took nothing in time.
    Full,
}

impl Fronts {
    /// None yet.
    pub fn new(replica: ReplicaId, registry: &Registry) -> Arc<Self> {
        Arc::new(Self {
            replica,
            metrics: Arc::new(FrontMetrics::new(registry)),
            open: AtomicUsize::new(0),
            named: Mutex::default(),
        })
    }

    /// Where conversations are counted.
    pub fn metrics(&self) -> &Arc<FrontMetrics> {
        &self.metrics
    }

    /// A place for one more of at most `max`.
    pub fn place(self: &Arc<Self>, max: usize) -> Result<Place, McpError> {
        if self.open.fetch_add(1, Relaxed) >= max {
            self.open.fetch_sub(1, Relaxed);
            let error = McpError::new(Problem::Overloaded).detail("more than mcp.conversations.max");
            return Err(error.retry_after(COME_BACK));
        }
        Ok(Place(Arc::clone(self)))
    }

    /// Gives a conversation of `principal` a name.
    pub(crate) fn name(self: &Arc<Self>, principal: [u8; 32], say: Sender) -> Result<Registered, McpError> {
        let mut id = [0; ID_BYTES];
        rand::fill(&mut id).map_err(|_| McpError::new(Problem::Internal))?;
        self.named.lock().insert(id, Named { principal, say });
        Ok(Registered { fronts: Arc::clone(self), id })
    }

    /// Says a message in a conversation. Cancel safe: it was said or not.
    pub(crate) async fn deliver(
        &self,
        id: &[u8],
        principal: &[u8; 32],
        message: Bytes,
        until: Instant,
    ) -> Result<(), Undelivered> {
        let id: &Id = id.try_into().map_err(|_| Undelivered::Unknown)?;
        let found = self.named.lock().get(id).map(|named| (named.principal, named.say.clone()));
        let (owner, say) = found.ok_or(Undelivered::Unknown)?;
        if owner != *principal {
            return Err(Undelivered::Unknown);
        }
        match clock::timeout_at(until, say.push(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Undelivered::Unknown),
            Err(clock::Elapsed) => Err(Undelivered::Full),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.fronts.named.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::queue;
    use std::collections::BTreeMap;

    fn fronts() -> Arc<Fronts> {
        Fronts::new(ReplicaId(1), &Registry::new(&BTreeMap::new()).unwrap())
    }

    #[test]
    fn places_are_limited_and_given_back() {
        let fronts = fronts();
        let places: Vec<_> = (0..3).map(|_| fronts.place(3).unwrap()).collect();
        assert_eq!(fronts.place(3).err().unwrap().problem(), Problem::Overloaded);
        drop(places);
        assert!(fronts.place(1).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_leads_its_principal_to_the_conversation_for_as_long_as_it_is_there() {
        let fronts = fronts();
        let (say, mut said) = queue(10);
        let name = fronts.name([7; 32], say).unwrap();
        let until = clock::after(clock::now(), Duration::from_secs(1));
        let message = || Bytes::from_static(b"message of more than ten bytes");
        assert_eq!(fronts.deliver(&name.id, &[7; 32], message(), until).await, Ok(()));
        assert_eq!(said.next().await.unwrap(), message());
        assert_eq!(fronts.deliver(&name.id, &[8; 32], message(), until).await, Err(Undelivered::Unknown));
        assert_eq!(
            fronts.deliver(&name.id[1..], &[7; 32], message(), until).await,
            Err(Undelivered::Unknown)
        );
        assert_eq!(fronts.deliver(&name.id, &[7; 32], message(), until).await, Ok(()));
        assert_eq!(fronts.deliver(&name.id, &[7; 32], message(), until).await, Err(Undelivered::Full));
        let id = name.id;
        drop(name);
        assert_eq!(fronts.deliver(&id, &[7; 32], message(), until).await, Err(Undelivered::Unknown));
    }
}
