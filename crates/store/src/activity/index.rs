//! Numbers of rows by session. The id stands in its row alone: four bytes a slot, three quarters of the slots in use at most.

use crate::seam::SessionId;
use std::{collections::hash_map::RandomState, hash::BuildHasher as _};

/// A slot without a row.
pub(super) const NONE: u32 = u32::MAX;
/// Slots of the smallest table.
const SLOTS_MIN: usize = 8;

/// Open addressing, each row in the first free slot from where its hash points to. Whoever holds the rows says which id a row has.
#[derive(Default)]
pub(super) struct Index {
    slots: Vec<u32>,
    used: usize,
    hasher: RandomState,
}

impl Index {
    /// The row of a session.
    pub(super) fn find(&self, session: SessionId, id: impl Fn(u32) -> SessionId) -> Option<u32> {
        self.slot(|row| id(row) == session, session).map(|slot| self.slots[slot])
    }

    /// Puts a row in whose session has none.
    pub(super) fn insert(&mut self, row: u32, id: impl Fn(u32) -> SessionId) {
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            self.resize(self.slots.len() * 2, &id);
        }
        self.put(row, id(row));
        self.used += 1;
    }

    /// Takes the row of a session out.
    pub(super) fn remove(&mut self, session: SessionId, id: impl Fn(u32) -> SessionId) -> Option<u32> {
        let mut hole = self.slot(|row| id(row) == session, session)?;
        let row = std::mem::replace(&mut self.slots[hole], NONE);
        self.used -= 1;
        // Rows behind the hole that it separates from where they are looked for move into it.
        let mask = self.slots.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let next = self.slots[at];
            if next == NONE {
                return Some(row);
            }
            let way = at.wrapping_sub(self.home(id(next))) & mask;
            if way >= at.wrapping_sub(hole) & mask {
                self.slots.swap(hole, at);
                hole = at;
            }
        }
    }

    /// The row of a session has another number now.
    pub(super) fn renumber(&mut self, session: SessionId, before: u32, now: u32) {
        if let Some(slot) = self.slot(|row| row == before, session) {
            self.slots[slot] = now;
        }
    }

    /// Gives back room beyond what as many rows again would need.
    pub(super) fn shrink(&mut self, id: impl Fn(u32) -> SessionId) {
        let slots = (self.used * 8 / 3).next_power_of_two();
        if slots < self.slots.len() {
            self.resize(slots, &id);
        }
    }

    /// The slot that holds a row which `is` the one of `session`.
    fn slot(&self, is: impl Fn(u32) -> bool, session: SessionId) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mut slot = self.home(session);
        loop {
            match self.slots[slot] {
                NONE => return None,
                row if is(row) => return Some(slot),
                _ => slot = (slot + 1) & (self.slots.len() - 1),
            }
        }
    }

    fn home(&self, session: SessionId) -> usize {
        // The lower half of the hash is as good as all of it.
        self.hasher.hash_one(session) as usize & (self.slots.len() - 1)
    }

    fn put(&mut self, row: u32, session: SessionId) {
        let mut slot = self.home(session);
        while self.slots[slot] != NONE {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.slots[slot] = row;
    }

    fn resize(&mut self, slots: usize, id: &impl Fn(u32) -> SessionId) {
        let before = std::mem::replace(&mut self.slots, vec![NONE; slots.max(SLOTS_MIN)]);
        for row in before.into_iter().filter(|row| *row != NONE) {
            self.put(row, id(row));
        }
    }
}
