//! What members last listed, kept apart for each authorization context.
//!
//! | kept | the member | what a client gets |
//! |---|---|---|
//! | fresh (the member's own `ttlMs`) | is not asked | what is kept, for what is left of that time |
//! | old | answers within the patience | its answer |
//! | old | is slower, or dead | what is kept, unless configured otherwise; the question goes on and its answer is kept |
//! | nothing | answers within `list_timeout` | its answer |
//! | nothing | does not, or is known to be late | nothing of this member |
//!
//! One question at a time for one page and context; whoever comes meanwhile waits for the same answer.

use super::{List, Page, wrap_uri};
use crate::frame::Frame;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use holdfast_telemetry::metrics::ListPart;
use holdfast_upstream::clock;
use moka::sync::Cache;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// Nobody's in particular: a page that its member calls public.
const ANYBODY: [u8; 32] = [0; 32];
/// Longest time a page is believed without asking, whatever its member says.
const FRESH_MAX: Duration = Duration::from_hours(1);

/// URIs that are remembered with the member that has them.
const HOLDERS_MAX: u64 = 100_000;
/// Longest URI that is remembered.
const URI_BYTES_MAX: usize = 2 * 1024;

/// Which page, of whom, for whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// `Principal::binding()`
    pub(crate) context: [u8; 32],
    pub(crate) member: Arc<str>,
    pub(crate) list: List,
    /// The member's cursor; empty for the first page.
    pub(crate) cursor: Arc<str>,
    /// Versions with a handshake list differently.
    pub(crate) modern: bool,
    /// The member's pins: what others let through is not shown under these.
    pub(crate) pins: u64,
}

#[derive(Clone)]
struct Kept {
    page: Arc<Page>,
    /// When the member was asked for it.
    asked: Instant,
    fresh_until: Instant,
    /// Of the member's lists when it was asked.
    generation: u64,
}

/// The member gave no page. What it said or did is in its own metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPage {
    /// It answered, and not with a list: it has none.
    None,
    /// It did not answer.
    Unreachable,
}

/// What a list gets of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// As it is now.
    Current(Arc<Page>),
    /// As its member said that it would stay, for so many milliseconds more.
    Fresh(Arc<Page>, u64),
    /// As it last was.
    LastGood(Arc<Page>),
    /// The member has no such list.
    None,
    /// Left out.
    Missing,
}

impl Part {
    /// As metrics count it.
    pub(crate) fn outcome(&self) -> ListPart {
        match self {
            Self::Current(_) | Self::Fresh(..) => ListPart::Current,
            Self::LastGood(_) => ListPart::LastGood,
            Self::None => ListPart::None,
            Self::Missing => ListPart::Missing,
        }
    }
}

/// How long a member is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// If there is something else to show.
    pub(crate) with_last_good: Duration,
    /// If there is nothing else.
    pub(crate) without: Duration,
    /// Whether what a member last said may stand in for it.
    pub(crate) last_good: bool,
}

type Asking = Shared<BoxFuture<'static, Result<Arc<Page>, NoPage>>>;

/// See the module. Outlives snapshots.
pub(crate) struct Shelf {
    kept: Cache<Key, Kept>,
    asking: Mutex<HashMap<Key, Asking>>,
    /// Members that were waited for in vain, until they answer again.
    late: Mutex<HashSet<Arc<str>>>,
    /// Who has a URI or a URI template, by context: what lists have shown.
    holders: Cache<([u8; 32], Box<str>), Arc<str>>,
    /// Grows when a member says that a list of its changed.
    generations: Mutex<HashMap<(Arc<str>, List), u64>>,
}

impl Shelf {
    /// Keeps at most `bytes_max` bytes; what was used longest ago goes first.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let weigh = |_: &Key, kept: &Kept| u32::try_from(kept.page.size()).unwrap_or(u32::MAX);
        Self {
            kept: Cache::builder().max_capacity(bytes_max).weigher(weigh).build(),
            holders: Cache::new(HOLDERS_MAX),
            asking: Mutex::default(),
            late: Mutex::default(),
            generations: Mutex::default(),
        }
    }

    /// A member said that a list of its changed: nothing that is kept of it is fresh any more.
    pub(crate) fn changed(&self, member: &Arc<str>, list: List) {
        *self.generations.lock().entry((Arc::clone(member), list)).or_default() += 1;
    }

    /// Takes note of a message of a member, if it is about its lists.
    pub(crate) fn hear(&self, member: &Arc<str>, message: &Frame) {
        let lists: &[List] = match &*message.method_bytes() {
            b"notifications/tools/list_changed" => &[List::Tools],
            b"notifications/prompts/list_changed" => &[List::Prompts],
            b"notifications/resources/list_changed" => &[List::Resources, List::Templates],
            _ => return,
        };
        for list in lists {
            self.changed(member, *list);
        }
    }

    /// Remembers who has the URIs of a page that `shows` lets through. The first that was seen with one stays its holder.
    pub(crate) fn learn(
        &self,
        context: &[u8; 32],
        member: &Arc<str>,
        list: List,
        page: &Page,
        shows: impl Fn(&str) -> bool,
    ) {
        if !matches!(list, List::Resources | List::Templates) {
            return;
        }
        for item in page.items.iter().filter(|item| item.name.len() <= URI_BYTES_MAX && shows(&item.name)) {
            self.holders.entry((*context, item.name.clone())).or_insert_with(|| Arc::clone(member));
        }
    }

    /// The member that has a URI or URI template, as far as lists have shown.
    pub(crate) fn holder(&self, context: &[u8; 32], uri: &str) -> Option<Arc<str>> {
        self.holders.get(&(*context, Box::from(uri)))
    }

    /// The URI under which clients know `own` of `member`, where another member has it too.
    pub(crate) fn shown(&self, context: &[u8; 32], member: &str, own: &str) -> Option<String> {
        let holder = self.holder(context, own)?;
        (*holder != *member).then(|| wrap_uri(member, own))
    }

    /// Whether the member did not answer the last time it was waited for.
    pub(crate) fn is_late(&self, member: &str) -> bool {
        self.late.lock().contains(member)
    }

    /// What there is to show of a member. `ask` is called at most once, and only if the member has to be asked. Cancel safe: the question goes on without whoever asked first.
    pub(crate) async fn part<F>(self: &Arc<Self>, key: Key, patience: Patience, ask: F) -> Part
    where
        F: FnOnce() -> BoxFuture<'static, Result<Page, NoPage>>,
    {
        let kept = self.kept(&key);
        if let Some(kept) = &kept
            && kept.fresh_until > clock::now()
            && kept.generation == self.generation(&key)
        {
            let age = clock::now().saturating_duration_since(kept.asked);
            let left = Duration::from_millis(kept.page.ttl_ms).saturating_sub(age).as_millis();
            return Part::Fresh(Arc::clone(&kept.page), u64::try_from(left).unwrap_or(u64::MAX));
        }
        let last_good = kept.filter(|_| patience.last_good);
        let wait = match (&last_good, self.is_late(&key.member)) {
            (_, true) => Duration::ZERO,
            (Some(_), false) => patience.with_last_good,
            (None, false) => patience.without,
        };
        let member = Arc::clone(&key.member);
        let asking = self.asking(key, patience.without, ask);
        let answer =
            if wait.is_zero() { asking.now_or_never() } else { clock::timeout(wait, asking).await.ok() };
        match answer {
            Some(Ok(page)) => Part::Current(page),
            Some(Err(NoPage::None)) => Part::None,
            Some(Err(NoPage::Unreachable)) | None => {
                self.late.lock().insert(member);
                last_good.map_or(Part::Missing, |kept| Part::LastGood(kept.page))
            }
        }
    }

    fn kept(&self, key: &Key) -> Option<Kept> {
        self.kept.get(key).or_else(|| self.kept.get(&Key { context: ANYBODY, ..key.clone() }))
    }

    fn generation(&self, key: &Key) -> u64 {
        let of = (Arc::clone(&key.member), key.list);
        self.generations.lock().get(&of).copied().unwrap_or_default()
    }

    /// The question that is under way for `key`, or a new one, given up after `limit`: a member that is back can then be asked again.
    fn asking<F>(self: &Arc<Self>, key: Key, limit: Duration, ask: F) -> Asking
    where
        F: FnOnce() -> BoxFuture<'static, Result<Page, NoPage>>,
    {
        let mut under_way = self.asking.lock();
        if let Some(asking) = under_way.get(&key) {
            return asking.clone();
        }
        let (shelf, asked) = (Arc::clone(self), key.clone());
        let (generation, at) = (self.generation(&key), clock::now());
        let answer = ask();
        let asking = async move {
            let answer = clock::timeout(limit, answer).await.unwrap_or(Err(NoPage::Unreachable));
            shelf.asking.lock().remove(&asked);
            shelf.keep(asked, generation, at, answer)
        }
        .boxed()
        .shared();
        under_way.insert(key, asking.clone());
        // Whoever asked may leave; the answer is for the next one as well.
        tokio::spawn(asking.clone());
        asking
    }

    fn keep(
        &self,
        key: Key,
        generation: u64,
        asked: Instant,
        answer: Result<Page, NoPage>,
    ) -> Result<Arc<Page>, NoPage> {
        match answer {
            Ok(page) => {
                self.late.lock().remove(&key.member);
                let page = Arc::new(page.compact());
                let fresh = Duration::from_millis(page.ttl_ms).min(FRESH_MAX);
                let context = if page.public { ANYBODY } else { key.context };
                let kept = Kept {
                    page: Arc::clone(&page),
                    asked,
                    fresh_until: clock::after(asked, fresh),
                    generation,
                };
                self.kept.insert(Key { context, ..key }, kept);
                Ok(page)
            }
            Err(NoPage::None) => {
                self.late.lock().remove(&key.member);
                Err(NoPage::None)
            }
            Err(NoPage::Unreachable) => Err(NoPage::Unreachable),
        }
    }
}

#[cfg(test)]
#[path = "shelf_tests.rs"]
mod tests;
