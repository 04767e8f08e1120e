//! Text from outside, made safe for a line of a log.

/// Longest text that is written from one field; the rest is cut at a character and marked with an ellipsis.
pub(crate) const MAX_FIELD: usize = 1024;

/// Appends `text` as a JSON string, with quotes. Control characters, and the Unicode ones that move a cursor, end a
/// line or reverse text, are escaped; so a record stays one line and looks like what it is.
pub(crate) fn json_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escaped(out, text);
    out.push(b'"');
}

/// Appends `text` for the text format: quoted only if it needs to be.
pub(crate) fn text_value(out: &mut Vec<u8>, text: &str) {
    let plain = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    if !text.is_empty() && text.len() <= MAX_FIELD && text.bytes().all(plain) {
        out.extend_from_slice(text.as_bytes());
    } else {
        json_string(out, text);
    }
}

/// Appends bytes that are mostly text, for example a header value.
pub(crate) fn json_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => json_string(out, text),
        Err(_) => json_string(out, &String::from_utf8_lossy(bytes)),
    }
}

fn escaped(out: &mut Vec<u8>, text: &str) {
    let (text, cut) = truncated(text, MAX_FIELD);
    // The usual case: nothing to escape, one copy.
    if is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
    } else {
        for c in text.chars() {
            escaped_char(out, c);
        }
    }
    if cut {
        out.extend_from_slice("…".as_bytes());
    }
}

/// Printable ASCII without a quote or a backslash. A fold without an early end, so that it becomes vector code.
#[inline]
#[allow(clippy::needless_bitwise_bool, reason = "lazy operators would be branches")]
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    #[allow(clippy::manual_range_contains, reason = "four comparisons without a branch become vector code")]
    let special = |b: u8| !(b' '..0x7f).contains(&b) | (b == b'"') | (b == b'\\');
    !bytes.iter().fold(false, |found, b| found | special(*b))
}

fn escaped_char(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        c if c.is_control() || is_deceptive(c) => {
            // RFC 8259 section 7. All of these are below U+10000, so one unit is enough.
            const HEX: &[u8; 16] = b"0123456789abcdef";
            let code = c as u32;
            out.extend_from_slice(b"\\u");
            for shift in [12, 8, 4, 0] {
                out.push(HEX[(code >> shift) as usize & 0xf]);
            }
        }
        c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Line separators, and marks that change the direction of what follows.
fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// At most `max` bytes of `text`, cut at a character; and whether it was cut.
pub(crate) fn truncated(text: &str, max: usize) -> (&str, bool) {
    if text.len() <= max {
        return (text, false);
    }
    let at = text.floor_char_boundary(max);
    (text.get(..at).unwrap_or_default(), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        let mut out = Vec::new();
        json_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn any_text_is_one_line_and_reads_back() {
        for text in [
            "plain",
            "",
            "a\nb\r\n{\"x\":1}",
            "\u{1b}[31mred",
            "q\"b\\",
            "\u{0}\u{7f}\u{9b}",
            "ü漢😀",
            "\u{202e}gpj",
        ] {
            let line = json(text);
            assert!(!line.bytes().any(|b| b < b' '), "{line}");
            assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }
        assert!(json("\u{1b}[2J").contains("\\u001b"));
        assert!(json("a\u{2028}b\u{202e}").contains("\\u2028"));
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let line = json(&"漢".repeat(2000));
        let back: String = serde_json::from_str(&line).unwrap();
        assert!(back.ends_with('…') && back.len() <= MAX_FIELD + 3);
    }

    #[test]
    fn a_text_value_cannot_fake_another_field() {
        let mut out = Vec::new();
        text_value(&mut out, "x status=200");
        assert_eq!(out, b"\"x status=200\"");
    }
}
