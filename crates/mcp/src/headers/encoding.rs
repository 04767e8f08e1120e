//! The base64 sentinel of `Mcp-Name` and `Mcp-Param-*` (2026-07-28 "Value Encoding").

use super::HeaderFault;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;

const PREFIX: &str = "=?base64?";
const SUFFIX: &str = "?=";

/// The value a header stands for. Without both markers it is literal; between them it must be base64 with its padding,
/// of UTF-8.
pub fn decode_value(header: &str) -> Result<Cow<'_, str>, HeaderFault> {
    let Some(inside) = header.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX)) else {
        return Ok(Cow::Borrowed(header));
    };
    let bytes = STANDARD.decode(inside).map_err(|_| HeaderFault::Malformed)?;
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| HeaderFault::Malformed)
}

/// A value as a header: as it is when it is visible ASCII (blanks inside allowed) and does not look encoded.
pub fn encode_value(value: &str) -> Cow<'_, str> {
    let plain = value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
        && value.trim_matches([' ', '\t']) == value
        && !(value.starts_with(PREFIX) && value.ends_with(SUFFIX))
        && !value.is_empty();
    if plain {
        return Cow::Borrowed(value);
    }
    Cow::Owned(format!("{PREFIX}{}{SUFFIX}", STANDARD.encode(value)))
}

#[cfg(test)]
mod tests {
    use super::{decode_value, encode_value};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_value_survives_a_header(value in any::<String>()) {
            let header = encode_value(&value);
            prop_assert!(http::HeaderValue::from_str(&header).is_ok());
            prop_assert_eq!(header.trim(), &*header);
            prop_assert_eq!(decode_value(&header).unwrap().into_owned(), value.clone());
        }
    }

    #[test]
    fn the_examples_of_the_specification() {
        for (value, header) in [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ] {
            assert_eq!(encode_value(value), header);
            assert_eq!(decode_value(header).unwrap(), value);
        }
    }

    #[test]
    fn half_markers_are_literal_and_broken_base64_is_refused() {
        for literal in ["SGVsbG8=", "=?base64?SGVsbG8=", "SGVsbG8=?=", "=?BASE64?SGVsbG8=?=", "=?base64?="] {
            assert_eq!(decode_value(literal).unwrap(), literal);
        }
        for broken in
            ["=?base64?SGVsbG8?=", "=?base64?SGVs!!!bG8=?=", "=?base64?/w==?=", "=?base64?SGVsbG9=?="]
        {
            assert!(decode_value(broken).is_err(), "{broken}");
        }
    }
}
