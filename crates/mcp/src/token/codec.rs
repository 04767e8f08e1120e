//! A compact binary form: fixed-width integers in big endian, byte strings behind a 32-bit length.

pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// `layout` says which layout follows; readers know all that are still valid.
    pub(crate) fn new(layout: u8) -> Self {
        Self(vec![layout])
    }

    #[must_use]
    pub(crate) fn fixed(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Strings of 4 GiB cannot occur: the callers' limits are far below.
    #[must_use]
    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    /// A missing string is not an empty one.
    #[must_use]
    pub(crate) fn option(mut self, bytes: Option<&[u8]>) -> Self {
        self.0.push(u8::from(bytes.is_some()));
        match bytes {
            Some(bytes) => self.bytes(bytes),
            None => self,
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Every read is checked; None for anything that no writer made.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// None unless the layout is `layout`.
    pub(crate) fn new(bytes: &'a [u8], layout: u8) -> Option<Self> {
        let (found, rest) = bytes.split_first()?;
        (*found == layout).then_some(Self(rest))
    }

    pub(crate) fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.fixed()?) as usize;
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    #[expect(clippy::option_option, reason = "unreadable, absent and present are three things")]
    pub(crate) fn option(&mut self) -> Option<Option<&'a [u8]>> {
        match self.fixed()? {
            [0] => Some(None),
            [1] => self.bytes().map(Some),
            _ => None,
        }
    }

    pub(crate) fn text(bytes: &[u8]) -> Option<String> {
        std::str::from_utf8(bytes).ok().map(str::to_owned)
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}
