//! The links of one server: one for each session, and those that requests without a session share.

use crate::{link::Link, switchboard::Owner};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};

/// Where requests without a session find their link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Shelf {
    /// That of a principal.
    Of(Owner),
    /// One of those for everybody.
    Number(usize),
}

/// By what they are found by.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    /// Every link that is not at its end.
    all: HashMap<u64, Arc<Link>>,
    sessions: HashMap<Box<str>, u64>,
    shelves: HashMap<Shelf, Shelved>,
    retired: bool,
}

#[derive(Debug, Default)]
struct Shelved {
    link: Option<u64>,
    /// Whoever holds it opens the link; the others wait.
    opening: Arc<tokio::sync::Mutex<()>>,
}

/// No link is opened any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retired;

impl Pool {
    /// A new link: of its session, or for a shelf.
    pub(crate) fn put(&self, link: &Arc<Link>, shelf: Option<Shelf>) -> Result<(), Retired> {
        let mut inside = self.inside.lock();
        if inside.retired {
            return Err(Retired);
        }
        inside.all.insert(link.number, Arc::clone(link));
        if let Some(session) = &link.session {
            inside.sessions.insert(session.clone(), link.number);
        }
        if let Some(shelf) = shelf {
            inside.shelves.entry(shelf).or_default().link = Some(link.number);
        }
        Ok(())
    }

    /// The link has come to its end.
    pub(crate) fn remove(&self, link: &Link) {
        let mut inside = self.inside.lock();
        inside.all.remove(&link.number);
        if let Some(session) = &link.session {
            inside.sessions.remove(session);
        }
        inside.shelves.retain(|_, shelved| {
            if shelved.link == Some(link.number) {
                shelved.link = None;
            }
            // Somebody may be opening the next one.
            shelved.link.is_some() || Arc::strong_count(&shelved.opening) > 1
        });
    }

    /// The link of a session.
    pub(crate) fn session(&self, id: &str) -> Option<Arc<Link>> {
        let inside = self.inside.lock();
        inside.all.get(inside.sessions.get(id)?).filter(|link| link.is_open()).cloned()
    }

    /// The link of a shelf, or the right to open it.
    pub(crate) fn shelf(&self, shelf: Shelf) -> Result<Arc<Link>, Arc<tokio::sync::Mutex<()>>> {
        let mut inside = self.inside.lock();
        let shelved = inside.shelves.entry(shelf).or_default();
        let (number, opening) = (shelved.link, Arc::clone(&shelved.opening));
        let link = number.and_then(|number| inside.all.get(&number)).filter(|link| link.is_open());
        link.cloned().ok_or(opening)
    }

    /// Of `count` shelves for everybody, the one whose link has the least to do. One that rests is used before another is opened.
    pub(crate) fn least_busy(&self, count: usize) -> Shelf {
        let inside = self.inside.lock();
        let load = |number: &usize| {
            let link = inside.shelves.get(&Shelf::Number(*number)).and_then(|shelved| shelved.link);
            match link.and_then(|link| inside.all.get(&link)).filter(|link| link.is_open()) {
                Some(link) => match link.in_flight() {
                    0 => 0,
                    busy => busy + 1,
                },
                None => 1,
            }
        };
        Shelf::Number((0..count.max(1)).min_by_key(load).unwrap_or(0))
    }

    /// Every link.
    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        let mut all: Vec<_> = self.inside.lock().all.values().cloned().collect();
        all.sort_unstable_by_key(|link| link.number);
        all
    }

    /// Opens no link any more; those there are.
    pub(crate) fn retire(&self) -> Vec<Arc<Link>> {
        self.inside.lock().retired = true;
        self.all()
    }
}
