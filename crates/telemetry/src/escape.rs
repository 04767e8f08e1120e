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

/// What [`is_plain`] says of each byte.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b' ';
    while byte < 0x7f {
        plain[byte as usize] = byte != b'"' && byte != b'\\';
        byte += 1;
    }
    plain
};

/// Printable ASCII without a quote or a backslash. Eight bytes at a time: most texts are too short for anything wider.
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk() else {
        return bytes.iter().fold(true, |plain, b| plain & PLAIN[usize::from(*b)]);
    };
    let (eights, _) = bytes.as_chunks();
    // The last eight bytes may be looked at twice.
    eights.iter().fold(special(*last), |found, eight| found | special(*eight)) == 0
}

/// Not zero if any of eight bytes is not plain.
#[inline]
fn special(eight: [u8; 8]) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let eight = u64::from_ne_bytes(eight);
    // A byte below `n` borrows its high bit; what it borrows from a neighbour does not matter, for the answer is "yes" already.
    let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word;
    let equal = |byte: u8| below(eight ^ (ONES * u64::from(byte)), 1);
    let above_tilde = eight.wrapping_add(ONES) | eight;
    (below(eight, 0x20) | above_tilde | equal(b'"') | equal(b'\\')) & HIGH
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
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn plain_is_what_needs_no_escape(
            mut bytes in proptest::collection::vec(b'a'..=b'z', 0..40),
            special in proptest::collection::vec((0..40_usize, 0x1d..=0x81_u8), 0..3),
        ) {
            for (at, byte) in special {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            let plain = bytes.iter().all(|b| (0x20..=0x7e).contains(b) && *b != b'"' && *b != b'\\');
            prop_assert_eq!(is_plain(&bytes), plain);
        }

        #[test]
        fn one_special_byte_anywhere_is_found(length in 1..40_usize, at in 0..40_usize, byte: u8) {
            let mut bytes = vec![b'a'; length];
            bytes[at % length] = byte;
            let plain = (0x20..=0x7e).contains(&byte) && byte != b'"' && byte != b'\\';
            prop_assert_eq!(is_plain(&bytes), plain);
        }
    }

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
