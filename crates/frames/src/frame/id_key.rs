//! Ids and progress tokens by value: `1`, `1.0` and `1e0` are one number, `"a"` and `"\u0061"` one string.

use super::unquote;
use bytes::Bytes;

/// Integers up to here are exact in every JSON reader.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A JSON string or number as a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IdKey {
    /// Its characters.
    Text(Box<str>),
    /// Its digits, in one form where the value is a small whole number, else as written.
    Number(Box<str>),
    /// Neither of both, or a string that no text can hold: as written.
    Other(Bytes),
}

impl IdKey {
    /// The key of raw JSON.
    pub fn of(raw: &[u8]) -> Self {
        let other = || Self::Other(Bytes::copy_from_slice(raw));
        match raw.first() {
            Some(b'"') => unquote(raw).map_or_else(other, |text| Self::Text(text.into())),
            Some(b'-' | b'0'..=b'9') => match std::str::from_utf8(raw) {
                Ok(digits) => Self::Number(number(digits)),
                Err(_) => other(),
            },
            _ => other(),
        }
    }

    /// The whole number it is, if it is one.
    pub fn whole(&self) -> Option<u64> {
        match self {
            Self::Number(digits) => digits.parse().ok(),
            Self::Text(_) | Self::Other(_) => None,
        }
    }
}

fn number(digits: &str) -> Box<str> {
    if digits == "-0" {
        return "0".into();
    }
    let is_whole = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    match digits.parse::<f64>() {
        Ok(value) if !is_whole && value.fract() == 0.0 && value.abs() <= EXACT_MAX => {
            let value = value as i64;
            itoa::Buffer::new().format(value).into()
        }
        _ => digits.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::IdKey;
    use proptest::prelude::*;

    fn same(one: &str, other: &str) -> bool {
        IdKey::of(one.as_bytes()) == IdKey::of(other.as_bytes())
    }

    #[test]
    fn equal_values_are_one_key_however_they_are_written() {
        assert!(same("1", "1.0") && same("1e0", "1") && same("-0", "0") && same("10", "1E1"));
        assert!(same("\"a\"", "\"\\u0061\"") && same("\"\\/\"", "\"/\""));
        assert!(!same("1", "\"1\"") && !same("1", "2") && !same("\"a\"", "\"A\"") && !same("1.5", "1"));
        assert!(!same("123456789012345678901", "123456789012345678902"), "more digits than a double has");
        assert!(!same("\"\\ud83d\"", "\"\\ud83e\""), "lone surrogates are kept apart");
    }

    proptest! {
        #[test]
        fn whole_numbers_come_back(n in any::<u64>()) {
            prop_assert_eq!(IdKey::of(n.to_string().as_bytes()).whole(), Some(n));
        }

        #[test]
        fn any_bytes_have_a_key(raw in proptest::collection::vec(any::<u8>(), 0..20)) {
            prop_assert_eq!(IdKey::of(&raw), IdKey::of(&raw));
        }
    }
}
