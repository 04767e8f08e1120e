//! What a store answers when it cannot do what was asked.

use std::fmt;

/// Why an operation on the store gave no result. Every caller has a degraded answer for each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// The breaker refused it: nothing was sent.
    Refused,
    /// The operation's deadline passed.
    Timeout,
    /// No connection, or it was lost.
    Connection,
    /// Wrong password, or an access rule of the server forbids it.
    Denied,
    /// The server is a replica, or has too few of them: a failover is on its way.
    ReadOnly,
    /// The server's memory is full and it evicts nothing.
    Full,
    /// A value's seal did not open, or its form is unknown.
    Corrupt,
    /// The server said what this version does not understand.
    Protocol,
    /// A value or a number is above its limit: nothing was sent.
    TooLarge,
}

impl StoreErrorKind {
    /// Every kind, in the order of the metric's label.
    pub const ALL: [Self; 9] = [
        Self::Refused,
        Self::Timeout,
        Self::Connection,
        Self::Denied,
        Self::ReadOnly,
        Self::Full,
        Self::Corrupt,
        Self::Protocol,
        Self::TooLarge,
    ];

    /// The word for it in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Denied => "denied",
            Self::ReadOnly => "read_only",
            Self::Full => "full",
            Self::Corrupt => "corrupt",
            Self::Protocol => "protocol",
            Self::TooLarge => "too_large",
        }
    }
}

/// An operation on the store failed. Its text holds no key, no value and no secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StoreError {
    kind: StoreErrorKind,
    detail: &'static str,
    maybe_done: bool,
}

impl StoreError {
    /// A failure of which the server did nothing. `detail` is fixed text: what came from the server never goes in.
    pub(crate) const fn new(kind: StoreErrorKind, detail: &'static str) -> Self {
        Self { kind, detail, maybe_done: false }
    }

    /// The same failure, of something that the server may have done all the same.
    pub(crate) const fn maybe_done(mut self) -> Self {
        self.maybe_done = true;
        self
    }

    /// What happened, in fixed words.
    pub(crate) fn detail(&self) -> &'static str {
        self.detail
    }

    /// Why it failed.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the server may have done what was asked: the command was sent, its answer did not come.
    pub fn is_maybe_done(&self) -> bool {
        self.maybe_done
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store: {}: {}", self.kind.name(), self.detail)
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for StoreError {}

/// The store cannot be set up from this configuration, whatever the servers do.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A certificate or key file cannot be used.
    #[error("redis.tls.{key}: {file}: {why}")]
    Tls {
        /// The key below `redis.tls`.
        key: &'static str,
        /// The file it names.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The address or its options make no sense.
    #[error("redis: {0}")]
    Address(String),
}
