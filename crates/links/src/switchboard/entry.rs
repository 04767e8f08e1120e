//! The requests of one link.

use super::names::{Name, Owner};
use bytes::Bytes;
use holdfast_frames::frame::IdKey;
use std::collections::{BTreeMap, HashMap};

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its answer, or a message before it.
    Waiting,
    /// More messages, and its answer.
    Streaming,
    /// Nobody reads what comes.
    Left,
}

/// A request in flight.
#[derive(Debug)]
pub(super) struct Entry {
    /// As its client wrote it.
    pub(super) id: Bytes,
    pub(super) key: IdKey,
    /// Its progress token, as its client wrote it.
    pub(super) token: Option<Bytes>,
    pub(super) owner: Owner,
    pub(super) phase: Phase,
    /// It gets nothing but its answer.
    pub(super) deaf: bool,
}

/// By name, which is the order they came in; by id and token where these are the client's own.
#[derive(Debug, Default)]
pub(super) struct Requests {
    all: BTreeMap<Name, Entry>,
    ids: HashMap<IdKey, Name>,
    tokens: HashMap<IdKey, Name>,
    given: u64,
}

impl Requests {
    pub(super) fn next_name(&mut self) -> Name {
        self.given += 1;
        Name(self.given)
    }

    /// Whether there ever was a request of this name.
    pub(super) fn was_given(&self, name: Name) -> bool {
        (1..=self.given).contains(&name.0)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn insert(&mut self, name: Name, entry: Entry) {
        self.ids.insert(entry.key.clone(), name);
        if let Some(token) = &entry.token {
            self.tokens.insert(IdKey::of(token), name);
        }
        self.all.insert(name, entry);
    }

    pub(super) fn get(&self, name: Name) -> Option<&Entry> {
        self.all.get(&name)
    }

    pub(super) fn get_mut(&mut self, name: Name) -> Option<&mut Entry> {
        self.all.get_mut(&name)
    }

    pub(super) fn remove(&mut self, name: Name) -> Option<Entry> {
        let entry = self.all.remove(&name)?;
        // Where ids are not unique, a later request may have the place.
        if self.ids.get(&entry.key) == Some(&name) {
            self.ids.remove(&entry.key);
        }
        if let Some(token) = entry.token.as_deref().map(IdKey::of)
            && self.tokens.get(&token) == Some(&name)
        {
            self.tokens.remove(&token);
        }
        Some(entry)
    }

    pub(super) fn by_id(&self, key: &IdKey) -> Option<(Name, &Entry)> {
        let name = *self.ids.get(key)?;
        Some((name, self.all.get(&name)?))
    }

    pub(super) fn by_token(&self, token: &IdKey) -> Option<Name> {
        self.tokens.get(token).copied()
    }

    /// Those that somebody waits for.
    pub(super) fn live(&self) -> impl Iterator<Item = (Name, &Entry)> {
        self.all.iter().filter(|(_, entry)| entry.phase != Phase::Left).map(|(name, entry)| (*name, entry))
    }

    /// The one that somebody waits for, if there is one alone.
    pub(super) fn sole(&self) -> Option<Name> {
        let mut live = self.live();
        match (live.next(), live.next()) {
            (Some((name, _)), None) => Some(name),
            _ => None,
        }
    }

    /// The newest one that takes what is not its answer.
    pub(super) fn newest_hearing(&self) -> Option<Name> {
        let mut newest_first = self.all.iter().rev();
        newest_first.find(|(_, entry)| entry.phase != Phase::Left && !entry.deaf).map(|(name, _)| *name)
    }

    /// Makes room.
    pub(super) fn forget_oldest_left(&mut self) -> bool {
        let oldest = self.all.iter().find(|(_, entry)| entry.phase == Phase::Left).map(|(name, _)| *name);
        oldest.is_some_and(|name| self.remove(name).is_some())
    }
}
