//! Which sessions to touch in the store, and when. Pure: the driver brings the time, asks for batches and says whether they arrived.
//!
//! | a session | is touched |
//! |---|---|
//! | was used, and then not for `quiet` | then |
//! | is used all the time, or by something that lasts | every `busy` |
//! | was touched, and the store may have lost it | again |
//! | was not used for `remember` | no more: it is forgotten, so an idle session costs nothing |

mod agenda;
mod index;
#[cfg(test)]
mod tests;
mod tick;

pub(crate) use agenda::Agenda;
pub(crate) use tick::{Clock, Tick};

use crate::seam::{SessionId, Touch};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// Parts of the ttl after which a busy session is touched again: as exact as the expiry is if this replica dies.
const BUSY_PARTS: u32 = 16;
/// A touch younger than this may be lost by a failover.
const REPEAT: Duration = Duration::from_secs(15);
/// Pause after a batch that failed.
const RETRY: Duration = Duration::from_secs(1);
/// Entries looked at when room is needed.
const EVICTION_LOOKS: usize = 64;

/// When things happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// `sessions.ttl`.
    pub ttl: Duration,
    /// A session that was not used for so long is quiet.
    pub quiet: Duration,
    /// Time between two touches of a busy session.
    pub busy: Duration,
    /// How long a session is known here after its last use.
    pub remember: Duration,
}

impl Rhythm {
    /// Quiet after a second, busy each sixteenth of `ttl`.
    pub fn new(ttl: Duration) -> Self {
        let part = ttl / BUSY_PARTS;
        Self { ttl, quiet: Duration::from_secs(1).min(part), busy: part, remember: part.max(REPEAT) }
    }

    /// The same for a store in this process: it answers at once and loses nothing, so what it was told need not be known here as well.
    pub fn beside_memory(ttl: Duration) -> Self {
        Self { remember: REPEAT, ..Self::new(ttl) }
    }
}

/// Sessions used lately on this replica.
pub struct Table {
    rhythm: Rhythm,
    max: usize,
    clock: Clock,
    /// Each with when to look at it next.
    sessions: Agenda<Known>,
    /// Where the last search for room ended.
    hand: usize,
}

struct Known {
    used: Tick,
    /// Its absolute end.
    end: Tick,
    /// When it was last given out.
    touched: Option<Tick>,
    /// Since when a touch is owed.
    owed: Option<Tick>,
    /// Until it has arrived in the store; behind a pointer, because most have none.
    ending: Option<Box<Bytes>>,
    /// Uses that have begun and not finished: an open stream.
    held: u32,
    has_ending: bool,
    /// The store does not have it: what is owed waits for nothing.
    urgent: bool,
}

impl Known {
    fn new(used: Tick, end: Tick, ending: Option<Bytes>) -> Self {
        let ending = ending.map(Box::new);
        Self { used, end, touched: None, owed: Some(used), ending, held: 0, has_ending: true, urgent: false }
    }
}

impl Table {
    /// An empty table of at most `max` sessions.
    pub fn new(rhythm: Rhythm, max: usize, now: Instant) -> Self {
        Self { rhythm, max, clock: Clock::new(now), sessions: Agenda::default(), hand: 0 }
    }

    /// A session was used. `end` is its absolute end; `ending` is asked for if the store does not have it, as far as is known here.
    /// `false` if the table is full of sessions whose touch is owed: this one is then not known.
    pub fn used(
        &mut self,
        session: SessionId,
        end: Instant,
        ending: impl FnOnce() -> Option<Bytes>,
        now: Instant,
    ) -> bool {
        let (now, end) = (self.clock.tick(now), self.clock.tick(end));
        let look = now.after(self.rhythm.quiet.min(self.rhythm.busy));
        if let Some(known) = self.sessions.get_mut(session) {
            known.used = known.used.max(now);
            known.end = end;
            if !known.has_ending {
                known.ending = ending().map(Box::new);
                known.has_ending = true;
            }
            if known.owed.is_none() {
                known.owed = Some(now);
                self.sessions.set(session, look);
            }
            return true;
        }
        if (self.sessions.len() >= self.max || self.sessions.is_full()) && !self.make_room() {
            return false;
        }
        self.sessions.insert(session, look, Known::new(now, end, ending()));
        true
    }

    /// As [`used`](Self::used), and in use until [`finish`](Self::finish) is called as often as this said `true`.
    pub fn begin(
        &mut self,
        session: SessionId,
        end: Instant,
        ending: impl FnOnce() -> Option<Bytes>,
        now: Instant,
    ) -> bool {
        if !self.used(session, end, ending, now) {
            return false;
        }
        if let Some(known) = self.sessions.get_mut(session) {
            known.held = known.held.saturating_add(1);
        }
        true
    }

    /// A use that lasted is over now. Of a session that has ended in the meantime nothing is noted.
    pub fn finish(&mut self, session: SessionId, now: Instant) {
        let now = self.clock.tick(now);
        let Some(known) = self.sessions.get_mut(session) else { return };
        known.held = known.held.saturating_sub(1);
        known.used = known.used.max(now);
        known.owed.get_or_insert(now);
        let is_held = known.held > 0;
        let look = now.after(self.rhythm.quiet.min(self.rhythm.busy));
        // A look that comes earlier sees to it; while something else uses the session it is not quiet.
        if !is_held && self.sessions.at(session).is_some_and(|at| look < at) {
            self.sessions.set(session, look);
        }
    }

    /// Whether the session was used here so lately that it cannot be idle.
    pub fn knows(&self, session: SessionId, now: Instant) -> bool {
        let now = self.clock.tick(now);
        let known = self.sessions.get(session);
        known.is_some_and(|known| known.held > 0 || now.since(known.used) < self.rhythm.ttl)
    }

    /// The store gave the session out as ended, and it was in use here: it is touched again, with its ending. `false` if it is not
    /// in use.
    pub fn keep(&mut self, session: SessionId, ending: Option<&Bytes>, now: Instant) -> bool {
        if !self.knows(session, now) {
            return false;
        }
        let now = self.clock.tick(now);
        if let Some(known) = self.sessions.get_mut(session) {
            if known.ending.is_none() {
                known.ending = ending.cloned().map(Box::new);
            }
            known.owed.get_or_insert(now);
            known.urgent = true;
            self.sessions.set(session, now);
        }
        true
    }

    /// The session ended: nothing is owed any more.
    pub fn ended(&mut self, session: SessionId) {
        self.sessions.remove(session);
    }

    /// When [`flush`](Self::flush) has something to do next.
    pub fn next(&self) -> Option<Instant> {
        self.sessions.first().map(|(at, _)| self.clock.instant(at))
    }

    /// What is to be touched now, at most `limit`. What does not arrive is given to [`failed`](Self::failed).
    pub fn flush(&mut self, limit: usize, now: Instant) -> Vec<Touch> {
        let now = self.clock.tick(now);
        let mut touches = Vec::new();
        while touches.len() < limit
            && let Some((at, session)) = self.sessions.first()
            && at <= now
        {
            touches.extend(self.look(session, now));
        }
        touches
    }

    /// Everything that is owed, quiet or not, at most `limit`: this replica leaves. What was in use is no more.
    pub fn last(&mut self, limit: usize, now: Instant) -> Vec<Touch> {
        let now = self.clock.tick(now);
        let owing = self.sessions.iter().filter(|(_, known)| known.owed.is_some());
        let owing: Vec<_> = owing.map(|(session, _)| session).take(limit).collect();
        let touch = |session| {
            if let Some(known) = self.sessions.get_mut(session)
                && std::mem::take(&mut known.held) > 0
            {
                known.used = now;
            }
            self.touch(session, now)
        };
        owing.into_iter().filter_map(touch).collect()
    }

    /// Touches that did not arrive are owed again.
    pub fn failed(&mut self, touches: Vec<Touch>, now: Instant) {
        let now = self.clock.tick(now);
        for touch in touches {
            let Some(known) = self.sessions.get_mut(touch.session) else { continue };
            if known.ending.is_none() {
                known.ending = touch.ending.map(Box::new);
            }
            known.owed.get_or_insert(now);
            self.sessions.set(touch.session, now.after(RETRY));
        }
    }

    /// The store may have lost what was touched lately, or everything: a failover, a flush.
    pub fn interrupted(&mut self, now: Instant) {
        let now = self.clock.tick(now);
        let recent = |known: &Known| known.touched.is_some_and(|at| now.since(at) < REPEAT);
        let lost: Vec<_> =
            self.sessions.iter().filter(|(_, known)| recent(known)).map(|(session, _)| session).collect();
        for known in self.sessions.values_mut() {
            known.has_ending = known.ending.is_some();
        }
        for session in lost {
            if let Some(known) = self.sessions.get_mut(session) {
                known.owed.get_or_insert(now);
                self.sessions.set(session, now);
            }
        }
    }

    /// Sessions known.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.sessions.len() == 0
    }

    /// Decides about one session: touch it, look again later, or forget it.
    fn look(&mut self, session: SessionId, now: Tick) -> Option<Touch> {
        let Rhythm { quiet, busy, remember, .. } = self.rhythm;
        let known = self.sessions.get_mut(session)?;
        if known.held > 0 {
            known.used = known.used.max(now);
            known.owed.get_or_insert(now);
        }
        let forget = known.used.after(remember);
        let Some(owed) = known.owed else {
            if now >= forget {
                self.sessions.remove(session);
            } else {
                self.sessions.set(session, forget);
            }
            return None;
        };
        // Owed because it failed or may be lost: the use has been quiet for long, so it goes at once.
        let due = known.used.after(quiet).min(known.touched.unwrap_or(owed).after(busy));
        if now < due && !known.urgent {
            self.sessions.set(session, due);
            return None;
        }
        self.touch(session, now)
    }

    /// What is owed for a session, as given out now.
    fn touch(&mut self, session: SessionId, now: Tick) -> Option<Touch> {
        let Rhythm { ttl, busy, remember, .. } = self.rhythm;
        let known = self.sessions.get_mut(session)?;
        let (used, ending) = (known.used, known.ending.take());
        known.touched = Some(now);
        known.urgent = false;
        // Looked at once more, to be forgotten: not before it is known whether the touch has arrived.
        let (owed, next) = match known.held {
            0 => (None, used.after(remember).max(now.after(REPEAT))),
            _ => (Some(now), now.after(busy)),
        };
        known.owed = owed;
        let end = used.after(ttl).min(known.end);
        self.sessions.set(session, next);
        Some(Touch {
            session,
            idle: now.since(used),
            due: end.since(now),
            ending: ending.map(|ending| *ending),
        })
    }

    /// Forgets a session that owes nothing, if there is one among the next few.
    fn make_room(&mut self) -> bool {
        let count = self.sessions.len();
        for _ in 0..EVICTION_LOOKS.min(count) {
            self.hand = (self.hand + 1) % count;
            if let Some((session, known)) = self.sessions.nth(self.hand)
                && known.owed.is_none()
            {
                self.sessions.remove(session);
                return true;
            }
        }
        false
    }
}
