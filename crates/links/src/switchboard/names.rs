//! What requests are called on a link.

use bytes::Bytes;

/// Who sent a request, as sealed values are bound to it.
pub(crate) type Owner = [u8; 32];

/// A request of one link: the id it has on a link that renames. Never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(pub(crate) u64);

impl Name {
    /// As raw JSON.
    pub(crate) fn raw(self) -> Bytes {
        Bytes::copy_from_slice(itoa::Buffer::new().format(self.0).as_bytes())
    }

    /// Whether raw JSON is this name.
    pub(crate) fn is(self, raw: &[u8]) -> bool {
        holdfast_frames::frame::IdKey::of(raw).whole() == Some(self.0)
    }
}
