//! Who is at the other end of an authenticated connection.

use crate::ReplicaId;
use serde::{Deserialize, Serialize};

/// Version of the messages.
pub(crate) const PROTOCOL: u32 = 1;

/// Longest hello that is read.
pub(crate) const HELLO_BYTES_MAX: usize = 4096;

/// Longest name or label in it; more is cut where it is written.
const TEXT_BYTES_MAX: usize = 128;

/// What a replica says of itself. Members that are not known are skipped, so that a later version may say more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) protocol: u32,
    #[serde(with = "hex")]
    pub(crate) replica: ReplicaId,
    pub(crate) name: Box<str>,
    #[serde(default)]
    pub(crate) region: Option<Box<str>>,
    #[serde(default)]
    pub(crate) zone: Option<Box<str>>,
    pub(crate) version: Box<str>,
    pub(crate) generation: u64,
    /// Questions of one replica that it answers at once.
    pub(crate) asks: u32,
}

impl Hello {
    /// As it travels.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Numbers and texts: this cannot fail, and an empty hello would be refused.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// `None` = not one that this version understands.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > HELLO_BYTES_MAX {
            return None;
        }
        let hello: Self = serde_json::from_slice(bytes).ok()?;
        let texts = [Some(&hello.name), Some(&hello.version), hello.region.as_ref(), hello.zone.as_ref()];
        let fine = |text: &str| text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control);
        (hello.protocol == PROTOCOL && texts.into_iter().flatten().all(|text| fine(text))).then_some(hello)
    }
}

/// A text that every hello may hold.
pub(crate) fn text(text: &str) -> Box<str> {
    let mut text: String = text.chars().filter(|c| !c.is_control()).collect();
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    text.into()
}

mod hex {
    use crate::ReplicaId;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use std::borrow::Cow;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    pub(super) fn serialize<S: Serializer>(replica: &ReplicaId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(replica)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ReplicaId, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let digits =
            text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let id = digits.then(|| u64::from_str_radix(&text, 16).ok()).flatten();
        id.map(ReplicaId).ok_or_else(|| D::Error::custom("a replica id has 16 hexadecimal digits"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn hello(replica: u64) -> Hello {
        Hello {
            protocol: PROTOCOL,
            replica: ReplicaId(replica),
            name: "r".into(),
            region: None,
            zone: None,
            version: "0".into(),
            generation: 1,
            asks: 9,
        }
    }

    proptest! {
        #[test]
        fn a_hello_reads_as_it_was_written(id: u64, name in ".*", region in prop::option::of(".*"), generation: u64, asks: u32) {
            let hello = Hello { name: text(&name), region: region.map(|r| text(&r)), generation, asks, ..hello(id) };
            prop_assert_eq!(Hello::parse(&hello.to_bytes()), Some(hello));
        }
    }

    #[test]
    fn a_later_version_may_say_more_and_another_protocol_is_refused() {
        let plain = String::from_utf8(hello(7).to_bytes()).unwrap();
        let more = plain.replacen('{', r#"{"mood":"calm","#, 1);
        assert_eq!(Hello::parse(more.as_bytes()), Some(hello(7)));
        for (from, to) in [
            (r#""protocol":1"#, r#""protocol":2"#),
            ("0000000000000007", "7"),
            ("0000000000000007", "+000000000000007"),
            (r#""name":"r""#, r#""name":"a\nb""#),
            (r#""generation":1,"#, ""),
        ] {
            let other = plain.replacen(from, to, 1);
            assert_ne!(other, plain, "{from}");
            assert_eq!(Hello::parse(other.as_bytes()), None, "{other}");
        }
        let long = plain.replacen(r#""name":"r""#, &format!(r#""name":"{}""#, "x".repeat(129)), 1);
        assert_eq!(Hello::parse(long.as_bytes()), None);
    }
}
