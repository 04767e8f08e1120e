//! What is known of each session, and when to look at it next, in as few bytes as that takes.
//!
//! | part | bytes of a session |
//! |---|---|
//! | its row: id, time, place in the order, value | 32 and the value |
//! | [`Index`]: the row's number, and free slots | 5 to 11 |
//! | the order: a heap of row numbers, the earliest on top | 4 |

use super::{index::Index, tick::Tick};
use crate::seam::SessionId;

/// Room for so many sessions is never given back.
pub(super) const ROOM_MIN: usize = 1024;
/// Room is given back when only this part of it is in use.
const ROOM_PARTS: usize = 4;

/// Sessions, each with a value and a time. Rows lie close together: the last one moves to where one was taken out.
pub(crate) struct Agenda<V> {
    rows: Vec<Row<V>>,
    index: Index,
    /// Numbers of rows. None is earlier than the one at half its place.
    order: Vec<u32>,
}

struct Row<V> {
    session: SessionId,
    /// Where its number stands in the order.
    place: u32,
    at: Tick,
    value: V,
}

impl<V> Default for Agenda<V> {
    fn default() -> Self {
        Self { rows: Vec::new(), index: Index::default(), order: Vec::new() }
    }
}

impl<V> Agenda<V> {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// More than this are not taken.
    pub(crate) fn is_full(&self) -> bool {
        self.rows.len() >= super::index::NONE as usize
    }

    pub(crate) fn get(&self, session: SessionId) -> Option<&V> {
        self.find(session).map(|row| &self.rows[row as usize].value)
    }

    pub(crate) fn get_mut(&mut self, session: SessionId) -> Option<&mut V> {
        self.find(session).map(|row| &mut self.rows[row as usize].value)
    }

    /// When to look at a session.
    pub(crate) fn at(&self, session: SessionId) -> Option<Tick> {
        self.find(session).map(|row| self.rows[row as usize].at)
    }

    /// The earliest time, and whose it is.
    pub(crate) fn first(&self) -> Option<(Tick, SessionId)> {
        self.order.first().map(|row| &self.rows[*row as usize]).map(|row| (row.at, row.session))
    }

    /// All, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SessionId, &V)> {
        self.rows.iter().map(|row| (row.session, &row.value))
    }

    /// All, to be changed.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.rows.iter_mut().map(|row| &mut row.value)
    }

    /// One of all, by a number below [`len`](Self::len).
    pub(crate) fn nth(&self, number: usize) -> Option<(SessionId, &V)> {
        self.rows.get(number).map(|row| (row.session, &row.value))
    }

    /// Puts a session in, to be looked at `at`. One that is there is left as it is; so is a full table.
    pub(crate) fn insert(&mut self, session: SessionId, at: Tick, value: V) {
        if self.is_full() || self.find(session).is_some() {
            return;
        }
        let number = self.rows.len() as u32;
        self.rows.push(Row { session, place: number, at, value });
        self.order.push(number);
        let rows = &self.rows;
        self.index.insert(number, |row| rows[row as usize].session);
        self.rise(number as usize);
    }

    /// Looks at a session at another time.
    pub(crate) fn set(&mut self, session: SessionId, at: Tick) {
        if let Some(number) = self.find(session) {
            let row = &mut self.rows[number as usize];
            row.at = at;
            let place = row.place as usize;
            let place = self.rise(place);
            self.sink(place);
        }
    }

    /// Takes a session out.
    pub(crate) fn remove(&mut self, session: SessionId) -> Option<V> {
        let rows = &self.rows;
        let number = self.index.remove(session, |row| rows[row as usize].session)?;
        self.leave(self.rows[number as usize].place as usize);
        let row = self.rows.swap_remove(number as usize);
        if let Some(moved) = self.rows.get(number as usize) {
            self.index.renumber(moved.session, self.rows.len() as u32, number);
            self.order[moved.place as usize] = number;
        }
        self.give_back();
        Some(row.value)
    }

    fn find(&self, session: SessionId) -> Option<u32> {
        self.index.find(session, |row| self.rows[row as usize].session)
    }

    /// A crowd that has gone leaves no room behind. Rare: the room halves each time.
    fn give_back(&mut self) {
        let (room, used) = (self.rows.capacity(), self.rows.len());
        if room > ROOM_MIN && used < room / ROOM_PARTS {
            let room = (used * 2).max(ROOM_MIN / 2);
            self.rows.shrink_to(room);
            self.order.shrink_to(room);
            let rows = &self.rows;
            self.index.shrink(|row| rows[row as usize].session);
        }
    }

    /// Takes what stands at `place` out of the order.
    fn leave(&mut self, place: usize) {
        self.order.swap_remove(place);
        if place < self.order.len() {
            self.stand(place);
            let place = self.rise(place);
            self.sink(place);
        }
    }

    fn time(&self, place: usize) -> Tick {
        self.rows[self.order[place] as usize].at
    }

    /// Notes in its row where a number stands.
    fn stand(&mut self, place: usize) {
        let row = self.order[place] as usize;
        self.rows[row].place = place as u32;
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.order.swap(one, other);
        self.stand(one);
        self.stand(other);
    }

    /// Moves what stands at `place` up to where nothing above is later. Where that is.
    fn rise(&mut self, mut place: usize) -> usize {
        while let Some(above) = place.checked_sub(1).map(|before| before / 2)
            && self.time(place) < self.time(above)
        {
            self.swap(place, above);
            place = above;
        }
        place
    }

    /// Moves what stands at `place` down to where nothing below is earlier.
    fn sink(&mut self, mut place: usize) {
        loop {
            let below = [2 * place + 1, 2 * place + 2].into_iter().filter(|below| *below < self.order.len());
            let Some(earliest) = below.min_by_key(|below| self.time(*below)) else { return };
            if self.time(place) <= self.time(earliest) {
                return;
            }
            self.swap(place, earliest);
            place = earliest;
        }
    }
}

#[cfg(test)]
impl<V> Agenda<V> {
    /// For how many sessions there is room.
    pub(super) fn room(&self) -> usize {
        self.rows.capacity()
    }

    /// Whether all parts say the same.
    pub(super) fn is_sound(&self) -> bool {
        let placed = |(number, row): (usize, &Row<V>)| {
            self.order[row.place as usize] as usize == number && self.find(row.session) == Some(number as u32)
        };
        self.order.len() == self.rows.len()
            && self.rows.iter().enumerate().all(placed)
            && (1..self.order.len()).all(|place| self.time((place - 1) / 2) <= self.time(place))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tick::Clock;
    use super::*;
    use proptest::prelude::*;
    use std::{
        collections::BTreeMap,
        time::{Duration, Instant},
    };

    fn id(number: u16) -> SessionId {
        let mut id = [0; 16];
        id[14..].copy_from_slice(&number.to_be_bytes());
        SessionId(id)
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_would_and_knows_the_earliest(
            steps in prop::collection::vec((0u16..60, 0u64..50, 0u8..5), 1..600),
        ) {
            let now = Instant::now();
            let start = Clock::new(now).tick(now);
            let (mut agenda, mut model) = (Agenda::default(), BTreeMap::new());
            for (number, at, what) in steps {
                let (session, at) = (id(number), start.after(Duration::from_nanos(at)));
                match what {
                    0 => prop_assert_eq!(agenda.remove(session), model.remove(&session).map(|(_, value)| value)),
                    1 => {
                        agenda.set(session, at);
                        model.entry(session).and_modify(|known: &mut (Tick, u64)| known.0 = at);
                    }
                    2 => if let Some((_, first)) = agenda.first() {
                        agenda.remove(first);
                        model.remove(&first);
                    },
                    _ => {
                        agenda.insert(session, at, u64::from(number));
                        model.entry(session).or_insert((at, u64::from(number)));
                    }
                }
                prop_assert!(agenda.is_sound());
                prop_assert_eq!(agenda.first().map(|(at, _)| at), model.values().map(|(at, _)| *at).min());
                prop_assert_eq!(agenda.len(), model.len());
                for number in 0..60 {
                    let known = model.get(&id(number));
                    prop_assert_eq!(agenda.get(id(number)), known.map(|(_, value)| value));
                    prop_assert_eq!(agenda.at(id(number)), known.map(|(at, _)| *at));
                }
            }
        }
    }

    #[test]
    fn a_crowd_that_has_gone_leaves_no_room_behind() {
        let now = Instant::now();
        let (start, mut agenda) = (Clock::new(now).tick(now), Agenda::default());
        for number in 0..20_000 {
            agenda.insert(id(number), start, ());
        }
        assert!(agenda.room() >= 20_000 && agenda.is_sound());
        for number in 10..20_000 {
            assert!(agenda.remove(id(number)).is_some());
        }
        assert!(agenda.room() <= ROOM_MIN && agenda.len() == 10 && agenda.is_sound());
    }
}
