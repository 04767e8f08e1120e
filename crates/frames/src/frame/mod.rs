//! JSON-RPC messages as bytes with remembered ranges.
//!
//! A gateway that parses messages into a model and writes them out again loses members it does not know, rounds big
//! numbers and reorders keys. So a [`Frame`] is the bytes as they came, validated once, with the ranges of the few
//! members that decide where a message goes. Changes are splices: every other byte survives.
//!
//! What two parsers could read differently is refused: duplicate envelope members, duplicates (or spellings that
//! differ by case only) of members that route, arrays where one message is expected, `id: null`.

mod fault;
mod id_key;
mod member;
mod parse;
mod places;
mod scan;
mod splice;
mod trace;
mod view;

#[cfg(test)]
mod tests_fidelity;
#[cfg(test)]
mod tests_parse;

pub use fault::{FrameError, FrameFault};
pub use id_key::IdKey;
pub use member::Member;
pub use places::{Place, Ranges};
pub use scan::MAX_DEPTH;
pub use splice::{Home, Splice, SpliceError};
pub use trace::TraceMeta;
pub use view::{Fields, Json, elements, fields, quote, single_line, unquote};

pub(crate) use parse::array_elements;

use bytes::Bytes;
use std::borrow::Cow;

/// Longest id, in bytes of raw JSON.
pub const ID_BYTES_MAX: usize = 512;

/// What one message may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes. At most 4 GiB - 1.
    pub bytes_max: usize,
    /// Levels of nesting, the envelope being the first. At most [`MAX_DEPTH`].
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes_max: 4 << 20, depth_max: 128 }
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `method` and `id`
    Request,
    /// `method` alone
    Notification,
    /// `result` and `id`
    Response,
    /// `error`; the id may be missing or null when the request's could not be read
    ErrorResponse,
}

/// A byte range of a message. Zero-length means absent: no JSON value is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

/// One JSON-RPC message. Cloning shares the bytes.
#[derive(Clone)]
pub struct Frame {
    bytes: Bytes,
    kind: Kind,
    /// The method is spelt with escapes.
    method_escaped: bool,
    /// Boxed: a frame is moved many times, and made once.
    spans: Box<Spans>,
}

type Spans = [Span; Member::COUNT];

impl Frame {
    /// Reads one message. Costs one pass over the bytes and no allocation.
    pub fn parse(bytes: Bytes, limits: &Limits) -> Result<Self, FrameError> {
        parse::frame(bytes, limits)
    }

    /// Request, notification or response.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// An answer to anything, be it an error.
    pub fn is_response(&self) -> bool {
        matches!(self.kind, Kind::Response | Kind::ErrorResponse)
    }

    /// The message as it came.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same message in memory of its own, for one that is kept: it holds no buffer alive that others were read into with it.
    #[must_use]
    pub fn unshared(self) -> Self {
        Self { bytes: Bytes::copy_from_slice(&self.bytes), ..self }
    }

    /// The message as it came.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Raw JSON of the id of a request or response.
    pub fn id(&self) -> Option<&[u8]> {
        self.raw(Member::Id)
    }

    /// Raw JSON of the id, sharing the message's bytes.
    pub fn id_bytes(&self) -> Option<Bytes> {
        self.range(Member::Id).map(|(start, end)| self.bytes.slice(start..end))
    }

    /// The decoded method; "" for a response.
    pub fn method(&self) -> Cow<'_, str> {
        self.text(Member::Method).unwrap_or_default()
    }

    /// As [`method`](Self::method), as UTF-8 bytes: cheaper where it is only compared.
    pub fn method_bytes(&self) -> Cow<'_, [u8]> {
        if self.method_escaped {
            return Cow::Owned(self.method().into_owned().into_bytes());
        }
        Cow::Borrowed(self.raw(Member::Method).and_then(view::inside).unwrap_or_default())
    }

    /// True when the method is `name`, whatever way it is escaped.
    pub fn is(&self, name: &str) -> bool {
        *self.method_bytes() == *name.as_bytes()
    }

    /// What stands between the quotes of a string member, sharing the message's bytes; empty when it is absent or no string.
    pub fn inside(&self, member: Member) -> Bytes {
        let inside = self.raw(member).and_then(view::inside).unwrap_or_default();
        if inside.is_empty() { Bytes::new() } else { self.bytes.slice_ref(inside) }
    }

    /// Raw JSON of a member.
    pub fn raw(&self, member: Member) -> Option<&[u8]> {
        self.range(member).map(|(start, end)| &self.bytes[start..end])
    }

    /// The decoded string of a member. None when it is absent, not a string, or holds a lone surrogate.
    pub fn text(&self, member: Member) -> Option<Cow<'_, str>> {
        self.raw(member).and_then(unquote)
    }

    /// True when the member is there, whatever its value.
    pub fn has(&self, member: Member) -> bool {
        self.range(member).is_some()
    }

    /// Raw JSON of `error.code` as an integer.
    pub fn error_code(&self) -> Option<i64> {
        let code = fields(self.raw(Member::Error)?).find(|(key, _)| key == "code")?.1;
        std::str::from_utf8(code.raw).ok()?.parse().ok()
    }

    /// Begins a change; see [`Splice`].
    pub fn splice(&self) -> Splice<'_> {
        Splice::new(self)
    }

    fn range(&self, member: Member) -> Option<(usize, usize)> {
        let span = self.spans[member as usize];
        (span.end != 0).then_some((span.start as usize, span.end as usize))
    }
}

/// Shows what a message is, never its payload.
impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frame")
            .field("kind", &self.kind)
            .field("method", &self.method())
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}
