//! HTTP/2 by its bytes, for clients that break its rules. Also part of the end to end tests, by its path.

/// RFC 9113 section 3.4.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types (RFC 9113 section 6).
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags of HEADERS (RFC 9113 section 6.2).
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Error code of a reset by choice (RFC 9113 section 7).
pub(crate) const CANCEL: [u8; 4] = 8_u32.to_be_bytes();

/// One frame (RFC 9113 section 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The error code of the last GOAWAY among `frames`, if there is one (RFC 9113 section 6.8).
pub(crate) fn goaway(frames: &[u8]) -> Option<u32> {
    let (mut rest, mut code) = (frames, None);
    while let [high, middle, low, kind, _, _, _, _, _, payload @ ..] = rest {
        if let (GOAWAY, [_, _, _, _, a, b, c, d, ..]) = (*kind, payload) {
            code = Some(u32::from_be_bytes([*a, *b, *c, *d]));
        }
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        rest = payload.get(length..).unwrap_or_default();
    }
    code
}
