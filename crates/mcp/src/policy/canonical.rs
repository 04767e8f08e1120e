//! The canonical form of a piece of JSON (RFC 8785), where numbers stand as they are written: see decision 0019.
//!
//! For text that was read as a message already: what is no JSON is refused here too, and not explained.

use crate::frame::unquote;
use std::borrow::Cow;

/// Levels of nesting. Other readers of JSON give up at about as many.
const DEPTH_MAX: usize = 128;

/// The canonical form of `raw`; `None` where there is none: an object has a member twice, a string holds a lone surrogate, or it is nested
/// too deeply. One pass to read it, one to write it.
pub(crate) fn canonical(raw: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader { rest: raw };
    let node = reader.node(DEPTH_MAX)?;
    reader.space();
    if !reader.rest.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(raw.len());
    node.write(&mut out)?;
    Some(out)
}

/// The elements of an array, one at a time; nothing if it is none.
pub(super) fn items(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader { rest: list };
    reader.space();
    let mut going = reader.take(b'[');
    std::iter::from_fn(move || {
        reader.space();
        if !going || reader.rest.first() == Some(&b']') {
            return None;
        }
        let item = reader.skip();
        reader.space();
        going = item.is_some() && reader.take(b',');
        item
    })
}

enum Node<'a> {
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
    Array(Vec<Node<'a>>),
    Text(Cow<'a, str>),
    /// A number, `true`, `false`, `null`.
    Plain(&'a [u8]),
}

impl Node<'_> {
    fn write(mut self, out: &mut Vec<u8>) -> Option<()> {
        match &mut self {
            Self::Object(members) => {
                // RFC 8785, 3.2.3: by UTF-16 code units.
                members.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
                if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                    return None;
                }
                out.push(b'{');
                for (at, (key, value)) in std::mem::take(members).into_iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    text(&key, out)?;
                    out.push(b':');
                    value.write(out)?;
                }
                out.push(b'}');
            }
            Self::Array(elements) => {
                out.push(b'[');
                for (at, value) in std::mem::take(elements).into_iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    value.write(out)?;
                }
                out.push(b']');
            }
            Self::Text(value) => text(value, out)?,
            Self::Plain(raw) => out.extend_from_slice(raw),
        }
        Some(())
    }
}

/// RFC 8785, 3.2.2.2: the shortest escapes, and only those that JSON demands.
fn text(text: &str, out: &mut Vec<u8>) -> Option<()> {
    serde_json::to_writer(out, text).ok()
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn take(&mut self, byte: u8) -> bool {
        let rest = self.rest.strip_prefix(&[byte]);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn node(&mut self, depth: usize) -> Option<Node<'a>> {
        let depth = depth.checked_sub(1)?;
        self.space();
        match self.rest.first()? {
            b'{' => {
                let mut members = Vec::new();
                self.each(b'}', |reader| {
                    let key = unquote(reader.string()?)?;
                    reader.space();
                    reader.take(b':').then_some(())?;
                    members.push((key, reader.node(depth)?));
                    Some(())
                })?;
                Some(Node::Object(members))
            }
            b'[' => {
                let mut elements = Vec::new();
                self.each(b']', |reader| {
                    elements.push(reader.node(depth)?);
                    Some(())
                })?;
                Some(Node::Array(elements))
            }
            b'"' => unquote(self.string()?).map(Node::Text),
            _ => self.plain().map(Node::Plain),
        }
    }

    /// What stands between an opening bracket and `end`.
    fn each(&mut self, end: u8, mut one: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.rest = self.rest.get(1..)?;
        self.space();
        if self.take(end) {
            return Some(());
        }
        loop {
            self.space();
            one(self)?;
            self.space();
            if self.take(end) {
                return Some(());
            }
            self.take(b',').then_some(())?;
        }
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<&'a [u8]> {
        if self.rest.first() != Some(&b'"') {
            return None;
        }
        let mut at = 1;
        loop {
            match self.rest.get(at)? {
                b'"' => return self.cut(at + 1),
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
    }

    fn plain(&mut self) -> Option<&'a [u8]> {
        let ends = |byte: &u8| byte.is_ascii_whitespace() || b",]}:\"[{".contains(byte);
        let length = self.rest.iter().position(ends).unwrap_or(self.rest.len());
        if length == 0 { None } else { self.cut(length) }
    }

    /// One value, unread.
    fn skip(&mut self) -> Option<&'a [u8]> {
        self.space();
        let (start, mut open) = (self.rest, 0_usize);
        loop {
            self.space();
            match self.rest.first()? {
                b'{' | b'[' => {
                    open += 1;
                    self.cut(1)?;
                }
                b'}' | b']' => {
                    open = open.checked_sub(1)?;
                    self.cut(1)?;
                }
                b',' | b':' if open > 0 => {
                    self.cut(1)?;
                }
                b'"' => {
                    self.string()?;
                }
                _ => {
                    self.plain()?;
                }
            }
            if open == 0 {
                return start.get(..start.len() - self.rest.len());
            }
        }
    }

    fn cut(&mut self, length: usize) -> Option<&'a [u8]> {
        let (cut, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::{canonical, items};
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::fmt::Write as _;

    fn of(text: &str) -> Option<String> {
        canonical(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map(".{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// The same value, its members in another order, with white space and escapes that nobody needs.
    fn written_otherwise(value: &Value, out: &mut String) {
        let escaped = |text: &str, out: &mut String| {
            out.push('"');
            for unit in text.encode_utf16() {
                let _ = write!(out, "\\u{unit:04X}");
            }
            out.push('"');
        };
        match value {
            Value::Object(members) => {
                out.push_str("{ ");
                for (at, (key, value)) in members.iter().rev().enumerate() {
                    out.push_str(if at > 0 { "\n,\t" } else { "" });
                    escaped(key, out);
                    out.push_str(" : ");
                    written_otherwise(value, out);
                }
                out.push_str("\r}");
            }
            Value::Array(elements) => {
                out.push_str("[ ");
                for (at, value) in elements.iter().enumerate() {
                    out.push_str(if at > 0 { " , " } else { "" });
                    written_otherwise(value, out);
                }
                out.push_str(" ]");
            }
            Value::String(text) => escaped(text, out),
            plain => out.push_str(&plain.to_string()),
        }
    }

    proptest! {
        #[test]
        fn order_blanks_and_escapes_mean_nothing_and_every_value_keeps_its_own_form(one in value(), other in value()) {
            let form = of(&one.to_string());
            prop_assert!(form.is_some());
            let mut otherwise = String::new();
            written_otherwise(&one, &mut otherwise);
            prop_assert_eq!(&form, &of(&otherwise));
            prop_assert_eq!(&form, &of(&serde_json::to_string_pretty(&one).unwrap()));
            prop_assert_eq!(form == of(&other.to_string()), one == other);
            let read: Value = serde_json::from_str(&form.unwrap()).unwrap();
            prop_assert_eq!(read, one);
        }

        #[test]
        fn a_change_of_any_character_of_a_definition_is_another_form_or_none(
            description in "[a-z\"\\\\ ]{1,20}", at in any::<prop::sample::Index>(), with in any::<char>(),
        ) {
            let before = json!({"name": "tool", "description": description, "inputSchema": {"maximum": 9_007_199_254_740_993_u64}});
            let text = before.to_string();
            let mut changed: Vec<char> = text.chars().collect();
            let at = at.index(changed.len());
            changed[at] = with;
            let changed: String = changed.into_iter().collect();
            // Only blanks, which are none here, may make no difference; what is no JSON any more never gets this far.
            if let Ok(value) = serde_json::from_str::<Value>(&changed) {
                prop_assert_eq!(of(&changed) == of(&text), value == before);
            }
        }

        #[test]
        fn no_bytes_make_it_fail(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = canonical(&bytes);
            prop_assert!(items(&bytes).count() <= bytes.len());
        }

        #[test]
        fn an_array_is_its_elements(values in proptest::collection::vec(value(), 0..6)) {
            let list = serde_json::to_string_pretty(&Value::from(values.clone())).unwrap();
            let read: Vec<Value> = items(list.as_bytes()).map(|item| serde_json::from_slice(item).unwrap()).collect();
            prop_assert_eq!(read, values);
        }
    }

    #[test]
    fn the_form_is_that_of_rfc_8785_but_for_numbers() {
        // RFC 8785, 3.2.3: the order of its example, by UTF-16 code units.
        let keys = r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#;
        assert_eq!(
            of(keys).unwrap(),
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}"
        );
        // 3.2.2.2
        assert_eq!(
            of(r#""\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/\b\f""#).unwrap(),
            "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\\b\\f\""
        );
        assert_ne!(of("1.10"), of("1.1"));
        assert_ne!(of("9007199254740993"), of("9007199254740992"));
    }

    #[test]
    fn what_two_readers_could_take_for_two_things_has_no_form() {
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        for text in [
            r#"{"name":"a","name":"a"}"#,
            r#"{"a":{"b":1,"\u0062":2}}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":1} {}"#,
            "{",
            "",
            &deep,
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
