//! What an upstream answered.

use crate::{EndpointKey, ReplyBody, UpgradedIo};
use std::{fmt, time::Duration};

/// The response of the last attempt.
pub struct Reply {
    /// Head and body. The body holds the permit and the connection: read it to its end, or drop it.
    pub response: http::Response<ReplyBody>,
    /// Who answered.
    pub endpoint: EndpointKey,
    /// Attempts made, the answered one included.
    pub attempts: u32,
    /// Where the time went.
    pub timings: Timings,
    /// The connection after a 101 to a call that asked for an upgrade.
    pub upgraded: Option<Box<UpgradedIo>>,
    /// The body is an event stream (`Content-Type`).
    pub event_stream: bool,
}

/// Durations of a call. Coarse sums for the access record, not a profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// From the start of `send` to the start of the answered attempt: earlier attempts and pauses.
    pub before: Duration,
    /// Waiting for a connection in the answered attempt: zero when one was reused.
    pub connect: Duration,
    /// From the start of `send` to the response head.
    pub head: Duration,
    /// The answered attempt reused an idle connection.
    pub reused: bool,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.response.status())
            .field("endpoint", &self.endpoint)
            .field("attempts", &self.attempts)
            .field("timings", &self.timings)
            .field("upgraded", &self.upgraded.is_some())
            .finish_non_exhaustive()
    }
}
