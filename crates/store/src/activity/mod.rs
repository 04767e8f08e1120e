//! Which sessions to touch in the store, and when. Pure: the driver brings the time, asks for batches and says whether they arrived.
//!
//! | a session | is touched |
//! |---|---|
//! | was used, and then not for `quiet` | then |
//! | is used all the time | every `busy` |
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
    /// Its absolute end.
    end: Instant,
    /// When it was last given out, and the use that was reported.
    touched: Option<(Instant, Instant)>,
    /// Since when a touch is owed.
    owed: Option<Instant>,
    /// Until it has arrived in the store.
    ending: Option<Bytes>,
    has_ending: bool,
    look: Instant,
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
        let ending = ending();
        let known = Known { used: now, end, touched: None, owed: Some(now), ending, has_ending: true, look };
        self.sessions.insert(session, known);
        self.looks.insert((look, session));
        true
    }

    /// Whether the session was used here so lately that it cannot be idle.
    pub fn knows(&self, session: SessionId, now: Instant) -> bool {
        self.sessions
            .get(&session)
            .is_some_and(|known| now.saturating_duration_since(known.used) < self.rhythm.ttl)
    }

    /// The session ended: nothing is owed any more.
    pub fn ended(&mut self, session: SessionId) {
        if let Some(known) = self.sessions.remove(&session) {
            self.looks.remove(&(known.look, session));
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
        let Rhythm { ttl, quiet, busy, remember } = self.rhythm;
        let known = self.sessions.get_mut(&session)?;
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
        if now < due {
            self.look_at(session, due);
            return None;
        }
        let (used, ending) = (known.used, known.ending.take());
        (known.touched, known.owed) = (Some((now, used)), None);
        let end = (used + ttl).min(known.end);
        // Looked at once more, to be forgotten: not before it is known whether the touch has arrived.
        self.look_at(session, forget.max(now + REPEAT));
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
