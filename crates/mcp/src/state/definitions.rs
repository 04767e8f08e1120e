//! What servers last said that their tools are: a definition that changes behind its readers' backs is told of (decision 0019).

use crate::policy::{Digest, Pins, definitions};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// Servers watched.
const SERVERS_MAX: usize = 4096;
/// Tools watched per server.
const TOOLS_MAX: usize = 10_000;
/// Definitions of one tool that are told apart: endpoints of two releases, or callers of two kinds, may be shown different ones.
const DEFINITIONS_MAX: usize = 8;
/// Pages that are known to hold nothing new.
const PAGES_MAX: usize = 64;
/// Lines of the log per server and [`LINES_SPAN`].
const LINES_MAX: u32 = 20;
const LINES_SPAN: Duration = Duration::from_mins(1);
/// How long a definition is believed. After that the server is asked again before a call of a pinned tool.
const BELIEVED: Duration = Duration::from_mins(5);
/// After its question showed no pinned definition, how long a caller is refused without another.
const REFUSED: Duration = Duration::from_secs(1);
/// Callers for whom that is remembered per server; others may ask again at once.
const REFUSED_MAX: usize = 1024;

/// By server. Outlives snapshots.
#[derive(Default)]
pub(crate) struct Definitions(Mutex<HashMap<Box<str>, Arc<Watch>>>);

impl Definitions {
    /// What is known of a server.
    pub(crate) fn of(&self, server: &str) -> Arc<Watch> {
        let mut servers = self.0.lock();
        if servers.len() >= SERVERS_MAX {
            servers.retain(|_, watch| Arc::strong_count(watch) > 1);
        }
        Arc::clone(servers.entry(server.into()).or_default())
    }
}

/// What is known of one server's tools.
#[derive(Default)]
pub(crate) struct Watch {
    known: Mutex<Known>,
    /// Whoever asks the server for its tools before a call; the others wait for what comes of it.
    pub(crate) asking: tokio::sync::Mutex<()>,
    refused: Mutex<HashMap<[u8; 32], Instant>>,
}

#[derive(Default)]
struct Known {
    tools: HashMap<Box<str>, Tool>,
    /// Lists of which every tool is as it was last seen.
    pages: VecDeque<Digest>,
    /// Grows when the server says that its tools changed.
    generation: u64,
    lines: Lines,
}

struct Tool {
    latest: Option<Digest>,
    at: Instant,
    generation: u64,
    /// Different ones, the latest included.
    seen: VecDeque<Option<Digest>>,
}

/// A definition that was not seen before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) tool: Box<str>,
    pub(crate) old: Before,
    pub(crate) new: Option<Digest>,
}

/// What a tool was when it was last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// It is new.
    Unseen,
    /// Its digest, if it had one.
    Was(Option<Digest>),
}

/// What may be thought of a tool with a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the pinned one.
    Pinned,
    /// It is another one.
    Other,
    /// Nobody has seen it lately.
    Unknown,
}

/// What an operator may want to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolsView {
    /// Tools seen.
    pub known: usize,
    /// Tools that were seen with more than one definition.
    pub changed: usize,
    /// Tools with a pin.
    pub pinned: usize,
    /// Tools that pins keep from everybody, in order; at most [`ToolsView::NAMES_MAX`] of them.
    pub withheld: Vec<String>,
}

impl ToolsView {
    /// Names that are told.
    pub const NAMES_MAX: usize = 100;
}

impl Watch {
    /// Takes note of a list (a raw array), and says which definitions in it are new. With `all`, also of a list that is known.
    pub(crate) fn learn(&self, list: &[u8], all: bool, now: Instant) -> Vec<News> {
        let page = Digest::of(list);
        if !all && self.known.lock().pages.contains(&page) {
            return Vec::new();
        }
        let tools = definitions(list);
        let mut known = self.known.lock();
        let (generation, mut moved) = (known.generation, false);
        let mut news = Vec::new();
        for (name, new) in tools {
            let room = known.tools.len() < TOOLS_MAX;
            match known.tools.get_mut(&name) {
                Some(tool) => {
                    let old = std::mem::replace(&mut tool.latest, new);
                    (tool.at, tool.generation) = (now, generation);
                    moved |= old != new;
                    if tool.note(new) {
                        news.push(News { tool: name, old: Before::Was(old), new });
                    }
                }
                None if room => {
                    news.push(News { tool: name.clone(), old: Before::Unseen, new });
                    let seen = VecDeque::from([new]);
                    known.tools.insert(name, Tool { latest: new, at: now, generation, seen });
                }
                None => {}
            }
        }
        if moved {
            known.pages.clear();
        }
        if !known.pages.contains(&page) {
            if known.pages.len() >= PAGES_MAX {
                known.pages.pop_front();
            }
            known.pages.push_back(page);
        }
        news
    }

    /// The server says that its tools changed: what was seen before is not believed any more.
    pub(crate) fn outdated(&self) {
        self.known.lock().generation += 1;
    }

    /// What may be thought of `tool`.
    pub(crate) fn judge(&self, pins: &Pins, tool: &str, now: Instant) -> Verdict {
        let known = self.known.lock();
        let believed = |tool: &&Tool| {
            tool.generation == known.generation && now.saturating_duration_since(tool.at) < BELIEVED
        };
        match known.tools.get(tool).filter(believed) {
            Some(found) if pins.hold(tool, found.latest) => Verdict::Pinned,
            Some(_) => Verdict::Other,
            None => Verdict::Unknown,
        }
    }

    /// Whether one more line may be written, and how many were not since the last.
    pub(crate) fn line(&self, now: Instant) -> Option<u64> {
        self.known.lock().lines.take(now)
    }

    /// The caller's question showed no pinned definition.
    pub(crate) fn refuse(&self, caller: [u8; 32], now: Instant) {
        let mut refused = self.refused.lock();
        if refused.len() >= REFUSED_MAX {
            refused.retain(|_, at| now.saturating_duration_since(*at) < REFUSED);
        }
        if refused.len() < REFUSED_MAX || refused.contains_key(&caller) {
            refused.insert(caller, now);
        }
    }

    /// Whether that was just now.
    pub(crate) fn is_refused(&self, caller: &[u8; 32], now: Instant) -> bool {
        self.refused.lock().get(caller).is_some_and(|at| now.saturating_duration_since(*at) < REFUSED)
    }

    /// As it is now.
    pub(crate) fn view(&self, pins: Option<&Pins>) -> ToolsView {
        let known = self.known.lock();
        let tools = known.tools.iter().map(|(name, tool)| (&**name, tool));
        let withheld = |(name, tool): &(&str, &Tool)| pins.is_some_and(|pins| !pins.hold(name, tool.latest));
        let mut names: Vec<&str> = tools.filter(withheld).map(|(name, _)| name).collect();
        names.sort_unstable();
        names.truncate(ToolsView::NAMES_MAX);
        ToolsView {
            known: known.tools.len(),
            changed: known.tools.values().filter(|tool| tool.seen.len() > 1).count(),
            pinned: pins.map_or(0, Pins::len),
            withheld: names.into_iter().map(str::to_owned).collect(),
        }
    }
}

impl Tool {
    /// Whether it never had this definition, as far as is remembered.
    fn note(&mut self, new: Option<Digest>) -> bool {
        let is_new = !self.seen.contains(&new);
        if is_new {
            if self.seen.len() >= DEFINITIONS_MAX {
                self.seen.pop_front();
            }
            self.seen.push_back(new);
        }
        is_new
    }
}

/// So many lines in a span of time.
#[derive(Default)]
struct Lines {
    began: Option<Instant>,
    written: u32,
    kept_back: u64,
}

impl Lines {
    fn take(&mut self, now: Instant) -> Option<u64> {
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= LINES_SPAN) {
            (self.began, self.written) = (Some(now), 0);
        }
        if self.written >= LINES_MAX {
            self.kept_back += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.kept_back))
    }
}

#[cfg(test)]
#[path = "definitions_tests.rs"]
mod tests;
