//! How many links a server may have, and who has them.

use crate::switchboard::Owner;
use holdfast_telemetry::Gauge;
use holdfast_upstream::Limit;
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};
use tokio::sync::watch;

/// Counts links from before they are opened until nothing is left of them.
#[derive(Debug)]
pub(crate) struct Places {
    room: Room,
    owners: Mutex<HashMap<Owner, usize>>,
    taken: watch::Sender<usize>,
    gauge: Gauge,
}

/// How many there may be, and what those limits are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) all: (usize, Limit),
    pub(crate) of_one: (usize, Limit),
}

/// The right to one link.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    owner: Option<Owner>,
}

impl Places {
    pub(crate) fn new(room: Room, gauge: Gauge) -> Arc<Self> {
        Arc::new(Self { room, owners: Mutex::new(HashMap::new()), taken: watch::Sender::new(0), gauge })
    }

    /// A place for a link of `owner`; without one, for a link of everybody.
    pub(crate) fn take(self: &Arc<Self>, owner: Option<Owner>) -> Result<Place, Limit> {
        let mut owners = self.owners.lock();
        let all = *self.taken.borrow();
        let Room { all: (most, limit), of_one: (most_of_one, limit_of_one) } = self.room;
        if all >= most {
            return Err(limit);
        }
        if let Some(owner) = owner {
            let own = owners.get(&owner).copied().unwrap_or(0);
            if own >= most_of_one {
                return Err(limit_of_one);
            }
            owners.insert(owner, own + 1);
        }
        self.taken.send_replace(all + 1);
        self.gauge.inc();
        Ok(Place { places: Arc::clone(self), owner })
    }

    /// Returns when there is no link left. Cancel safe.
    pub(crate) async fn empty(&self) {
        let _ = self.taken.subscribe().wait_for(|taken| *taken == 0).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut owners = self.places.owners.lock();
        if let Some(owner) = self.owner
            && let Some(own) = owners.get_mut(&owner)
        {
            *own -= 1;
            if *own == 0 {
                owners.remove(&owner);
            }
        }
        self.places.taken.send_modify(|taken| *taken -= 1);
        self.places.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_in_all_and_for_each_and_come_back() {
        let room = Room { all: (3, Limit::Processes), of_one: (2, Limit::ProcessesPerPrincipal) };
        let places = Places::new(room, Gauge::default());
        let (me, you) = (Some([1; 32]), Some([2; 32]));
        let mine = [places.take(me).unwrap(), places.take(me).unwrap()];
        assert_eq!(places.take(me).unwrap_err(), Limit::ProcessesPerPrincipal);
        let yours = places.take(you).unwrap();
        assert_eq!(places.take(you).unwrap_err(), Limit::Processes);
        assert_eq!(places.take(None).unwrap_err(), Limit::Processes);
        drop((mine, yours));
        assert!(places.owners.lock().is_empty());
        assert_eq!((places.gauge.get(), *places.taken.borrow()), (0, 0));
        assert!(places.take(None).is_ok());
    }
}
