//! What scripts and commands answer, taken apart. An answer of another form is the server's fault, never a panic.

use crate::{StoreError, StoreErrorKind};
use redis::Value;

/// The answer has another form than the script gives.
pub(crate) fn strange() -> StoreError {
    StoreError::new(
        StoreErrorKind::Protocol,
        "the server's answer has a form that this version does not know",
    )
}

/// Bytes, or nothing.
pub(crate) fn bytes(value: Value) -> Result<Option<Vec<u8>>, StoreError> {
    match value {
        Value::BulkString(bytes) => Ok(Some(bytes)),
        Value::SimpleString(text) => Ok(Some(text.into_bytes())),
        Value::Int(number) => Ok(Some(number.to_string().into_bytes())),
        Value::Nil => Ok(None),
        _ => Err(strange()),
    }
}

/// Bytes that must be there.
pub(crate) fn some(value: Value) -> Result<Vec<u8>, StoreError> {
    bytes(value)?.ok_or_else(strange)
}

/// A list; nothing is an empty one.
pub(crate) fn list(value: Value) -> Result<Vec<Value>, StoreError> {
    match value {
        Value::Array(list) => Ok(list),
        Value::Nil => Ok(Vec::new()),
        _ => Err(strange()),
    }
}

/// A list of bytes.
pub(crate) fn all_bytes(value: Value) -> Result<Vec<Vec<u8>>, StoreError> {
    list(value)?.into_iter().map(some).collect()
}

/// A number in decimal.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The number before the first blank, and what is behind it.
pub(crate) fn numbered(text: &[u8]) -> Option<(u64, &[u8])> {
    let gap = text.iter().position(|byte| *byte == b' ')?;
    Some((number(&text[..gap])?, &text[gap + 1..]))
}

/// An entry of a Redis stream with one field: id and value.
pub(crate) type StreamEntry = (Vec<u8>, Vec<u8>);

/// Entries of a Redis stream.
pub(crate) fn entries(value: Value) -> Result<Vec<StreamEntry>, StoreError> {
    let entry = |entry: Value| {
        let [id, fields] = <[Value; 2]>::try_from(list(entry)?).map_err(|_| strange())?;
        let [_, value] = <[Vec<u8>; 2]>::try_from(all_bytes(fields)?).map_err(|_| strange())?;
        Ok((some(id)?, value))
    };
    list(value)?.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_decimal_and_nothing_else() {
        assert_eq!(numbered(b"12 rest of it"), Some((12, b"rest of it".as_slice())));
        assert_eq!(numbered(b"12 "), Some((12, b"".as_slice())));
        for bad in [b"12".as_slice(), b" x", b"-1 x", b"1e3 x", b"99999999999999999999 x", b""] {
            assert_eq!(numbered(bad), None);
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Nil),
            any::<i64>().prop_map(Value::Int),
            prop::collection::vec(any::<u8>(), 0..8).prop_map(Value::BulkString),
            "[a-z]{0,4}".prop_map(Value::SimpleString),
            Just(Value::Okay),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Value::Array))
    }

    proptest! {
        #[test]
        fn no_answer_is_a_panic(value in any_value()) {
            let _ = (entries(value.clone()), all_bytes(value.clone()), bytes(value));
        }
    }
}
