//! Links that are opened: for a session, or for a shelf from which requests without a session take theirs.

use crate::{
    carrier::Dial,
    carry::carry,
    link::{For, Link},
    links::Links,
    places::Place,
    pool::{Found, Retired, Shelf, Wish},
    session_id,
    start::{Started, TooSoon},
    switchboard::{Owner, Sharing},
};
use holdfast_telemetry::metrics::{LinkEnd, LinkOpening};
use holdfast_upstream::{CallError, EndpointKey, clock};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

/// Which endpoints a request may reach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Where<'a> {
    /// This one alone.
    pub(crate) pin: Option<&'a EndpointKey>,
    /// These only if there is no other.
    pub(crate) avoid: &'a [EndpointKey],
}

/// A link that was just opened: dropped without [`Opened::keep`], it is closed.
pub(crate) struct Opened(Option<Arc<Link>>);

impl Links {
    /// The link that a request of `owner` without a session goes over. Opened if need be; one of those who wait opens it.
    pub(crate) async fn shared(
        self: &Arc<Self>,
        owner: Owner,
        place: Where<'_>,
        until: Instant,
    ) -> Result<Arc<Link>, CallError> {
        let (shelf, sharing, most) = if self.sharing.shared {
            (Shelf::Everybody, Sharing::Everybody, self.sharing.pool)
        } else {
            // One for each endpoint, so that they share the work.
            (Shelf::Of(owner), Sharing::Principal, self.carrier.get().endpoint_count())
        };
        let wish = Wish { pin: place.pin, avoid: place.avoid, most };
        let (busy, _turn) = match self.pool.find(shelf, wish) {
            Found::Link(link) => return Ok(link),
            Found::Busy(link, opening) => match opening.try_lock_owned() {
                Ok(turn) => (Some(link), turn),
                Err(_) => return Ok(link),
            },
            Found::Nothing(opening) => {
                let Ok(turn) = clock::timeout_at(until, opening.lock_owned()).await else {
                    return Err(self.late());
                };
                match self.pool.find(shelf, wish) {
                    Found::Link(link) | Found::Busy(link, _) => return Ok(link),
                    Found::Nothing(_) => (None, turn),
                }
            }
        };
        let whom = For { number: self.number(), session: None, owner, sharing };
        let mut avoid = place.avoid.to_vec();
        avoid.extend(self.pool.endpoints(shelf));
        let dial = Dial { principal: owner, pin: place.pin.cloned(), avoid, until };
        match (self.open(whom, Some(shelf), dial).await, busy) {
            (Ok(opened), _) => opened.keep().ok_or_else(|| self.gone()),
            (Err(_), Some(busy)) => {
                self.pool.no_further(shelf);
                Ok(busy)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// A link for a new session of `owner`.
    pub(crate) async fn session(
        self: &Arc<Self>,
        owner: Owner,
        place: Where<'_>,
        until: Instant,
    ) -> Result<Opened, CallError> {
        let session = session_id::new(self.replica).ok_or_else(|| self.gone())?;
        let whom = For { number: self.number(), session: Some(session), owner, sharing: Sharing::Session };
        let dial = Dial { principal: owner, pin: place.pin.cloned(), avoid: place.avoid.to_vec(), until };
        self.open(whom, None, dial).await
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    async fn open(
        self: &Arc<Self>,
        whom: For,
        shelf: Option<Shelf>,
        dial: Dial,
    ) -> Result<Opened, CallError> {
        let until = dial.until;
        let owner = (whom.sharing != Sharing::Everybody).then_some(whom.owner);
        let place = self.places.take(owner).map_err(|limit| {
            self.metrics.openings.inc(LinkOpening::Full);
            CallError::Overloaded { upstream: (&*self.name).into(), limit }
        })?;
        let started = self.start.admit(until).await.map_err(|TooSoon { retry_after }| {
            CallError::Refused { upstream: (&*self.name).into(), retry_after: Some(retry_after) }
        })?;
        // Where links run, and to its end whoever waits for it: nothing is left half open.
        let opening = self.runtime.spawn(Arc::clone(self).begin(whom, shelf, (place, started), dial));
        match clock::timeout_at(until, opening).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(_)) => Err(self.gone()),
            Err(clock::Elapsed) => Err(self.late()),
        }
    }

    async fn begin(
        self: Arc<Self>,
        whom: For,
        shelf: Option<Shelf>,
        (place, started): (Place, Started),
        dial: Dial,
    ) -> Result<Opened, CallError> {
        let until = dial.until.into();
        let carried = match tokio::time::timeout_at(until, self.carrier.get().open(dial)).await {
            Ok(Ok(carried)) => carried,
            Ok(Err(error)) => {
                started.failed();
                tracing::warn!(server = &*self.name, %error, "no link");
                return Err(error);
            }
            Err(_) => {
                started.failed();
                return Err(self.late());
            }
        };
        let end = (carried.endpoint.clone(), carried.label.clone());
        let (link, letters) = Link::new(whom, end, self.sizes, &self.metrics);
        if let Err(Retired) = self.pool.put(&link, shelf) {
            link.close(LinkEnd::Retired);
        }
        let (links, task) = (Arc::clone(&self), Arc::clone(&link));
        tokio::spawn(async move {
            carry(&task, carried, letters, started, || links.pool.remove(&task)).await;
            drop(place);
        });
        Ok(Opened(Some(link)))
    }
}

impl Opened {
    /// The link stays open.
    pub(crate) fn keep(mut self) -> Option<Arc<Link>> {
        self.0.take()
    }

    pub(crate) fn link(&self) -> Option<&Arc<Link>> {
        self.0.as_ref()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // One that is found on its shelf rests there.
        if let Some(link) = self.0.take().filter(|link| link.session.is_some()) {
            link.close(LinkEnd::Closed);
        }
    }
}
