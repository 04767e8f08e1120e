//! The links of one server: one for each session, and those that requests without a session share.

use crate::{link::Link, switchboard::Owner};
use holdfast_upstream::{EndpointKey, clock};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// Pause after a further link could not be opened: the one there is does the work meanwhile.
const NO_FURTHER: Duration = Duration::from_secs(1);

/// Where requests without a session find their link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Shelf {
    /// Those of a principal.
    Of(Owner),
    /// Those for everybody.
    Everybody,
}

/// What a request wants of a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    /// It leads there.
    pub(crate) pin: Option<&'a EndpointKey>,
    /// It leads somewhere else.
    pub(crate) avoid: &'a [EndpointKey],
    /// Links of a shelf.
    pub(crate) most: usize,
}

/// Who opens a link; the others wait, or do without.
pub(crate) type Opening = Arc<tokio::sync::Mutex<()>>;

/// What a shelf has.
pub(crate) enum Found {
    /// The link to use.
    Link(Arc<Link>),
    /// A link that has work; another may be opened.
    Busy(Arc<Link>, Opening),
    /// None.
    Nothing(Opening),
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
    links: Vec<u64>,
    opening: Opening,
    /// No further link before then.
    pause: Option<Instant>,
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
            inside.shelves.entry(shelf).or_default().links.push(link.number);
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
            shelved.links.retain(|number| *number != link.number);
            // Somebody may be opening the next one.
            !shelved.links.is_empty() || Arc::strong_count(&shelved.opening) > 1
        });
    }

    /// The link of a session.
    pub(crate) fn session(&self, id: &str) -> Option<Arc<Link>> {
        let inside = self.inside.lock();
        inside.all.get(inside.sessions.get(id)?).filter(|link| link.is_open()).cloned()
    }

    /// The link of a shelf that has the least to do, if it is as wished. One that rests is used before another is opened.
    pub(crate) fn find(&self, shelf: Shelf, wish: Wish<'_>) -> Found {
        let mut inside = self.inside.lock();
        let Inside { all, shelves, .. } = &mut *inside;
        let shelved = shelves.entry(shelf).or_default();
        let opening = Arc::clone(&shelved.opening);
        let links = shelved.links.iter().filter_map(|number| all.get(number)).filter(|link| link.is_open());
        let open: Vec<_> = links.collect();
        let fits = |link: &&&Arc<Link>| match wish.pin {
            Some(pin) => link.endpoint == *pin,
            None => !wish.avoid.contains(&link.endpoint),
        };
        let least =
            open.iter().filter(fits).map(|link| (link.in_flight(), *link)).min_by_key(|(load, _)| *load);
        let paused = shelved.pause.is_some_and(|until| until > clock::now());
        match least {
            None => Found::Nothing(opening),
            Some((load, link)) => {
                let enough = load == 0 || wish.pin.is_some() || open.len() >= wish.most || paused;
                if enough { Found::Link(Arc::clone(link)) } else { Found::Busy(Arc::clone(link), opening) }
            }
        }
    }

    /// Where the open links of a shelf lead.
    pub(crate) fn endpoints(&self, shelf: Shelf) -> Vec<EndpointKey> {
        let inside = self.inside.lock();
        let numbers = inside.shelves.get(&shelf).into_iter().flat_map(|shelved| &shelved.links);
        let links = numbers.filter_map(|number| inside.all.get(number)).filter(|link| link.is_open());
        links.map(|link| link.endpoint.clone()).collect()
    }

    /// A further link could not be opened.
    pub(crate) fn no_further(&self, shelf: Shelf) {
        if let Some(shelved) = self.inside.lock().shelves.get_mut(&shelf) {
            shelved.pause = Some(clock::after(clock::now(), NO_FURTHER));
        }
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
