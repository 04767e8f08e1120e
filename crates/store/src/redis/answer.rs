//! What a server said, judged: a value, a detour, or a failure. Pure.

use super::address::Address;
use crate::{StoreError, StoreErrorKind};
use holdfast_telemetry::StoreDetour;
use redis::{ErrorKind, RedisError, ServerError, Value};

/// One command's answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// Done.
    Value(Value),
    /// The slot lives there now. An empty host is that of the server that says so.
    Moved(Option<Address>),
    /// Ask there once.
    Ask(Option<Address>),
    /// The script must be sent in full.
    NoScript,
    /// Nothing was done; it may go a moment later.
    Later(Later),
    /// Nothing can be done about it here.
    Failed(StoreError),
}

/// Why a server does not do it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Later {
    /// The slot is on its way elsewhere, with some of the keys.
    TryAgain,
    /// Nobody serves the slot now.
    ClusterDown,
    /// The server is reading its data.
    Loading,
    /// It is a replica: a failover is on its way, or we are behind one.
    ReadOnly,
}

impl Later {
    /// What the operation ends with if it does not get better in time.
    pub(crate) fn error(self) -> StoreError {
        match self {
            Self::TryAgain => {
                StoreError::new(StoreErrorKind::Timeout, "the slot is on its way to another server")
            }
            Self::ClusterDown => {
                StoreError::new(StoreErrorKind::Connection, "the cluster does not serve the slot")
            }
            Self::Loading => StoreError::new(StoreErrorKind::Connection, "the server is loading its data"),
            Self::ReadOnly => StoreError::new(StoreErrorKind::ReadOnly, "the server is a replica"),
        }
    }

    /// Whether the server is to blame: it serves nobody, so the breaker should know.
    pub(crate) fn is_failure(self) -> bool {
        !matches!(self, Self::TryAgain)
    }

    pub(crate) fn detour(self) -> StoreDetour {
        match self {
            Self::TryAgain => StoreDetour::TryAgain,
            Self::ClusterDown => StoreDetour::ClusterDown,
            Self::Loading => StoreDetour::Loading,
            Self::ReadOnly => StoreDetour::ReadOnly,
        }
    }
}

impl Answer {
    /// Judges a value from the wire.
    pub(crate) fn of(value: Value) -> Self {
        match value {
            Value::ServerError(error) => Self::of_error(&error),
            value => Self::Value(value),
        }
    }

    fn of_error(error: &ServerError) -> Self {
        let details = error.details().unwrap_or_default();
        // `MOVED 3999 host:port`, `ASK 3999 host:port`.
        let redirect = || {
            let place = details.split(' ').nth(1).unwrap_or_default();
            Address::parse(place).or_else(|| {
                let port = place.strip_prefix(':')?.parse().ok()?;
                Some(Address::new("", port))
            })
        };
        let failed = |kind, detail| Self::Failed(StoreError::new(kind, detail));
        match error.code() {
            "MOVED" => Self::Moved(redirect()),
            "ASK" => Self::Ask(redirect()),
            "NOSCRIPT" => Self::NoScript,
            "TRYAGAIN" => Self::Later(Later::TryAgain),
            "CLUSTERDOWN" | "MASTERDOWN" => Self::Later(Later::ClusterDown),
            "LOADING" => Self::Later(Later::Loading),
            "READONLY" => Self::Later(Later::ReadOnly),
            "NOREPLICAS" => failed(StoreErrorKind::ReadOnly, "the master has too few replicas to write"),
            "OOM" => failed(StoreErrorKind::Full, "the server's memory is full"),
            "MISCONF" => failed(StoreErrorKind::ReadOnly, "the server cannot save and refuses to write"),
            "NOAUTH" | "WRONGPASS" => failed(StoreErrorKind::Denied, "the server refuses the login"),
            "NOPERM" => failed(StoreErrorKind::Denied, "an access rule of the server forbids it"),
            // A script's own error carries the code of what failed inside it, or comes in plain text.
            _ if details.contains("OOM command not allowed") => {
                failed(StoreErrorKind::Full, "the server's memory is full")
            }
            _ if details.contains("-READONLY") => Self::Later(Later::ReadOnly),
            _ if is_denied_in_script(details) => {
                failed(StoreErrorKind::Denied, "an access rule of the server forbids it")
            }
            _ => failed(StoreErrorKind::Protocol, "the server refused the command"),
        }
    }
}

/// The words of Redis 6 and 7, which give no code for it.
fn is_denied_in_script(details: &str) -> bool {
    ["NOPERM", "ACL failure in script", "The user executing the script can't"]
        .iter()
        .any(|words| details.contains(words))
}

/// What a broken connection, or a failed set-up of one, amounts to. Its text never goes on.
pub(crate) fn connection_error(error: &RedisError) -> StoreError {
    match error.kind() {
        ErrorKind::AuthenticationFailed => {
            StoreError::new(StoreErrorKind::Denied, "the server refuses the login")
        }
        ErrorKind::Parse => {
            StoreError::new(StoreErrorKind::Protocol, "the server's answer is not of the protocol")
        }
        ErrorKind::Server(_) => {
            let code = error.code().unwrap_or_default().to_owned();
            match code.as_str() {
                "NOAUTH" | "WRONGPASS" | "NOPERM" => {
                    StoreError::new(StoreErrorKind::Denied, "the server refuses the login")
                }
                "LOADING" => Later::Loading.error(),
                _ => StoreError::new(StoreErrorKind::Protocol, "the server refused to set up the connection"),
            }
        }
        ErrorKind::Extension => match error.code() {
            Some("NOAUTH" | "WRONGPASS") => {
                StoreError::new(StoreErrorKind::Denied, "the server refuses the login")
            }
            _ => StoreError::new(StoreErrorKind::Protocol, "the server refused to set up the connection"),
        },
        _ => StoreError::new(StoreErrorKind::Connection, "the connection broke"),
    }
}

/// The first word of `ROLE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Master,
    Replica,
    /// An access rule forbids to ask.
    Unknown,
}

impl Role {
    pub(crate) fn of(value: &Value) -> Self {
        let Value::Array(items) = value else { return Self::Unknown };
        match items.first().and_then(text) {
            Some("master") => Self::Master,
            Some("slave" | "replica") => Self::Replica,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Replica => "replica",
            Self::Unknown => "unknown",
        }
    }
}

/// A value as text.
pub(crate) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}
