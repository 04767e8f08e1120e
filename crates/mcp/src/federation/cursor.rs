//! The cursor of a merged list: which members have more, and under which cursor of their own.
//!
//! Sealed, so that any replica goes on with it and nobody else can make one.

use crate::{
    seal::{KeyRing, Purpose, Refused},
    token::{Audience, Reader, TokenError, Writer},
};

const LAYOUT: u8 = 1;
/// Longest cursor of a member that is carried. A page whose next cursor is longer is the member's last.
pub const ORIGINAL_BYTES_MAX: usize = 4 * 1024;

/// Where a merged list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageCursor {
    /// The list's method: the cursor of one list is nothing to another.
    pub method: String,
    /// The members that have more, by name, with the cursor each gave.
    pub rest: Vec<(String, String)>,
}

impl PageCursor {
    /// Seals until `expires` (seconds since 1970).
    pub fn seal(&self, ring: &KeyRing, audience: Audience<'_>, expires: u64) -> Result<String, TokenError> {
        Ok(ring.seal(Purpose::Cursor, &audience.context(), &self.encode(), expires)?)
    }

    /// Opens what [`seal`](Self::seal) made for the same audience.
    pub fn open(ring: &KeyRing, audience: Audience<'_>, token: &str, now: u64) -> Result<Self, Refused> {
        let payload = ring.open(Purpose::Cursor, &audience.context(), token, now)?;
        Self::decode(&payload).ok_or(Refused::malformed())
    }

    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(LAYOUT).bytes(self.method.as_bytes());
        for (member, cursor) in &self.rest {
            writer = writer.bytes(member.as_bytes()).bytes(cursor.as_bytes());
        }
        writer.finish()
    }

    /// None for anything that [`encode`](Self::encode) cannot have made. Never panics.
    fn decode(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload, LAYOUT)?;
        let method = Reader::text(reader.bytes()?)?;
        let mut rest = Vec::new();
        while reader.end().is_none() {
            rest.push((Reader::text(reader.bytes()?)?, Reader::text(reader.bytes()?)?));
        }
        Some(Self { method, rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_opens_as_it_was_sealed(method in "[a-z/]{0,20}", rest in proptest::collection::vec((".{0,20}", ".{0,40}"), 0..8)) {
            let ring = KeyRing::ephemeral().unwrap();
            let cursor = PageCursor { method, rest };
            let audience = Audience { server: "", principal: &[1; 32] };
            let token = cursor.seal(&ring, audience, 1000).unwrap();
            prop_assert_eq!(PageCursor::open(&ring, audience, &token, 500).ok(), Some(cursor));
            let other = Audience { principal: &[2; 32], ..audience };
            prop_assert!(PageCursor::open(&ring, other, &token, 500).is_err());
        }

        #[test]
        fn nonsense_is_no_cursor(bytes in any::<Vec<u8>>()) {
            if let Some(cursor) = PageCursor::decode(&bytes) {
                prop_assert_eq!(cursor.encode(), bytes);
            }
        }
    }
}
