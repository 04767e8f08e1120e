//! Ids that carry their own way back.
//!
//! Requests that a server sends to a client, and progress tokens, are renamed so that they cannot collide between
//! upstream sessions, and so that the answer leads back to the right one. Nothing is remembered: the new id is a
//! string that holds the epoch of the binding and the old id. An answer with an older epoch belongs to a binding that
//! is gone.

use bytes::Bytes;

/// What a string made here begins with.
const MARK: &str = "hf";

/// Which binding of a session to an upstream session a message belongs to. Grows with every re-binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u32);

/// What an id that came back stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// The binding it was made for.
    pub epoch: Epoch,
    /// The server's own id or token, as raw JSON.
    pub original: Bytes,
}

/// Wraps the raw JSON of an id or progress token (a string or a number) into the raw JSON of a new one.
///
/// A string keeps its inside as it is, escapes included: `"a\n"` becomes `"hf<epoch>s.a\n"`, 42 becomes
/// `"hf<epoch>n.42"`.
pub fn wrap(epoch: Epoch, original: &[u8]) -> Bytes {
    let (kind, inside) = match original.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) {
        Some(inside) => (b's', inside),
        None => (b'n', original),
    };
    let mut out = Vec::with_capacity(original.len() + 16);
    out.push(b'"');
    out.extend_from_slice(MARK.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(epoch.0).as_bytes());
    out.push(kind);
    out.push(b'.');
    out.extend_from_slice(inside);
    out.push(b'"');
    out.into()
}

/// What an id of a member begins with, at the merged endpoint.
const MEMBER: &str = "hm";

/// Puts the member's name around an id that [`wrap`] made. Names of members have no dot.
pub fn of_member(member: &str, wrapped: &[u8]) -> Bytes {
    let inside = wrapped.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(wrapped);
    [b"\"", MEMBER.as_bytes(), member.as_bytes(), b".", inside, b"\""].concat().into()
}

/// The member, and the id as [`wrap`] made it. None for anything else.
pub fn split_member(id: &[u8]) -> Option<(&str, Bytes)> {
    let inside = id.strip_prefix(b"\"")?.strip_suffix(b"\"")?.strip_prefix(MEMBER.as_bytes())?;
    let dot = inside.iter().position(|byte| *byte == b'.')?;
    let (member, rest) = inside.split_at(dot);
    let wrapped = [b"\"", rest.get(1..)?, b"\""].concat();
    Some((std::str::from_utf8(member).ok()?, wrapped.into()))
}

/// Reads back what [`wrap`] made. None for anything else: a client's invention, or an id that was never renamed.
///
/// The answer is JSON of the same value as the original; the spelling of escapes is the client's.
pub fn unwrap(wrapped: &[u8]) -> Option<Wrapped> {
    let inside = wrapped.strip_prefix(b"\"")?.strip_suffix(b"\"")?.strip_prefix(MARK.as_bytes())?;
    let digits = inside.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = inside.split_at(digits);
    let number = std::str::from_utf8(number).ok()?;
    if number.len() > 1 && number.starts_with('0') {
        return None;
    }
    let epoch = Epoch(number.parse().ok()?);
    let original = match rest.split_first_chunk::<2>()? {
        (b"n.", digits) if is_number(digits) => Bytes::copy_from_slice(digits),
        (b"s.", inside) => {
            let mut text = Vec::with_capacity(inside.len() + 2);
            text.push(b'"');
            text.extend_from_slice(inside);
            text.push(b'"');
            text.into()
        }
        _ => return None,
    };
    Some(Wrapped { epoch, original })
}

/// A JSON number without blanks, of any length; fractions and exponents are allowed because progress tokens may have them.
fn is_number(digits: &[u8]) -> bool {
    let ends = [digits.first(), digits.last()];
    ends.iter().all(|end| end.is_some_and(|byte| *byte == b'-' || byte.is_ascii_digit()))
        && serde_json::from_slice::<serde::de::IgnoredAny>(digits).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{Epoch, of_member, split_member, unwrap, wrap};
    use crate::frame::quote;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_string_comes_back(epoch in any::<u32>(), text in any::<String>()) {
            let original = quote(&text);
            let wrapped = wrap(Epoch(epoch), original.as_bytes());
            prop_assert!(serde_json::from_slice::<String>(&wrapped).is_ok());
            let back = unwrap(&wrapped).unwrap();
            prop_assert_eq!((back.epoch, &back.original[..]), (Epoch(epoch), original.as_bytes()));
        }

        #[test]
        fn every_integer_comes_back(epoch in any::<u32>(), id in any::<i64>()) {
            let original = id.to_string();
            let back = unwrap(&wrap(Epoch(epoch), original.as_bytes())).unwrap();
            prop_assert_eq!(&back.original[..], original.as_bytes());
        }

        #[test]
        fn an_id_leads_back_to_its_member(epoch in any::<u32>(), member in "[A-Za-z0-9_-]{1,20}", text in any::<String>()) {
            let wrapped = wrap(Epoch(epoch), quote(&text).as_bytes());
            let id = of_member(&member, &wrapped);
            prop_assert!(serde_json::from_slice::<String>(&id).is_ok());
            prop_assert_eq!(unwrap(&id), None);
            prop_assert_eq!(split_member(&id), Some((&*member, wrapped)));
        }

        #[test]
        fn nothing_that_comes_back_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = unwrap(&bytes);
            let _ = split_member(&bytes);
        }

        #[test]
        fn what_is_accepted_wraps_to_itself(text in "hf[0-9]{1,11}[ns]\\.[-0-9a-z.]{0,6}") {
            let raw = format!("\"{text}\"");
            if let Some(back) = unwrap(raw.as_bytes()) {
                prop_assert_eq!(&wrap(back.epoch, &back.original)[..], raw.as_bytes());
            }
        }
    }

    #[test]
    fn an_integer_that_no_double_holds_comes_back() {
        let original = "9".repeat(400);
        assert_eq!(unwrap(&wrap(Epoch(1), original.as_bytes())).unwrap().original, original);
    }

    #[test]
    fn kinds_stay_apart() {
        assert_ne!(wrap(Epoch(1), b"1"), wrap(Epoch(1), b"\"1\""));
        assert_eq!(unwrap(&wrap(Epoch(7), b"1")).unwrap().original, "1");
        assert_eq!(unwrap(&wrap(Epoch(7), b"\"1\"")).unwrap().original, "\"1\"");
        assert_eq!(unwrap(&wrap(Epoch(7), b"1.5")).unwrap().original, "1.5");
    }

    #[test]
    fn foreign_ids_are_not_taken_for_ours() {
        for foreign in [
            "1",
            "\"a\"",
            "\"hf\"",
            "\"hf1\"",
            "\"hf1n.\"",
            "\"hf1n.x\"",
            "\"hf01s.a\"",
            "\"hf4294967296s.a\"",
            "\"hf1n.1,2\"",
            "\"hf-1s.a\"",
            "null",
            "",
        ] {
            assert_eq!(unwrap(foreign.as_bytes()), None, "{foreign}");
        }
    }
}
