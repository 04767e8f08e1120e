//! Which sessions to touch in the store, and when. Pure: the driver brings the time, asks for batches and says whether they arrived.
//!
//! | a session | is touched |
//! |---|---|
//! | was used, and then not for `quiet` | then |
//! | is used all the time, or by something that lasts | every `busy` |
//! | was touched, and the store may have lost it | again |
//! | was not used for `remember` | no more: it is forgotten, so an idle session costs nothing |

#[cfg(test)]
mod tests;

use crate::seam::{SessionId, Touch};
use bytes::Bytes;
use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

/// Parts of the ttl after which a busy session is touched again: as exact as the expiry is if this replica dies.
const BUSY_PARTS: u32 = 16;
/// A touch younger than this may be lost by a failover.
const REPEAT: Duration = Duration::from_secs(15);
/// Pause after a batch that failed.
const RETRY: Duration = Duration::from_secs(1);
/// Entries looked at when room is needed.
const EVICTION_LOOKS: usize = 64;
/// Room for so many sessions is never given back.
const ROOM_MIN: usize = 1024;
/// Room is given back when only this part of it is in use.
const ROOM_PARTS: usize = 4;

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
}

/// Sessions used lately on this replica.
pub struct Table {
    rhythm: Rhythm,
    max: usize,
    sessions: HashMap<SessionId, Known>,
    /// When to look at each session next.
    looks: BTreeSet<(Instant, SessionId)>,
}

struct Known {
    used: Instant,
    /// Uses that have begun and not finished: an open stream.
    held: u32,
    /// Its absolute end.
    end: Instant,
    /// When it was last given out, and the use that was reported.
    touched: Option<(Instant, Instant)>,
    /// Since when a touch is owed.
    owed: Option<Instant>,
    /// Until it has arrived in the store.
    ending: Option<Bytes>,
    has_ending: bool,
    /// The store does not have it: what is owed waits for nothing.
    urgent: bool,
    look: Instant,
}

impl Known {
    fn new(used: Instant, end: Instant, ending: Option<Bytes>, look: Instant) -> Self {
        Self {
            used,
            held: 0,
            end,
            touched: None,
            owed: Some(used),
            ending,
            has_ending: true,
            urgent: false,
            look,
        }
    }
}

impl Table {
    /// An empty table of at most `max` sessions.
    pub fn new(rhythm: Rhythm, max: usize) -> Self {
        Self { rhythm, max, sessions: HashMap::new(), looks: BTreeSet::new() }
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
        let quiet = now + self.rhythm.quiet;
        if let Some(known) = self.sessions.get_mut(&session) {
            known.used = known.used.max(now);
            known.end = end;
            if !known.has_ending {
                known.ending = ending();
                known.has_ending = true;
            }
            if known.owed.is_none() {
                known.owed = Some(now);
                self.look_at(session, quiet.min(now + self.rhythm.busy));
            }
            return true;
        }
        if self.sessions.len() >= self.max && !self.make_room() {
            return false;
        }
        let look = quiet.min(now + self.rhythm.busy);
        self.sessions.insert(session, Known::new(now, end, ending(), look));
        self.looks.insert((look, session));
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
        if let Some(known) = self.sessions.get_mut(&session) {
            known.held = known.held.saturating_add(1);
        }
        true
    }

    /// A use that lasted is over now. Of a session that has ended in the meantime nothing is noted.
    pub fn finish(&mut self, session: SessionId, now: Instant) {
        let Some(known) = self.sessions.get_mut(&session) else { return };
        known.held = known.held.saturating_sub(1);
        known.used = known.used.max(now);
        known.owed.get_or_insert(now);
        let look = now + self.rhythm.quiet.min(self.rhythm.busy);
        // A look that comes earlier sees to it; while something else uses the session it is not quiet.
        if known.held == 0 && look < known.look {
            self.look_at(session, look);
        }
    }

    /// Whether the session was used here so lately that it cannot be idle.
    pub fn knows(&self, session: SessionId, now: Instant) -> bool {
        self.sessions.get(&session).is_some_and(|known| {
            known.held > 0 || now.saturating_duration_since(known.used) < self.rhythm.ttl
        })
    }

    /// The store gave the session out as ended, and it was in use here: it is touched again, with its ending. `false` if it is not
    /// in use.
    pub fn keep(&mut self, session: SessionId, ending: Option<&Bytes>, now: Instant) -> bool {
        if !self.knows(session, now) {
            return false;
        }
        if let Some(known) = self.sessions.get_mut(&session) {
            if known.ending.is_none() {
                known.ending = ending.cloned();
            }
            known.owed.get_or_insert(now);
            known.urgent = true;
            self.look_at(session, now);
        }
        true
    }

    /// The session ended: nothing is owed any more.
    pub fn ended(&mut self, session: SessionId) {
        if let Some(known) = self.sessions.remove(&session) {
            self.looks.remove(&(known.look, session));
            self.give_back();
        }
    }

    /// A crowd that has gone leaves no room behind. Rare: the room halves each time.
    fn give_back(&mut self) {
        let (room, used) = (self.sessions.capacity(), self.sessions.len());
        if room > ROOM_MIN && used < room / ROOM_PARTS {
            self.sessions.shrink_to((used * 2).max(ROOM_MIN / 2));
        }
    }

    /// When [`flush`](Self::flush) has something to do next.
    pub fn next(&self) -> Option<Instant> {
        self.looks.first().map(|(at, _)| *at)
    }

    /// What is to be touched now, at most `limit`. What does not arrive is given to [`failed`](Self::failed).
    pub fn flush(&mut self, limit: usize, now: Instant) -> Vec<Touch> {
        let mut touches = Vec::new();
        while touches.len() < limit
            && let Some((at, session)) = self.looks.first().copied()
            && at <= now
        {
            touches.extend(self.look(session, now));
        }
        touches
    }

    /// Everything that is owed, quiet or not, at most `limit`: this replica leaves. What was in use is no more.
    pub fn last(&mut self, limit: usize, now: Instant) -> Vec<Touch> {
        let owing = self.sessions.iter().filter(|(_, known)| known.owed.is_some());
        let owing: Vec<_> = owing.map(|(session, _)| *session).take(limit).collect();
        let touch = |session| {
            if let Some(known) = self.sessions.get_mut(&session)
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
        for touch in touches {
            let Some(known) = self.sessions.get_mut(&touch.session) else { continue };
            if known.ending.is_none() {
                known.ending = touch.ending;
            }
            known.owed.get_or_insert(now);
            self.look_at(touch.session, now + RETRY);
        }
    }

    /// The store may have lost what was touched lately, or everything: a failover, a flush.
    pub fn interrupted(&mut self, now: Instant) {
        let recent =
            |known: &Known| known.touched.is_some_and(|(at, _)| now.saturating_duration_since(at) < REPEAT);
        let lost: Vec<_> =
            self.sessions.iter().filter(|(_, known)| recent(known)).map(|(session, _)| *session).collect();
        for known in self.sessions.values_mut() {
            known.has_ending = known.ending.is_some();
        }
        for session in lost {
            if let Some(known) = self.sessions.get_mut(&session) {
                known.owed.get_or_insert(now);
                self.look_at(session, now);
            }
        }
    }

    /// Sessions known.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Decides about one session: touch it, look again later, or forget it.
    fn look(&mut self, session: SessionId, now: Instant) -> Option<Touch> {
        let Rhythm { quiet, busy, remember, .. } = self.rhythm;
        let known = self.sessions.get_mut(&session)?;
        if known.held > 0 {
            known.used = known.used.max(now);
            known.owed.get_or_insert(now);
        }
        let forget = known.used + remember;
        let Some(owed) = known.owed else {
            if now >= forget {
                self.ended(session);
            } else {
                self.look_at(session, forget);
            }
            return None;
        };
        // Owed because it failed or may be lost: the use has been quiet for long, so it goes at once.
        let due = (known.used + quiet).min(known.touched.map_or(owed, |(at, _)| at) + busy);
        if now < due && !known.urgent {
            self.look_at(session, due);
            return None;
        }
        self.touch(session, now)
    }

    /// What is owed for a session, as given out now.
    fn touch(&mut self, session: SessionId, now: Instant) -> Option<Touch> {
        let Rhythm { ttl, busy, remember, .. } = self.rhythm;
        let known = self.sessions.get_mut(&session)?;
        let (used, ending) = (known.used, known.ending.take());
        known.touched = Some((now, used));
        known.urgent = false;
        // Looked at once more, to be forgotten: not before it is known whether the touch has arrived.
        let (owed, next) = match known.held {
            0 => (None, (used + remember).max(now + REPEAT)),
            _ => (Some(now), now + busy),
        };
        known.owed = owed;
        let end = (used + ttl).min(known.end);
        self.look_at(session, next);
        Some(Touch {
            session,
            idle: now.saturating_duration_since(used),
            due: end.saturating_duration_since(now),
            ending,
        })
    }

    fn look_at(&mut self, session: SessionId, at: Instant) {
        if let Some(known) = self.sessions.get_mut(&session) {
            self.looks.remove(&(known.look, session));
            known.look = at;
            self.looks.insert((at, session));
        }
    }

    /// Forgets a session that owes nothing: one that would be forgotten late, because those are looked at last.
    fn make_room(&mut self) -> bool {
        let settled =
            |session: &SessionId| self.sessions.get(session).is_some_and(|known| known.owed.is_none());
        let candidates = self.looks.iter().rev().take(EVICTION_LOOKS).map(|(_, session)| *session);
        let out = candidates.into_iter().find(settled);
        if let Some(out) = out {
            self.ended(out);
        }
        out.is_some()
    }
}
