//! Close codes and the body of a close frame (RFC 6455 sections 5.5.1 and 7.4).

use crate::{CONTROL_BYTES_MAX, Fault};
use bytes::Bytes;

/// Longest reason: a control frame without the two bytes of the code.
pub const REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// A close code that may stand in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The endpoint goes away.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of data that is not taken here.
    pub const UNSUPPORTED: Self = Self(1003);
    /// Data that does not fit its kind: text that is not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// Against a policy.
    pub const POLICY: Self = Self(1008);
    /// Too big to be processed.
    pub const TOO_BIG: Self = Self(1009);
    /// The server met what it did not expect.
    pub const INTERNAL: Self = Self(1011);
    /// The service restarts: come back (registry of RFC 6455).
    pub const SERVICE_RESTART: Self = Self(1012);
    /// Overload: come back later (registry of RFC 6455).
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// A gateway got a bad answer (registry of RFC 6455).
    pub const BAD_GATEWAY: Self = Self(1014);

    /// The code, if it may stand in a frame: section 7.4.1 with its registry, and the ranges of section 7.4.2. 1005, 1006 and 1015
    /// only name what happened; 1004 and 1016 to 2999 have no meaning yet.
    pub fn new(code: u16) -> Option<Self> {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999).then_some(Self(code))
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

/// What a close frame says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Close {
    code: Option<CloseCode>,
    reason: Box<str>,
}

impl Close {
    /// A code with a reason, which is cut to [`REASON_BYTES_MAX`] bytes between two characters.
    pub fn new(code: CloseCode, reason: &str) -> Self {
        let mut end = reason.len().min(REASON_BYTES_MAX);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        Self { code: Some(code), reason: reason[..end].into() }
    }

    /// No code: 1005 of section 7.1.5.
    pub fn without_code() -> Self {
        Self::default()
    }

    /// The code, if there is one.
    pub fn code(&self) -> Option<CloseCode> {
        self.code
    }

    /// The reason; empty if there is none.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The answer to this: the same code (section 5.5.1).
    #[must_use]
    pub fn echo(&self) -> Self {
        Self { code: self.code, reason: Box::default() }
    }

    /// Reads the body of a close frame.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Fault> {
        let (code, reason) = match body {
            [] => return Ok(Self::default()),
            // Section 5.5.1: a body begins with a code.
            [_] => return Err(Fault::CloseTooShort),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        let code = CloseCode::new(code).ok_or(Fault::CloseCode)?;
        let reason = str::from_utf8(reason).map_err(|_| Fault::CloseReason)?;
        Ok(Self { code: Some(code), reason: reason.into() })
    }

    /// The body of the frame: at most 125 bytes.
    pub(crate) fn body(&self) -> Bytes {
        let code = self.code.map(|code| code.get().to_be_bytes());
        let mut body = Vec::with_capacity(2 + self.reason.len());
        body.extend(code.into_iter().flatten());
        // Without a code there is no reason: `new` is the only way to one.
        body.extend_from_slice(self.reason.as_bytes());
        body.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_mean_something_in_a_frame_pass() {
        let allowed = |code: u16| CloseCode::new(code).is_some();
        for code in (1000..=1003).chain(1007..=1014).chain(3000..=4999) {
            assert!(allowed(code), "{code}");
        }
        for code in (0..1000).chain(1004..=1006).chain(1015..3000).chain(5000..=u16::MAX) {
            assert!(!allowed(code), "{code}");
        }
    }

    #[test]
    fn a_body_is_empty_or_a_code_with_a_reason_in_utf8() {
        assert_eq!(Close::parse(b""), Ok(Close::without_code()));
        assert_eq!(Close::parse(b"\x03"), Err(Fault::CloseTooShort));
        assert_eq!(Close::parse(b"\x03\xe8"), Ok(Close::new(CloseCode::NORMAL, "")));
        assert_eq!(Close::parse(b"\x03\xf4bye"), Ok(Close::new(CloseCode::SERVICE_RESTART, "bye")));
        assert_eq!(Close::parse(b"\x03\xed"), Err(Fault::CloseCode));
        assert_eq!(Close::parse(b"\x03\xe8\xff"), Err(Fault::CloseReason));
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let close = Close::new(CloseCode::NORMAL, &format!("{}ä", "x".repeat(REASON_BYTES_MAX - 1)));
        assert_eq!(close.reason(), "x".repeat(REASON_BYTES_MAX - 1));
        assert_eq!(Close::parse(&close.body()), Ok(close));
    }
}
