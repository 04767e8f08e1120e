//! A short text that lives inside its owner: no allocation per request.

use std::fmt;

/// At most `N` bytes of text; longer text is cut at a character. `N` is at most 255.
#[derive(Clone, Copy)]
pub struct Inline<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Inline<N> {
    const FITS: () = assert!(N <= u8::MAX as usize, "the length is one byte");

    /// A copy of the first `N` bytes of `text`.
    pub fn new(text: &str) -> Self {
        let () = Self::FITS;
        let (text, _) = crate::escape::truncated(text, N);
        let mut bytes = [0; N];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Self { bytes, len: text.len() as u8 }
    }

    /// A copy of at most the first `N` bytes of visible ASCII; empty if there is any other byte.
    pub fn from_ascii(text: &[u8]) -> Self {
        let () = Self::FITS;
        let text = text.get(..N).unwrap_or(text);
        if !text.iter().fold(true, |graphic, byte| graphic & byte.is_ascii_graphic()) {
            return Self::default();
        }
        let mut bytes = [0; N];
        bytes[..text.len()].copy_from_slice(text);
        Self { bytes, len: text.len() as u8 }
    }

    /// 128 bits as 32 hexadecimal digits.
    pub fn hex(value: u128) -> Self {
        const DIGITS: usize = 32;
        const { assert!(N >= DIGITS && N <= u8::MAX as usize, "all digits fit") };
        let mut bytes = [0; N];
        crate::digits::write_hex(&value.to_be_bytes(), &mut bytes[..DIGITS]);
        Self { bytes, len: DIGITS as u8 }
    }

    /// The bytes of the text.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // `new` copied whole characters, so this is always UTF-8.
        std::str::from_utf8(self.bytes.get(..usize::from(self.len)).unwrap_or_default()).unwrap_or_default()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<const N: usize> Default for Inline<N> {
    fn default() -> Self {
        Self { bytes: [0; N], len: 0 }
    }
}

impl<const N: usize> fmt::Debug for Inline<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl<const N: usize> PartialEq for Inline<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}
impl<const N: usize> Eq for Inline<N> {}

impl<const N: usize> From<&str> for Inline<N> {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_at_a_character() {
        assert_eq!(Inline::<4>::new("abcdef").as_str(), "abcd");
        assert_eq!(Inline::<4>::new("ab漢").as_str(), "ab");
        assert!(Inline::<4>::new("").is_empty());
    }

    #[test]
    fn a_number_is_all_its_digits() {
        let text = Inline::<40>::hex(0xabc);
        assert_eq!(text.as_str(), "00000000000000000000000000000abc");
        assert_eq!(text, Inline::from_ascii(text.as_bytes()));
    }
}
