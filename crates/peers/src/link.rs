//! One address of another replica: when to dial it, when to ping it, when it is dead. No I/O, no clock.
//!
//! The table in `docs/decisions/0011-peers.md` is this file's `match`.

use crate::{ReplicaId, backoff};
use fastrand::Rng;
use std::time::{Duration, Instant};

/// An address that turned out to be this process is looked at again after this: it may have moved.
pub(crate) const OWN_AGAIN: Duration = Duration::from_mins(1);

/// Times of a link, from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// A dial, until both sides know each other.
    pub(crate) dial: Duration,
    pub(crate) ping: Duration,
    pub(crate) misses_max: u32,
    pub(crate) longest_pause: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Waiting {
        until: Instant,
    },
    Dialling {
        deadline: Instant,
    },
    /// `answered`: a pong came after the last ping.
    Living {
        replica: ReplicaId,
        since: Instant,
        ping_at: Instant,
        answered: bool,
        misses: u32,
    },
    Own {
        until: Instant,
    },
    /// The end: nobody names it, nothing holds it.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Time has passed.
    Tick,
    /// The dial found a replica.
    Greeted(ReplicaId),
    /// The dial failed.
    Failed,
    Ponged,
    /// The connection is lost.
    Lost,
    /// The connection's credential is no longer accepted.
    Withdrawn,
    /// Discovery names the address, or no longer does.
    Named(bool),
}

/// Why a link to a living replica ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    Lost,
    Silent,
    Withdrawn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    None,
    /// Begin a dial.
    Dial,
    /// The dial's connection is in use from now on.
    Announce,
    Ping,
    /// Drop the dial or its connection; nobody knew of it.
    Abandon,
    /// Drop the connection: the replica is dead as far as this link knows.
    Dead(Death),
}

#[derive(Clone, Debug)]
pub(crate) struct Link {
    me: ReplicaId,
    state: State,
    named: bool,
    /// Dials in a row that ended badly, or too soon after.
    tries: u32,
}

impl Link {
    /// Of an address that was just named. The first dial is at once.
    pub(crate) fn new(me: ReplicaId, now: Instant) -> Self {
        Self { me, state: State::Waiting { until: now }, named: true, tries: 0 }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// When to send the next [`Event::Tick`].
    pub(crate) fn wake(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } | State::Own { until } => Some(until),
            State::Dialling { deadline } => Some(deadline),
            State::Living { ping_at, .. } => Some(ping_at),
            State::Gone => None,
        }
    }

    pub(crate) fn on(&mut self, event: Event, now: Instant, policy: &Policy, rng: &mut Rng) -> Action {
        if let Event::Named(named) = event {
            self.named = named;
        }
        match (self.state, event) {
            (State::Waiting { .. } | State::Own { .. }, Event::Named(false)) => {
                self.state = State::Gone;
                Action::None
            }
            (State::Dialling { .. }, Event::Named(false)) => {
                self.state = State::Gone;
                Action::Abandon
            }
            (State::Waiting { until } | State::Own { until }, Event::Tick) if until <= now => {
                self.state = State::Dialling { deadline: now + policy.dial };
                Action::Dial
            }
            (State::Dialling { .. }, Event::Greeted(replica)) if replica == self.me => {
                self.state = State::Own { until: now + OWN_AGAIN };
                self.tries = 0;
                Action::Abandon
            }
            (State::Dialling { .. }, Event::Greeted(replica)) => {
                let ping_at = now + policy.ping;
                self.state = State::Living { replica, since: now, ping_at, answered: true, misses: 0 };
                Action::Announce
            }
            (State::Dialling { .. }, Event::Failed) => self.wait(now, policy, rng),
            (State::Dialling { deadline }, Event::Tick) if deadline <= now => self.wait(now, policy, rng),
            (State::Living { replica, since, .. }, Event::Ponged) => {
                let ping_at = self.wake().unwrap_or(now);
                self.state = State::Living { replica, since, ping_at, answered: true, misses: 0 };
                Action::None
            }
            (State::Living { ping_at, .. }, Event::Tick) if ping_at <= now => self.ping(now, policy, rng),
            (State::Living { .. }, Event::Lost) => self.die(Death::Lost, now, policy, rng),
            (State::Living { .. }, Event::Withdrawn) => self.die(Death::Withdrawn, now, policy, rng),
            // Gone is the end. Else: a late word of a connection that is gone, or a tick that came early.
            _ => Action::None,
        }
    }

    fn ping(&mut self, now: Instant, policy: &Policy, rng: &mut Rng) -> Action {
        let State::Living { replica, since, answered, misses, .. } = self.state else { return Action::None };
        let misses = if answered { 0 } else { misses + 1 };
        if misses >= policy.misses_max {
            return self.die(Death::Silent, now, policy, rng);
        }
        // From now, not from when it was due: after a pause of this very process it must not count its own sleep as misses.
        self.state = State::Living { replica, since, ping_at: now + policy.ping, answered: false, misses };
        Action::Ping
    }

    fn die(&mut self, death: Death, now: Instant, policy: &Policy, rng: &mut Rng) -> Action {
        if let State::Living { since, .. } = self.state
            && now.saturating_duration_since(since) > policy.longest_pause
        {
            self.tries = 0;
        }
        self.wait(now, policy, rng);
        Action::Dead(death)
    }

    fn wait(&mut self, now: Instant, policy: &Policy, rng: &mut Rng) -> Action {
        self.state = if self.named {
            State::Waiting { until: now + backoff::pause(self.tries, policy.longest_pause, rng) }
        } else {
            State::Gone
        };
        self.tries = self.tries.saturating_add(1);
        Action::Abandon
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
