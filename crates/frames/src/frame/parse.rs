//! From bytes to a frame: one pass that validates everything and remembers a little.

use super::member::{self, Found};
use super::scan::{Scanner, Text};
use super::view::{decode, inside};
use super::{Frame, FrameError, FrameFault, ID_BYTES_MAX, Kind, Limits, Member, Span, Spans};
use bytes::Bytes;

/// Members of the body whose spelling in another case beside the exact one would let two parsers disagree on where a
/// message goes.
const ROUTING: [Member; 7] = [
    Member::Name,
    Member::Uri,
    Member::TaskId,
    Member::Cursor,
    Member::RequestState,
    Member::Meta,
    Member::MetaProtocolVersion,
];

const _: () = assert!(Member::COUNT <= 64);

pub(super) fn frame(bytes: Bytes, limits: &Limits) -> Result<Frame, FrameError> {
    check_text(&bytes, limits)?;
    let mut scanner = Scanner::new(&bytes, limits.depth_max);
    let mut found = Members::default();
    let kind = found.envelope(&mut scanner).and_then(|()| found.judge(&bytes));
    match kind {
        Ok(kind) => Ok(Frame { kind, method_escaped: found.method_escaped, spans: found.spans, bytes }),
        Err(fault) => {
            let id = found.span(Member::Id).filter(|_| found.id_is_usable(&bytes));
            let id = id.map(|(start, end)| bytes.slice(start..end));
            Err(FrameError { fault, id })
        }
    }
}

/// The ranges of the elements of a JSON array, all validated.
pub(crate) fn array_elements(
    bytes: &[u8],
    limits: &Limits,
    count_max: usize,
) -> Result<Vec<(usize, usize)>, FrameError> {
    check_text(bytes, limits)?;
    let mut spans = Vec::new();
    // One level more than a message may have: the array itself.
    let mut scanner = Scanner::new(bytes, limits.depth_max.saturating_add(1));
    scanner.space();
    scanner
        .array(|scanner| {
            let start = scanner.pos();
            scanner.value()?;
            spans.push((start, scanner.pos()));
            if spans.len() > count_max { Err(FrameFault::TooLarge) } else { Ok(()) }
        })
        .and_then(|()| scanner.end())
        .map_err(FrameError::new)?;
    Ok(spans)
}

/// Size and encoding.
fn check_text(bytes: &[u8], limits: &Limits) -> Result<(), FrameError> {
    if bytes.len() > limits.bytes_max || u32::try_from(bytes.len()).is_err() {
        return Err(FrameError::new(FrameFault::TooLarge));
    }
    std::str::from_utf8(bytes).map_err(|_| FrameError::new(FrameFault::Utf8))?;
    Ok(())
}

const fn bit(member: Member) -> u64 {
    1 << member as u64
}

struct Members {
    spans: Box<Spans>,
    /// Members that were met in a spelling that differs by case.
    shadows: u64,
    method_escaped: bool,
}

impl Default for Members {
    fn default() -> Self {
        Self { spans: Box::new([Span::default(); Member::COUNT]), shadows: 0, method_escaped: false }
    }
}

impl Members {
    fn envelope(&mut self, scanner: &mut Scanner<'_>) -> Result<(), FrameFault> {
        scanner.space();
        match scanner.peek() {
            Some(b'{') => {}
            // serde's derive would take an array for a struct, member by member: the positional trap.
            Some(b'[') => return Err(FrameFault::Batch),
            None => return Err(FrameFault::Syntax),
            Some(_) => {
                scanner.value()?;
                scanner.end()?;
                return Err(FrameFault::NotObject);
            }
        }
        scanner.object(|scanner, key| {
            let Some((member, exact)) = look_up(scanner, key, member::envelope) else {
                return scanner.value();
            };
            if !exact {
                return Err(FrameFault::Ambiguous(member));
            }
            match (member, scanner.peek()) {
                (Member::Params | Member::Result, Some(b'{')) => self.record(scanner, member, Self::body),
                (Member::Params, _) => Err(FrameFault::MemberNotObject(Member::Params)),
                (Member::Error, Some(byte)) if byte != b'{' => {
                    Err(FrameFault::MemberNotObject(Member::Error))
                }
                _ => self.record(scanner, member, |_, scanner| scanner.value()),
            }
        })?;
        scanner.end()
    }

    fn body(&mut self, scanner: &mut Scanner<'_>) -> Result<(), FrameFault> {
        scanner.object(|scanner, key| match self.routed(scanner, key, member::body) {
            Some(Member::Meta) if scanner.peek() == Some(b'{') => {
                self.record(scanner, Member::Meta, Self::meta)
            }
            Some(Member::Meta) => Err(FrameFault::MemberNotObject(Member::Meta)),
            Some(Member::IsError) => self.flag(scanner, Member::IsError),
            Some(member) => self.record(scanner, member, |_, scanner| scanner.value()),
            None => scanner.value(),
        })
    }

    fn meta(&mut self, scanner: &mut Scanner<'_>) -> Result<(), FrameFault> {
        scanner.object(|scanner, key| match self.routed(scanner, key, member::meta) {
            Some(member) => self.record(scanner, member, |_, scanner| scanner.value()),
            None => scanner.value(),
        })
    }

    fn routed(&mut self, scanner: &Scanner<'_>, key: Text, table: fn(&[u8]) -> Found) -> Option<Member> {
        let (member, exact) = look_up(scanner, key, table)?;
        if !exact {
            self.shadows |= bit(member);
        }
        exact.then_some(member)
    }

    fn record(
        &mut self,
        scanner: &mut Scanner<'_>,
        member: Member,
        consume: impl FnOnce(&mut Self, &mut Scanner<'_>) -> Result<(), FrameFault>,
    ) -> Result<(), FrameFault> {
        if self.span(member).is_some() {
            return Err(FrameFault::Duplicate(member));
        }
        let start = scanner.pos();
        consume(self, scanner)?;
        // Both fit: the whole message was measured first.
        self.spans[member as usize] = Span { start: start as u32, end: scanner.pos() as u32 };
        Ok(())
    }

    /// A member that decides nothing but how a message is counted: remembered where it is `true`, and never refused.
    fn flag(&mut self, scanner: &mut Scanner<'_>, member: Member) -> Result<(), FrameFault> {
        let start = scanner.pos();
        scanner.value()?;
        if &scanner.bytes()[start..scanner.pos()] == b"true" {
            self.spans[member as usize] = Span { start: start as u32, end: scanner.pos() as u32 };
        }
        Ok(())
    }

    fn span(&self, member: Member) -> Option<(usize, usize)> {
        let span = self.spans[member as usize];
        (span.end != 0).then_some((span.start as usize, span.end as usize))
    }

    fn raw<'b>(&self, bytes: &'b [u8], member: Member) -> Option<&'b [u8]> {
        self.span(member).map(|(start, end)| &bytes[start..end])
    }

    /// JSON-RPC 2.0 sections 4 and 5, MCP "Messages".
    fn judge(&mut self, bytes: &[u8]) -> Result<Kind, FrameFault> {
        if self.raw(bytes, Member::JsonRpc) != Some(b"\"2.0\"") {
            return Err(FrameFault::Version);
        }
        if let Some(member) = self.ambiguous() {
            return Err(FrameFault::Ambiguous(member));
        }
        let (result, error) = (self.span(Member::Result).is_some(), self.span(Member::Error).is_some());
        if let Some(method) = self.raw(bytes, Member::Method) {
            if result || error {
                return Err(FrameFault::Shape);
            }
            let name = inside(method).filter(|name| !name.is_empty()).ok_or(FrameFault::Method)?;
            self.method_escaped = name.contains(&b'\\');
            if self.method_escaped && decode(name).is_none() {
                return Err(FrameFault::Method);
            }
            // Presence decides, so `id: null` is refused and never taken for a notification.
            return match self.span(Member::Id) {
                None => Ok(Kind::Notification),
                Some(_) if self.id_is_usable(bytes) && self.id_is_whole(bytes) => Ok(Kind::Request),
                Some(_) => Err(FrameFault::Id),
            };
        }
        match (result, error) {
            (true, false) if self.id_is_usable(bytes) => Ok(Kind::Response),
            (false, true) if self.raw(bytes, Member::Id) == Some(b"null") => {
                self.spans[Member::Id as usize] = Span::default();
                Ok(Kind::ErrorResponse)
            }
            (false, true) if self.span(Member::Id).is_none() || self.id_is_usable(bytes) => {
                Ok(Kind::ErrorResponse)
            }
            (true, false) | (false, true) => Err(FrameFault::Id),
            _ => Err(FrameFault::Shape),
        }
    }

    fn id_is_usable(&self, bytes: &[u8]) -> bool {
        self.raw(bytes, Member::Id).is_some_and(|raw| {
            raw.len() <= ID_BYTES_MAX && matches!(raw.first(), Some(b'"' | b'-' | b'0'..=b'9'))
        })
    }

    /// "Requests MUST include a string or integer ID": nobody echoes a fraction or an exponent reliably. A response
    /// may write an integer as `1.0`, as some servers do.
    fn id_is_whole(&self, bytes: &[u8]) -> bool {
        self.raw(bytes, Member::Id).is_some_and(|raw| {
            raw.first() == Some(&b'"') || !raw.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
        })
    }

    /// A routing member that is there both in its exact spelling and in another case.
    fn ambiguous(&self) -> Option<Member> {
        if self.shadows == 0 {
            return None;
        }
        let twice = |member: Member| self.shadows & bit(member) != 0 && self.span(member).is_some();
        ROUTING.into_iter().find(|&member| twice(member))
    }
}

/// What a key names once its escapes are decoded: `m\u0065thod` is `method`.
#[inline]
fn look_up(scanner: &Scanner<'_>, key: Text, table: fn(&[u8]) -> Found) -> Found {
    let raw = &scanner.bytes()[key.range()];
    if !key.escaped {
        return table(raw);
    }
    // A lone surrogate is in none of the names.
    decode(raw).and_then(|key| table(key.as_bytes()))
}
