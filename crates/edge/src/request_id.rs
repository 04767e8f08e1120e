//! Request ids: 128 bits, or what a trusted hop chose.

use crate::ConnectionInfo;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;

/// The header that carries a request id, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is accepted from a trusted hop.
pub const MAX_REQUEST_ID_BYTES: usize = 64;

const GENERATED_BYTES: usize = 32;
/// The two digits of every byte.
const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < pairs.len() {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
};

/// The id of one request: visible ASCII without quotes, at most [`MAX_REQUEST_ID_BYTES`]. Kept inline, so it costs no allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    bytes: [u8; MAX_REQUEST_ID_BYTES],
    len: u8,
}

impl RequestId {
    /// 128 random bits as 32 hexadecimal digits.
    pub fn generate(rng: &mut fastrand::Rng) -> Self {
        let mut bytes = [0; MAX_REQUEST_ID_BYTES];
        write_hex(&rng.u128(..).to_be_bytes(), &mut bytes[..GENERATED_BYTES]);
        Self { bytes, len: GENERATED_BYTES as u8 }
    }

    /// An id from outside, if it is sane: 1 to 64 letters, digits or one of `-_.:+/=@`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > MAX_REQUEST_ID_BYTES {
            return None;
        }
        let sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(byte);
        if !text.iter().all(sane) {
            return None;
        }
        let mut bytes = [0; MAX_REQUEST_ID_BYTES];
        bytes[..text.len()].copy_from_slice(text);
        Some(Self { bytes, len: text.len() as u8 })
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
        // Only ASCII gets in, so this cannot fail; an empty id is the answer that harms nobody.
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }

    /// The id as bytes: visible ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The id as a header value.
    pub fn header_value(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.bytes[..usize::from(self.len)])
            .unwrap_or_else(|_| HeaderValue::from_static("-"))
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

/// Writes `bytes` as lower-case hexadecimal digits; `out` is twice as long.
pub(crate) fn write_hex(bytes: &[u8], out: &mut [u8]) {
    for (byte, pair) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        pair.copy_from_slice(&HEX[usize::from(*byte)]);
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
