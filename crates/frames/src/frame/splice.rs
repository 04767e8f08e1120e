//! Changing a message by offset: what is not named stays byte for byte.

use super::{Frame, Member, quote};
use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

/// Where a new member goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// The message itself.
    Envelope,
    /// `params` of a request or notification, `result` of a response.
    Body,
    /// `_meta` inside that.
    Meta,
}

/// Why a change is impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpliceError {
    /// Two changes touch the same bytes.
    #[error("two changes of one message overlap")]
    Overlap,
    /// The message is an error, or its `result` is not an object.
    #[error("the message has no object to put a member into")]
    NoBody,
}

/// A set of changes to one message, applied at once. Members that are missing are inserted at the front of their
/// object, and objects that are missing are made; the order and bytes of everything else stay.
pub struct Splice<'a> {
    frame: &'a Frame,
    edits: SmallVec<[(usize, usize, Bytes); 4]>,
    /// New members per `Home`, written as `"key":value` with commas between.
    added: [Vec<u8>; 3],
}

impl<'a> Splice<'a> {
    pub(super) fn new(frame: &'a Frame) -> Self {
        Self { frame, edits: SmallVec::new(), added: Default::default() }
    }

    /// Sets a member to raw JSON, replacing it or inserting it.
    #[must_use]
    pub fn set(self, member: Member, raw: impl Into<Bytes>) -> Self {
        match self.frame.range(member) {
            Some(range) => self.replace(range, raw),
            None => self.insert(home(member), member.key(), &raw.into()),
        }
    }

    /// Sets a member to a string.
    #[must_use]
    pub fn set_text(self, member: Member, text: &str) -> Self {
        self.set(member, quote(text))
    }

    /// Replaces the bytes of a range, for instance one found by [`Frame::places`], with raw JSON.
    #[must_use]
    pub fn replace(mut self, (start, end): (usize, usize), raw: impl Into<Bytes>) -> Self {
        self.edits.push((start, end, raw.into()));
        self
    }

    /// Inserts a member that is not there yet: the caller makes sure of that.
    #[must_use]
    pub fn insert(mut self, body: Home, key: &str, raw: &[u8]) -> Self {
        let added = &mut self.added[body as usize];
        if !added.is_empty() {
            added.push(b',');
        }
        added.extend_from_slice(quote(key).as_bytes());
        added.push(b':');
        added.extend_from_slice(raw);
        self
    }

    /// The changed message. Shares the bytes when nothing changes.
    pub fn finish(mut self) -> Result<Bytes, SpliceError> {
        self.place_members()?;
        if self.edits.is_empty() {
            return Ok(self.frame.bytes().clone());
        }
        // Stable: insertions at one point keep their order.
        self.edits.sort_by_key(|(start, end, _)| (*start, *end));
        let old = self.frame.bytes();
        let grown: usize = self.edits.iter().map(|(_, _, raw)| raw.len()).sum();
        let mut new = BytesMut::with_capacity(old.len() + grown);
        let mut copied = 0;
        for (start, end, raw) in &self.edits {
            let kept = old.get(copied..*start).ok_or(SpliceError::Overlap)?;
            new.extend_from_slice(kept);
            new.extend_from_slice(raw);
            copied = *end;
        }
        new.extend_from_slice(old.get(copied..).ok_or(SpliceError::Overlap)?);
        Ok(new.freeze())
    }

    /// Turns the new members into edits, innermost object first: a missing object becomes a member of the next one.
    fn place_members(&mut self) -> Result<(), SpliceError> {
        let [envelope, body, meta] = std::mem::take(&mut self.added);
        let body = self.place(Member::Meta, meta, body)?;
        let carrier = if self.frame.has(Member::Method) { Member::Params } else { Member::Result };
        if !body.is_empty() && carrier == Member::Result && !self.frame.has(Member::Result) {
            return Err(SpliceError::NoBody);
        }
        let envelope = self.place(carrier, body, envelope)?;
        let start = self.frame.bytes().iter().position(|&byte| byte == b'{').ok_or(SpliceError::NoBody)?;
        self.put_at(start, envelope)
    }

    /// Puts `members` into the object `member`, or, when that is missing, adds the object itself to `outer`.
    fn place(&mut self, member: Member, members: Vec<u8>, outer: Vec<u8>) -> Result<Vec<u8>, SpliceError> {
        if members.is_empty() {
            return Ok(outer);
        }
        if let Some((start, _)) = self.frame.range(member) {
            self.put_at(start, members)?;
            return Ok(outer);
        }
        let mut with = outer;
        if !with.is_empty() {
            with.push(b',');
        }
        with.extend_from_slice(quote(member.key()).as_bytes());
        with.extend_from_slice(b":{");
        with.extend_from_slice(&members);
        with.push(b'}');
        Ok(with)
    }

    /// Writes members behind the brace at `start`, with a comma when others follow.
    fn put_at(&mut self, start: usize, mut members: Vec<u8>) -> Result<(), SpliceError> {
        if members.is_empty() {
            return Ok(());
        }
        let inside = self.frame.bytes().get(start..).and_then(|object| object.strip_prefix(b"{"));
        let inside = inside.ok_or(SpliceError::NoBody)?;
        if inside.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'}') {
            members.push(b',');
        }
        self.edits.push((start + 1, start + 1, members.into()));
        Ok(())
    }
}

/// The object a member lives in.
fn home(member: Member) -> Home {
    match member {
        Member::JsonRpc | Member::Id | Member::Method | Member::Params | Member::Result | Member::Error => {
            Home::Envelope
        }
        Member::MetaProgressToken
        | Member::MetaProtocolVersion
        | Member::MetaClientInfo
        | Member::MetaClientCapabilities
        | Member::MetaLogLevel
        | Member::MetaSubscriptionId
        | Member::MetaServerInfo
        | Member::MetaRelatedTask
        | Member::MetaTraceparent
        | Member::MetaTracestate
        | Member::MetaBaggage
        | Member::MetaSession => Home::Meta,
        _ => Home::Body,
    }
}

#[cfg(test)]
mod tests {
    use super::{Home, home};
    use crate::frame::member::{Member, meta};

    #[test]
    fn every_key_of_meta_lives_there() {
        for member in
            [Member::MetaProgressToken, Member::MetaServerInfo, Member::MetaBaggage, Member::MetaSession]
        {
            assert!(meta(member.key().as_bytes()).is_some());
            assert!(matches!(home(member), Home::Meta), "{member:?}");
        }
    }
}
