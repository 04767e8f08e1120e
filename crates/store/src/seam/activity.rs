//! When sessions were last used, and which have come to their end.

use super::{Answer, SessionId};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// A session was used. Spans of time, not times: the store counts them from its own clock, so that replicas whose clocks differ agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The session.
    pub session: SessionId,
    /// How long ago it was last used.
    pub idle: Duration,
    /// How long until its end is due, if it is not used again.
    pub due: Duration,
    /// What whoever ends it needs to know (opaque, at most [`ENTRY_BYTES_MAX`](super::ENTRY_BYTES_MAX)); `None` leaves what is stored.
    pub ending: Option<Bytes>,
}

/// What the store knows of a session's last use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastUsed {
    /// This long ago.
    Ago(Duration),
    /// The store does not know it and lost values less than [`Limits::session_ttl`](super::Limits::session_ttl) ago, or
    /// is that young: it may be alive.
    Unknown,
    /// The store has known all sessions for longer than that, and not this one.
    Idle,
}

/// A session whose end has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The session.
    pub session: SessionId,
    /// What was stored for whoever ends it; none if its seal did not open.
    pub ending: Option<Bytes>,
}

/// Last use and end of sessions.
pub trait Activity: Send + Sync {
    /// Notes uses, in as few round trips as the store allows. Of one session the latest use stays.
    fn touch<'a>(&'a self, touches: &'a [Touch], until: Instant) -> Answer<'a, ()>;

    /// When a session was last used.
    fn last_used(&self, session: SessionId, until: Instant) -> Answer<'_, LastUsed>;

    /// Takes at most `limit` sessions whose end is due. Each is given to one caller only, and forgotten.
    fn due(&self, limit: usize, until: Instant) -> Answer<'_, Vec<Due>>;

    /// Forgets a session that was ended otherwise.
    fn end(&self, session: SessionId, until: Instant) -> Answer<'_, ()>;
}
