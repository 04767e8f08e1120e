//! Which protocol version a message speaks.
//!
//! Decided for each message, never for a connection: dual-era clients mix both on one endpoint. The rule:
//! 1. `params._meta["io.modelcontextprotocol/protocolVersion"]`, or a header that names a modern version: modern,
//!    stateless; a session header is ignored.
//! 2. `initialize`: legacy, opens a session.
//! 3. otherwise the version of the session; without a session the header's, else 2025-03-26, and a session is needed.

use crate::frame::{Frame, Kind, Member};
use holdfast_telemetry::metrics::OperationVersion;

/// A protocol version that Holdfast speaks. The order is that of release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Version {
    /// HTTP+SSE and stdio
    V2024_11_05 = 1,
    /// Streamable HTTP, sessions, batches
    V2025_03_26 = 2,
    /// No batches, `MCP-Protocol-Version`
    V2025_06_18 = 3,
    /// Priming events, polling
    V2025_11_25 = 4,
    /// Stateless
    V2026_07_28 = 5,
}

impl Version {
    /// All, oldest first.
    pub const ALL: [Self; 5] =
        [Self::V2024_11_05, Self::V2025_03_26, Self::V2025_06_18, Self::V2025_11_25, Self::V2026_07_28];
    /// Those that begin with `initialize`, newest first, as lists of supported versions show them.
    pub const LEGACY: [Self; 4] =
        [Self::V2025_11_25, Self::V2025_06_18, Self::V2025_03_26, Self::V2024_11_05];
    /// Those without a handshake.
    pub const MODERN: [Self; 1] = [Self::V2026_07_28];
    /// The newest version with a handshake: the answer to an `initialize` with an unknown one.
    pub const NEWEST_LEGACY: Self = Self::V2025_11_25;
    /// What a request without a version header means (2025-06-18, "Protocol Version Header").
    pub const ASSUMED: Self = Self::V2025_03_26;

    /// From its date. Exact: versions are compared, never ordered as text.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "2024-11-05" => Some(Self::V2024_11_05),
            "2025-03-26" => Some(Self::V2025_03_26),
            "2025-06-18" => Some(Self::V2025_06_18),
            "2025-11-25" => Some(Self::V2025_11_25),
            "2026-07-28" => Some(Self::V2026_07_28),
            _ => None,
        }
    }

    /// From its number in a token.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|version| *version as u8 == number)
    }

    /// Its date.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// As a label of metrics.
    pub(crate) fn label(self) -> OperationVersion {
        match self {
            Self::V2024_11_05 => OperationVersion::V2024_11_05,
            Self::V2025_03_26 => OperationVersion::V2025_03_26,
            Self::V2025_06_18 => OperationVersion::V2025_06_18,
            Self::V2025_11_25 => OperationVersion::V2025_11_25,
            Self::V2026_07_28 => OperationVersion::V2026_07_28,
        }
    }

    /// No handshake, no session.
    pub fn is_modern(self) -> bool {
        self >= Self::V2026_07_28
    }

    /// JSON-RPC arrays must be taken (2025-03-26 only).
    pub fn has_batches(self) -> bool {
        self == Self::V2025_03_26
    }

    /// `MCP-Protocol-Version` is sent with every request after the handshake.
    pub fn has_version_header(self) -> bool {
        self >= Self::V2025_06_18
    }

    /// Streams begin with a priming event (2025-11-25, "Sending Messages to the Server").
    pub fn has_priming_events(self) -> bool {
        self == Self::V2025_11_25
    }

    /// What to answer an `initialize` that asks for `text`: that version when it has a handshake, else the newest that
    /// has. Never an error ("Version Negotiation").
    pub fn negotiate(text: &str) -> Self {
        Self::parse(text).filter(|version| !version.is_modern()).unwrap_or(Self::NEWEST_LEGACY)
    }
}

/// How a message is to be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// Stateless. The rules of [`crate::headers`] decide whether it is well formed.
    Modern,
    /// `initialize`
    Initialize,
    /// Part of a session of this version.
    Legacy(Version),
    /// Legacy, but names no session: answer 400 (`session_missing`).
    Sessionless,
    /// Legacy, and the header names a version that is unknown, or not the session's: answer 400.
    BadVersion,
}

/// Classifies one message.
///
/// `header` is the value of `MCP-Protocol-Version` (None on transports without headers), `session` the version
/// negotiated for the session or connection the message came in.
pub fn classify(frame: &Frame, header: Option<&str>, session: Option<Version>) -> Era {
    if frame.has(Member::MetaProtocolVersion) {
        return Era::Modern;
    }
    let named = header.map(Version::parse);
    if matches!(named, Some(Some(version)) if version.is_modern()) {
        return Era::Modern;
    }
    if frame.kind() == Kind::Request && frame.is("initialize") {
        // The header is ignored here: the version is negotiated in the body.
        return Era::Initialize;
    }
    match (named, session) {
        (Some(None), _) => Era::BadVersion,
        (_, None) => Era::Sessionless,
        // Before 2025-06-18 the header did not exist: what such a client sends there has no meaning.
        (Some(Some(version)), Some(session)) if session.has_version_header() && version != session => {
            Era::BadVersion
        }
        (_, Some(session)) => Era::Legacy(session),
    }
}

#[cfg(test)]
mod tests {
    use super::{Era, Version, classify};
    use crate::frame::{Frame, Limits};
    use bytes::Bytes;

    const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
    const MODERN: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"_meta":
        {"io.modelcontextprotocol/protocolVersion":"v9"}}}"#;

    fn era(text: &str, header: Option<&str>, session: Option<Version>) -> Era {
        classify(
            &Frame::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap(),
            header,
            session,
        )
    }

    #[test]
    fn the_body_or_a_modern_header_makes_a_message_modern() {
        let session = Some(Version::V2025_11_25);
        assert_eq!(era(MODERN, None, session), Era::Modern, "even `initialize`, even an unknown version");
        assert_eq!(era(LIST, Some("2026-07-28"), session), Era::Modern);
    }

    #[test]
    fn initialize_opens_a_session_whatever_the_header_says() {
        assert_eq!(era(INITIALIZE, None, None), Era::Initialize);
        assert_eq!(era(INITIALIZE, Some("nonsense"), None), Era::Initialize);
    }

    #[test]
    fn the_session_decides_and_a_header_must_agree_where_it_exists() {
        for session in Version::LEGACY {
            assert_eq!(era(LIST, None, Some(session)), Era::Legacy(session));
            assert_eq!(era(LIST, Some(session.as_str()), Some(session)), Era::Legacy(session));
            assert_eq!(era(LIST, Some("1999-01-01"), Some(session)), Era::BadVersion);
        }
        assert_eq!(era(LIST, Some("2025-06-18"), Some(Version::V2025_11_25)), Era::BadVersion);
        let old = Version::V2025_03_26;
        assert_eq!(era(LIST, Some("2025-06-18"), Some(old)), Era::Legacy(old));
    }

    #[test]
    fn without_a_session_one_is_needed() {
        assert_eq!(era(LIST, None, None), Era::Sessionless);
        assert_eq!(era(LIST, Some("2025-11-25"), None), Era::Sessionless);
        assert_eq!(era(LIST, Some(""), None), Era::BadVersion);
    }

    #[test]
    fn an_unknown_version_is_answered_with_the_newest_handshake() {
        for asked in ["2024-10-07", "2026-07-28", "", "DRAFT", "2025-11-25 "] {
            assert_eq!(Version::negotiate(asked), Version::V2025_11_25, "{asked}");
        }
        for version in Version::LEGACY {
            assert_eq!(Version::negotiate(version.as_str()), version);
        }
    }

    #[test]
    fn numbers_and_dates_round_trip() {
        for version in Version::ALL {
            assert_eq!(Version::parse(version.as_str()), Some(version));
            assert_eq!(Version::from_number(version as u8), Some(version));
        }
        assert_eq!(Version::from_number(0), None);
    }
}
