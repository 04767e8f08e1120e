//! Response heads: from bytes to a head and a decision on how its body is framed (RFC 9112 sections 4 to 6).

use super::{
    fault::Fault,
    section::{EndScan, LINES_MAX, check_line_ends},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, header};
use hyper::ext::ReasonPhrase;
use smallvec::SmallVec;
use std::{mem::MaybeUninit, ops::Range};

/// Bytes of one response head, interim ones each.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Interim responses (1xx) before the final one. Servers send one or two.
pub(super) const INTERIM_MAX: u8 = 16;

/// Header lines that are kept without an allocation while a head is read.
const LINES_USUAL: usize = 24;

/// What of a request decides how its response is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The response has no body whatever its head says (RFC 9110 section 9.3.2).
    pub(super) head: bool,
}

/// A response head, interim or final.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    pub(super) framing: Framing,
    /// The server lets the connection live on.
    pub(super) keep_alive: bool,
}

/// How a body ends (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
    /// With the connection.
    Close,
}

/// Where a field line stands in the buffer.
struct Line {
    name: Range<u32>,
    value: Range<u32>,
}

/// A head but its fields.
struct Raw {
    len: usize,
    status: StatusCode,
    version: Version,
    /// Where it is not the usual one of the status.
    reason: Option<Range<u32>>,
}

/// The places of all fields. Filled where it stands, because moving it would copy it.
type Lines = SmallVec<[Line; LINES_USUAL]>;

/// Takes one head off the front of `buffer`. `None` asks for more bytes; `scan` remembers how far those here were searched.
pub(super) fn take(buffer: &mut BytesMut, scan: &mut EndScan, asked: Asked) -> Result<Option<Head>, Fault> {
    // The usual case is a head in one piece, which is parsed at once. One in many pieces is parsed when its end has come, so
    // that a server which sends byte by byte costs us no more than its bytes.
    let complete = !scan.has_begun() || scan.find(buffer).is_some();
    let mut lines = Lines::new();
    let raw = if complete { locate(buffer, &mut lines)? } else { None };
    let Some(raw) = raw else {
        if buffer.len() > HEAD_BYTES_MAX {
            return Err(Fault::HeadTooLarge);
        }
        scan.find(buffer);
        return Ok(None);
    };
    if raw.len > HEAD_BYTES_MAX {
        return Err(Fault::HeadTooLarge);
    }
    check_line_ends(&buffer[..raw.len])?;
    *scan = EndScan::default();
    assemble(&buffer.split_to(raw.len).freeze(), &raw, &lines, asked).map(Some)
}

fn locate(buffer: &[u8], lines: &mut Lines) -> Result<Option<Raw>, Fault> {
    // The parser would skip empty lines before the status line. RFC 9112 section 2.2 asks that of servers only.
    if matches!(buffer.first(), Some(b'\r' | b'\n')) {
        return Err(Fault::Head);
    }
    let mut fields = [const { MaybeUninit::uninit() }; LINES_MAX];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let len = match config.parse_response_with_uninit_headers(&mut response, buffer, &mut fields) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::TooManyHeaders),
        Err(_) => return Err(Fault::Head),
    };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Fault::Head)?;
    let version = if response.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let place = |part: &[u8]| place(buffer, part);
    let reason = match response.reason {
        Some(reason) if Some(reason) != status.canonical_reason() => Some(place(reason.as_bytes())),
        Some(_) | None => None,
    };
    let line =
        |field: &httparse::Header<'_>| Line { name: place(field.name.as_bytes()), value: place(field.value) };
    lines.extend(response.headers.iter().map(line));
    Ok(Some(Raw { len, status, version, reason }))
}

/// Where a part of the buffer stands in it. Heads are far shorter than 4 GiB.
fn place(buffer: &[u8], part: &[u8]) -> Range<u32> {
    if part.is_empty() {
        return 0..0;
    }
    let start = part.as_ptr().addr() - buffer.as_ptr().addr();
    start as u32..(start + part.len()) as u32
}

fn slice(head: &Bytes, range: &Range<u32>) -> Bytes {
    head.slice(range.start as usize..range.end as usize)
}

fn assemble(head: &Bytes, raw: &Raw, lines: &Lines, asked: Asked) -> Result<Head, Fault> {
    let mut headers = HeaderMap::with_capacity(lines.len());
    let mut says = Says { http_11: raw.version == Version::HTTP_11, ..Says::default() };
    for line in lines {
        let name = HeaderName::from_bytes(&head[line.name.start as usize..line.name.end as usize]);
        let name = name.map_err(|_| Fault::Head)?;
        let value = HeaderValue::from_maybe_shared(slice(head, &line.value)).map_err(|_| Fault::Head)?;
        says.hear(&name, &value)?;
        headers.append(name, value);
    }
    let framing = says.framing(raw.status, asked)?;
    let mut response = Response::new(());
    *response.status_mut() = raw.status;
    *response.version_mut() = raw.version;
    *response.headers_mut() = headers;
    if let Some(reason) = &raw.reason
        && let Ok(reason) = ReasonPhrase::try_from(slice(head, reason))
    {
        response.extensions_mut().insert(reason);
    }
    Ok(Head { response, framing, keep_alive: says.keep_alive() })
}

/// What the fields of a head say about framing and the connection.
#[derive(Default)]
struct Says {
    http_11: bool,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
}

impl Says {
    #[inline]
    fn hear(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), Fault> {
        match *name {
            header::CONTENT_LENGTH => {
                let length = content_length(value.as_bytes());
                // A list of equal lengths may be taken for one (RFC 9110 section 8.6), but would be passed on as it is.
                if self.length.is_some() || value.as_bytes().contains(&b',') {
                    return Err(Fault::DuplicateLength);
                }
                self.length = Some(length.ok_or(Fault::BadLength)?);
            }
            header::TRANSFER_ENCODING => {
                // Other codings before `chunked` are legal, but a gateway that does not undo them would pass coded bytes on as
                // if they were plain; and in HTTP/1.0 nobody agrees on what it means (RFC 9112 section 6.1).
                if self.chunked || !self.http_11 || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                    return Err(Fault::Encoding);
                }
                self.chunked = true;
            }
            header::CONNECTION => self.hear_connection(value.as_bytes()),
            _ => {}
        }
        Ok(())
    }

    fn hear_connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// RFC 9112 section 9.3.
    fn keep_alive(&self) -> bool {
        !self.close && (self.http_11 || self.keep_alive)
    }

    fn framing(&self, status: StatusCode, asked: Asked) -> Result<Framing, Fault> {
        // RFC 9112 section 6.3 would let the encoding win. Two lengths are what response splitting is made of.
        if self.chunked && self.length.is_some() {
            return Err(Fault::LengthAndEncoding);
        }
        let bodiless = asked.head
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        Ok(match (bodiless, self.chunked, self.length) {
            (true, ..) | (false, false, Some(0)) => Framing::None,
            (false, true, _) => Framing::Chunked,
            (false, false, Some(length)) => Framing::Length(length),
            (false, false, None) => Framing::Close,
        })
    }
}

/// The value of a `Content-Length` (RFC 9110 section 8.6): digits only, of either side of the gateway. None also for the two values
/// at the top of the range: to hyper, which serves the client, they mean "chunked" and "until the end".
pub fn content_length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut length = 0u64;
    for digit in digits {
        let value = digit.wrapping_sub(b'0');
        if value > 9 {
            return None;
        }
        length = length.checked_mul(10)?.checked_add(u64::from(value))?;
    }
    (length < u64::MAX - 1).then_some(length)
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
