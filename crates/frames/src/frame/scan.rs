//! A strict JSON scanner (RFC 8259) that validates and skips without building anything.
//!
//! One pass over the bytes, no recursion, no allocation. Nesting is a stack of bits, so that hostile depth costs a
//! comparison and not a stack frame. The grammar is that of `serde_json`; a differential test holds the two together.

use super::FrameFault;

/// Deepest nesting that any configuration can allow.
pub const MAX_DEPTH: usize = 1024;
const WORDS: usize = MAX_DEPTH / 64;

/// The inside of a JSON string, without its quotes. Small enough to be returned in registers.
#[derive(Clone, Copy)]
pub(super) struct Text {
    start: u32,
    end: u32,
    /// Holds at least one backslash escape.
    pub(super) escaped: bool,
}

impl Text {
    pub(super) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A cursor over one JSON text, which must be valid UTF-8 already and shorter than 4 GiB.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    pos: usize,
    depth: usize,
    depth_max: usize,
    /// Bit `n` is set when level `n` is an object.
    kinds: [u64; WORDS],
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8], depth_max: usize) -> Self {
        Self { bytes, pos: 0, depth: 0, depth_max: depth_max.min(MAX_DEPTH), kinds: [0; WORDS] }
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn pos(&self) -> usize {
        self.pos
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    /// Skips insignificant whitespace (RFC 8259 section 2).
    #[inline]
    pub(super) fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.pos += 1;
        }
    }

    /// Only whitespace may follow.
    pub(super) fn end(&mut self) -> Result<(), FrameFault> {
        self.space();
        if self.pos == self.bytes.len() { Ok(()) } else { Err(FrameFault::Trailing) }
    }

    /// Walks the object at the cursor. `member` gets each key with the cursor on its value and must consume it.
    #[inline]
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Text) -> Result<(), FrameFault>,
    ) -> Result<(), FrameFault> {
        self.expect(b'{')?;
        self.descend(true)?;
        self.space();
        if self.peek() == Some(b'}') {
            self.pos += 1;
            self.depth -= 1;
            return Ok(());
        }
        loop {
            let key = self.key()?;
            member(self, key)?;
            self.space();
            match self.peek() {
                Some(b',') => self.pos += 1,
                Some(b'}') => break,
                _ => return Err(FrameFault::Syntax),
            }
            self.space();
        }
        self.pos += 1;
        self.depth -= 1;
        Ok(())
    }

    /// Walks the array at the cursor. `element` is called with the cursor on each element and must consume it.
    pub(super) fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), FrameFault>,
    ) -> Result<(), FrameFault> {
        self.expect(b'[')?;
        self.descend(false)?;
        self.space();
        if self.peek() == Some(b']') {
            self.pos += 1;
            self.depth -= 1;
            return Ok(());
        }
        loop {
            self.space();
            element(self)?;
            self.space();
            match self.peek() {
                Some(b',') => self.pos += 1,
                Some(b']') => break,
                _ => return Err(FrameFault::Syntax),
            }
        }
        self.pos += 1;
        self.depth -= 1;
        Ok(())
    }

    /// Validates and skips the value at the cursor, whatever it is.
    pub(super) fn value(&mut self) -> Result<(), FrameFault> {
        let base = self.depth;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(open @ (b'{' | b'[')) => {
                    self.pos += 1;
                    self.descend(open == b'{')?;
                    self.space();
                    // '}' and ']' each lie two above their opening in ASCII.
                    if self.peek() == Some(open + 2) {
                        self.pos += 1;
                        self.depth -= 1;
                    } else {
                        if open == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                _ => return Err(FrameFault::Syntax),
            }
            if self.close(base)? {
                return Ok(());
            }
        }
    }

    /// After a value: closes what ends here. True when the level `base` is reached again.
    #[inline]
    fn close(&mut self, base: usize) -> Result<bool, FrameFault> {
        while self.depth > base {
            self.space();
            let is_object = self.kinds[(self.depth - 1) / 64] >> ((self.depth - 1) % 64) & 1 == 1;
            match (self.peek(), is_object) {
                (Some(b','), _) => {
                    self.pos += 1;
                    self.space();
                    if is_object {
                        self.key()?;
                    }
                    return Ok(false);
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.pos += 1;
                    self.depth -= 1;
                }
                _ => return Err(FrameFault::Syntax),
            }
        }
        Ok(true)
    }

    #[inline]
    fn descend(&mut self, is_object: bool) -> Result<(), FrameFault> {
        if self.depth >= self.depth_max {
            return Err(FrameFault::TooDeep);
        }
        let (word, bit) = (self.depth / 64, self.depth % 64);
        self.kinds[word] = self.kinds[word] & !(1 << bit) | u64::from(is_object) << bit;
        self.depth += 1;
        Ok(())
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), FrameFault> {
        if self.peek() != Some(byte) {
            return Err(FrameFault::Syntax);
        }
        self.pos += 1;
        Ok(())
    }

    /// A key, its colon and the whitespace around.
    #[inline]
    fn key(&mut self) -> Result<Text, FrameFault> {
        let key = self.string()?;
        self.space();
        self.expect(b':')?;
        self.space();
        Ok(key)
    }

    /// The string at the cursor.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Text, FrameFault> {
        self.expect(b'"')?;
        let start = self.pos;
        let mut escaped = false;
        loop {
            self.pos += plain_prefix(&self.bytes[self.pos..]);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                // An unescaped control character or the end of input.
                _ => return Err(FrameFault::Syntax),
            }
        }
        let end = self.pos;
        self.pos += 1;
        Ok(Text { start: start as u32, end: end as u32, escaped })
    }

    fn escape(&mut self) -> Result<(), FrameFault> {
        self.pos += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.pos += 1,
            Some(b'u') => {
                let digits = self.bytes.get(self.pos + 1..self.pos + 5).ok_or(FrameFault::Syntax)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(FrameFault::Syntax);
                }
                self.pos += 5;
            }
            _ => return Err(FrameFault::Syntax),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), FrameFault> {
        if self.peek() == Some(b'-') {
            self.pos += 1;
        }
        match self.peek() {
            Some(b'0') => self.pos += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(FrameFault::Syntax),
        }
        if self.peek() == Some(b'.') {
            self.pos += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.pos += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.pos += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), FrameFault> {
        let start = self.pos;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.pos += 1;
        }
        if self.pos == start { Err(FrameFault::Syntax) } else { Ok(()) }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), FrameFault> {
        if !self.bytes[self.pos..].starts_with(word) {
            return Err(FrameFault::Syntax);
        }
        self.pos += word.len();
        Ok(())
    }
}

/// Length of the prefix that needs no attention inside a string: no quote, no backslash, no control character.
#[inline]
fn plain_prefix(bytes: &[u8]) -> usize {
    const WORDS_FIRST: usize = 4;
    let (words, _) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().take(WORDS_FIRST).enumerate() {
        let stops = stop_bits(u64::from_le_bytes(*word));
        if stops != 0 {
            return index * 8 + (stops.trailing_zeros() / 8) as usize;
        }
    }
    plain_prefix_of_rest(bytes, words.len().min(WORDS_FIRST) * 8)
}

/// As [`plain_prefix`], where the first `at` bytes are known to be plain: wide steps that become vector code, then words.
#[inline(never)]
fn plain_prefix_of_rest(bytes: &[u8], at: usize) -> usize {
    let (chunks, _) = bytes[at..].as_chunks::<32>();
    let at = at + chunks.iter().take_while(|chunk| !has_stop(chunk)).count() * 32;
    let (words, tail) = bytes[at..].as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let stops = stop_bits(u64::from_le_bytes(*word));
        if stops != 0 {
            return at + index * 8 + (stops.trailing_zeros() / 8) as usize;
        }
    }
    at + words.len() * 8 + tail.iter().take_while(|&&byte| !is_stop(byte)).count()
}

#[inline]
fn is_stop(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

#[inline]
fn has_stop(chunk: &[u8; 32]) -> bool {
    // Without branches, so that it becomes vector code.
    let stop = |byte: u8| u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\');
    chunk.iter().fold(0, |found, &byte| found | stop(byte)) != 0
}

/// The lowest set bit marks the first byte that is a quote, a backslash or below 0x20 (higher marks may be false).
#[inline]
fn stop_bits(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (zero_in(word ^ (ONES * 0x22)) | zero_in(word ^ (ONES * 0x5c)) | control) & HIGH
}

#[cfg(test)]
mod tests {
    use super::{is_stop, plain_prefix};

    #[test]
    fn the_wide_search_finds_what_the_plain_one_finds() {
        for length in 0..100 {
            for stop in 0..length {
                for byte in [b'"', b'\\', 0x1f, 0, b'\n', 0x20, 0x80, 0xff, 0x21, 0x5d] {
                    let mut text = vec![b'a'; length];
                    text[stop] = byte;
                    let expected = text.iter().take_while(|&&byte| !is_stop(byte)).count();
                    assert_eq!(plain_prefix(&text), expected, "{byte:#x} at {stop} of {length}");
                }
            }
        }
    }
}
