//! Looking into JSON that is already known to be valid: strings, members, elements, single lines.

use super::FrameFault;
use super::scan::{MAX_DEPTH, Scanner};
use bytes::Bytes;
use smallvec::SmallVec;
use std::borrow::Cow;

/// A value inside a larger JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<'a> {
    /// The value's own bytes.
    pub raw: &'a [u8],
    /// Where it begins in the text that was looked into.
    pub start: usize,
}

impl Json<'_> {
    /// Where the value lies in the text that was looked into.
    pub fn range(&self) -> (usize, usize) {
        (self.start, self.start + self.raw.len())
    }
}

/// Members of an object in their order; duplicates come as often as they are there.
pub type Fields<'a> = smallvec::IntoIter<[(Cow<'a, str>, Json<'a>); 8]>;

/// The members of a JSON object; nothing when `raw` is no valid object. Keys with lone surrogates are left out.
pub fn fields(raw: &[u8]) -> Fields<'_> {
    let mut found = SmallVec::new();
    let mut scanner = Scanner::new(raw, MAX_DEPTH);
    scanner.space();
    let outcome = scanner.object(|scanner, key| {
        let start = scanner.pos();
        scanner.value()?;
        let inside = &raw[key.range()];
        if let Some(key) = if key.escaped { decode(inside) } else { plain(inside) } {
            found.push((key, Json { raw: &raw[start..scanner.pos()], start }));
        }
        Ok(())
    });
    if outcome.is_err() {
        found.clear();
    }
    found.into_iter()
}

/// The elements of a JSON array; nothing when `raw` is no valid array.
pub fn elements(raw: &[u8]) -> Vec<Json<'_>> {
    let mut found = Vec::new();
    let mut scanner = Scanner::new(raw, MAX_DEPTH);
    scanner.space();
    let outcome: Result<(), FrameFault> = scanner.array(|scanner| {
        let start = scanner.pos();
        scanner.value()?;
        found.push(Json { raw: &raw[start..scanner.pos()], start });
        Ok(())
    });
    if outcome.is_err() {
        found.clear();
    }
    found
}

/// The string that raw JSON holds. None when it is no string, or holds a lone surrogate.
pub fn unquote(raw: &[u8]) -> Option<Cow<'_, str>> {
    let inside = inside(raw)?;
    if inside.contains(&b'\\') { decode(inside) } else { plain(inside) }
}

/// What stands between the quotes of a raw string, escapes and all.
pub(super) fn inside(raw: &[u8]) -> Option<&[u8]> {
    raw.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// A string as raw JSON.
pub fn quote(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", control as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// The message on one line, for framings that end at a newline (stdio, SSE `data:`).
///
/// In valid JSON a raw CR or LF is whitespace between tokens, so it becomes a space. Shares the bytes when there is
/// nothing to do.
pub fn single_line(message: &Bytes) -> Bytes {
    let is_break = |byte: &u8| *byte == b'\n' || *byte == b'\r';
    if !message.iter().any(is_break) {
        return message.clone();
    }
    message.iter().map(|byte| if is_break(byte) { b' ' } else { *byte }).collect::<Vec<u8>>().into()
}

fn plain(inside: &[u8]) -> Option<Cow<'_, str>> {
    std::str::from_utf8(inside).ok().map(Cow::Borrowed)
}

/// Decodes the escapes of a JSON string (RFC 8259 section 7). None for a lone surrogate, which no Rust string can hold.
pub(super) fn decode(inside: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(inside).ok()?;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = rest.as_bytes().get(at + 1)?;
        let mut used = at + 2;
        match escape {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let (character, length) = unicode(&rest[at..])?;
                out.push(character);
                used = at + length;
            }
            literal => out.push(char::from(*literal)),
        }
        rest = rest.get(used..)?;
    }
    out.push_str(rest);
    Some(Cow::Owned(out))
}

/// The character of a `\uXXXX` at the beginning of `text`, or of a pair of them, and the length it takes.
fn unicode(text: &str) -> Option<(char, usize)> {
    let unit = |at: usize| u32::from_str_radix(text.get(at..at + 4)?, 16).ok();
    let high = unit(2)?;
    if !(0xd800..0xe000).contains(&high) {
        return Some((char::from_u32(high)?, 6));
    }
    let low = unit(8).filter(|low| text.get(6..8) == Some("\\u") && (0xdc00..0xe000).contains(low))?;
    let code = 0x1_0000 + (high.checked_sub(0xd800)? << 10) + (low - 0xdc00);
    Some((char::from_u32(code)?, 12))
}

#[cfg(test)]
mod tests {
    use super::{elements, fields, quote, single_line, unquote};
    use bytes::Bytes;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quoting_and_unquoting_give_the_text_back(text in any::<String>()) {
            let raw = quote(&text);
            prop_assert_eq!(serde_json::from_str::<String>(&raw).ok(), Some(text.clone()));
            let back = unquote(raw.as_bytes()).map(std::borrow::Cow::into_owned);
            prop_assert_eq!(back, Some(text));
        }

        #[test]
        fn decoding_agrees_with_serde(parts in proptest::collection::vec(
            prop_oneof![
                Just("\\ud83d\\ude00".to_owned()), Just("\\ud83d".to_owned()), Just("\\udc00".to_owned()),
                Just("\\/".to_owned()), Just("\\u0000".to_owned()), "[a-zé世]{0,3}", Just("\\\\".to_owned()),
            ], 0..6)) {
            let raw = format!("\"{}\"", parts.concat());
            let decoded = unquote(raw.as_bytes()).map(std::borrow::Cow::into_owned);
            prop_assert_eq!(decoded, serde_json::from_str::<String>(&raw).ok());
        }
    }

    #[test]
    fn fields_and_elements_know_where_they_are() {
        let text = br#" {"a" : [1, {"b":2}] , "\u0063":"x"}"#;
        let all: Vec<_> = fields(text).map(|(key, value)| (key.into_owned(), value.range())).collect();
        assert_eq!(all, [("a".to_owned(), (8, 20)), ("c".to_owned(), (32, 35))]);
        assert_eq!(elements(b"[1, {\"b\":2}]").iter().map(|e| e.start).collect::<Vec<_>>(), [1, 4]);
        assert_eq!(fields(b"[1]").count() + fields(b"{\"a\":1,}").count() + elements(b"{}").len(), 0);
    }

    #[test]
    fn line_breaks_between_tokens_become_spaces() {
        let pretty = Bytes::from_static(b"{\r\n  \"a\": 1\n}");
        assert_eq!(single_line(&pretty), Bytes::from_static(b"{    \"a\": 1 }"));
        let flat = Bytes::from_static(b"{\"a\":\"\\n\"}");
        assert_eq!(single_line(&flat).as_ptr(), flat.as_ptr(), "shared, not copied");
    }
}
