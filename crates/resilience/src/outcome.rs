//! What became of an attempt: the one vocabulary of breakers, balancers and retries.

use std::time::Duration;

/// Index of an endpoint in its set, stable for the life of the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u32);

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// No connection. Nothing was sent.
    Connect,
    /// No TLS session. Nothing was sent.
    Tls,
    /// The connection broke, or the stream was refused or reset.
    Reset,
    /// No answer in the time one attempt may take.
    Timeout,
    /// A status that the endpoint is to blame for: 5xx and 408.
    Status(u16),
    /// The endpoint lives and asks for less: 429, or a 503 that names a `Retry-After`.
    Overloaded {
        /// The endpoint's wish.
        retry_after: Option<Duration>,
    },
}

impl FailureKind {
    /// Whether the endpoint answered only to ask for less: it counts against rates and fails a probe, but is no sign
    /// of death and therefore no part of a run of consecutive failures.
    pub fn is_overload(self) -> bool {
        matches!(self, Self::Overloaded { .. } | Self::Status(429))
    }

    /// Whether no connection to the endpoint came about or it broke: what a probe can show to be over.
    pub fn is_unreachable(self) -> bool {
        matches!(self, Self::Connect | Self::Tls | Self::Reset)
    }

    /// The endpoint's `Retry-After`, if it named one.
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Overloaded { retry_after } => retry_after,
            Self::Connect | Self::Tls | Self::Reset | Self::Timeout | Self::Status(_) => None,
        }
    }
}

/// The verdict on an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint did its work.
    Ok,
    /// The endpoint is to blame.
    Failed(FailureKind),
    /// Nobody can tell, or the client is to blame: 4xx (but 408 and 429), client aborts. Judges nothing.
    Neutral,
}
