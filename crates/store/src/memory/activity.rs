//! Last use and end of sessions, in memory.

use super::{Memory, ready};
use crate::StoreError;
use crate::activity::{Agenda, Clock, Tick};
use crate::seam::{Activity, Answer, Due, ENTRY_BYTES_MAX, LastUsed, SessionId, Touch, limits};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// What is known of each session.
pub(crate) struct Uses {
    max: usize,
    ttl: Duration,
    /// Since when no session was left out.
    complete_since: Instant,
    clock: Clock,
    /// Each with its end.
    sessions: Agenda<Use>,
}

struct Use {
    used: Tick,
    /// Exactly as long as it is: a session keeps it for all its life.
    ending: Option<Box<[u8]>>,
}

impl Uses {
    pub(crate) fn new(max: usize, ttl: Duration, now: Instant) -> Self {
        Self { max, ttl, complete_since: now, clock: Clock::new(now), sessions: Agenda::default() }
    }

    pub(crate) fn touch(&mut self, touch: &Touch, at: Instant) {
        let now = self.clock.tick(at);
        let (used, due) = (now.before(touch.idle), now.after(touch.due));
        let ending = touch.ending.as_deref().map(Box::from);
        if let Some(known) = self.sessions.get_mut(touch.session) {
            known.ending = ending.or(known.ending.take());
            if used >= known.used {
                known.used = used;
                self.sessions.set(touch.session, due);
            }
            return;
        }
        if self.sessions.len() >= self.max || self.sessions.is_full() {
            // Absence says nothing any more.
            self.complete_since = at;
            return;
        }
        self.sessions.insert(touch.session, due, Use { used, ending });
    }

    fn last_used(&self, session: SessionId, now: Instant) -> LastUsed {
        match self.sessions.get(session) {
            Some(known) => LastUsed::Ago(self.clock.tick(now).since(known.used)),
            None if now.saturating_duration_since(self.complete_since) < self.ttl => LastUsed::Unknown,
            None => LastUsed::Idle,
        }
    }

    pub(crate) fn due(&mut self, limit: usize, now: Instant) -> Vec<Due> {
        let now = self.clock.tick(now);
        let mut ended = Vec::new();
        while ended.len() < limit
            && let Some((due, session)) = self.sessions.first()
            && due <= now
        {
            ended.push(Due { session, ending: self.end(session) });
        }
        ended
    }

    fn end(&mut self, session: SessionId) -> Option<Bytes> {
        self.sessions.remove(session)?.ending.map(Bytes::from)
    }
}

/// Refuses what cannot be stored.
pub(crate) fn check(touches: &[Touch]) -> Result<(), StoreError> {
    let length = |touch: &Touch| touch.ending.as_ref().map_or(0, Bytes::len);
    limits::fits(touches.iter().map(length).max().unwrap_or(0), ENTRY_BYTES_MAX)
}

impl Activity for Memory {
    fn touch<'a>(&'a self, touches: &'a [Touch], _: Instant) -> Answer<'a, ()> {
        ready(check(touches).map(|()| {
            let mut uses = self.uses.lock();
            for touch in touches {
                uses.touch(touch, self.now());
            }
        }))
    }

    fn last_used(&self, session: SessionId, _: Instant) -> Answer<'_, LastUsed> {
        ready(Ok(self.uses.lock().last_used(session, self.now())))
    }

    fn due(&self, limit: usize, _: Instant) -> Answer<'_, Vec<Due>> {
        ready(Ok(self.uses.lock().due(limit, self.now())))
    }

    fn end(&self, session: SessionId, _: Instant) -> Answer<'_, ()> {
        self.uses.lock().end(session);
        ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_mins(1);

    fn touch(session: u8, idle: u64, due: u64) -> Touch {
        let (idle, due) = (Duration::from_secs(idle), Duration::from_secs(due));
        Touch { session: SessionId([session; 16]), idle, due, ending: None }
    }

    #[test]
    fn absence_is_evidence_only_after_a_whole_ttl_without_loss() {
        let start = Instant::now();
        let mut uses = Uses::new(1, TTL, start);
        let absent = SessionId([9; 16]);
        assert_eq!(uses.last_used(absent, start + TTL / 2), LastUsed::Unknown);
        assert_eq!(uses.last_used(absent, start + TTL), LastUsed::Idle);
        uses.touch(&touch(1, 0, 60), start + TTL);
        uses.touch(&touch(2, 0, 60), start + TTL);
        assert_eq!(
            uses.last_used(SessionId([2; 16]), start + TTL),
            LastUsed::Unknown,
            "there was no room for it"
        );
        assert_eq!(uses.last_used(SessionId([2; 16]), start + 2 * TTL), LastUsed::Idle);
    }

    #[test]
    fn a_late_report_of_an_earlier_use_shortens_nothing() {
        let start = Instant::now();
        let mut uses = Uses::new(8, TTL, start);
        let now = start + Duration::from_secs(100);
        uses.touch(&touch(1, 0, 60), now);
        uses.touch(&touch(1, 50, 10), now);
        assert!(uses.due(9, now + Duration::from_secs(59)).is_empty());
        assert_eq!(uses.due(9, now + TTL).len(), 1);
        assert!(uses.due(9, now + TTL).is_empty(), "once");
    }
}
