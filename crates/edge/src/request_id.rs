//! Request ids: 128 bits, or what a trusted hop chose.

use crate::ConnectionInfo;
use holdfast_telemetry::Inline;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;

/// The header that carries a request id, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is accepted from a trusted hop.
pub const MAX_REQUEST_ID_BYTES: usize = 64;

/// The id of one request: visible ASCII without quotes, at most [`MAX_REQUEST_ID_BYTES`]. Kept inline, so it costs no allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId(Inline<MAX_REQUEST_ID_BYTES>);

impl RequestId {
    /// 128 random bits as 32 hexadecimal digits.
    pub fn generate(rng: &mut fastrand::Rng) -> Self {
        Self(Inline::hex(rng.u128(..)))
    }

    /// An id from outside, if it is sane: 1 to 64 letters, digits or one of `-_.:+/=@`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > MAX_REQUEST_ID_BYTES {
            return None;
        }
        let sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(byte);
        text.iter().all(sane).then(|| Self(Inline::from_ascii(text)))
    }

    /// The id of a request: the incoming `x-request-id` if the hop is trusted and the id is sane, else a new one.
    pub fn of(headers: &HeaderMap, connection: &ConnectionInfo, rng: &mut fastrand::Rng) -> Self {
        if connection.is_trusted_hop()
            && let Some(id) = headers.get(REQUEST_ID).and_then(|value| Self::parse(value.as_bytes()))
        {
            return id;
        }
        Self::generate(rng)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The id as bytes: visible ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The id as a record keeps it.
    pub(crate) fn inline(&self) -> Inline<MAX_REQUEST_ID_BYTES> {
        self.0
    }

    /// The id as a header value.
    pub fn header_value(&self) -> HeaderValue {
        HeaderValue::from_bytes(self.as_bytes()).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({})", self.as_str())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_are_32_hex_digits_and_differ() {
        let mut rng = fastrand::Rng::with_seed(1);
        let (first, second) = (RequestId::generate(&mut rng), RequestId::generate(&mut rng));
        assert_ne!(first, second);
        assert_eq!(first.as_str().len(), 32);
        assert!(first.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(RequestId::parse(first.as_str().as_bytes()), Some(first));
    }

    #[test]
    fn ids_that_could_break_a_log_or_a_header_are_refused() {
        for text in ["", "a b", "a\"b", "a\r\nb", "\u{e4}", &"x".repeat(65), "<script>"] {
            assert_eq!(RequestId::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(RequestId::parse(&[b'x'; 64]).map(|id| id.as_str().len()), Some(64));
    }
}
