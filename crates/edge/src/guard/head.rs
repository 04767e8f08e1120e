//! Request heads and trailers, line by line, each byte looked at once however it arrives.

use super::violation::Violation;
use holdfast_upstream::content_length;

/// Empty lines allowed before a request line (RFC 9112 section 2.2: "at least one").
const MAX_LEADING_EMPTY_LINES: usize = 2;
/// Bytes of a head that are looked at for control bytes at once; what is behind may be a body.
const CLEAN_BYTES: usize = 1024;
/// Bytes that vector code compares at once.
const BLOCK: usize = 16;
/// ` HTTP/1.1`.
const VERSION_BYTES: usize = 9;

/// Limits of one head or trailer section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    pub(crate) bytes: usize,
    pub(crate) lines: usize,
}

/// How a request's body is framed and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Framing {
    /// Bytes of the head, final empty line included.
    pub(crate) len: usize,
    pub(crate) body: BodyFraming,
    /// The request asks for another protocol, so what follows may not be HTTP.
    pub(crate) upgrade: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    None,
    Length(u64),
    Chunked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    /// Waiting for a request line.
    RequestLine,
    /// In the field lines of a head.
    Fields,
    /// In the field lines after the last chunk.
    Trailers,
}

/// Scans one section. `bytes` given to [`HeadScan::feed`] always begin at the section's first byte.
#[derive(Clone, Debug)]
pub(crate) struct HeadScan {
    section: Section,
    scanned: usize,
    line: usize,
    lines: usize,
    empty_lines: usize,
    http_10: bool,
    connect: bool,
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

impl HeadScan {
    pub(crate) const fn request() -> Self {
        Self::new(Section::RequestLine)
    }

    pub(crate) const fn trailers() -> Self {
        Self::new(Section::Trailers)
    }

    const fn new(section: Section) -> Self {
        Self {
            section,
            scanned: 0,
            line: 0,
            lines: 0,
            empty_lines: 0,
            http_10: false,
            connect: false,
            hosts: 0,
            length: None,
            chunked: false,
            upgrade: false,
        }
    }

    /// Whether not a single byte of the section was seen.
    pub(crate) const fn is_untouched(&self) -> bool {
        self.scanned == 0
    }

    /// Goes on where it stopped. `None` asks for more bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8], limits: HeadLimits) -> Result<Option<Framing>, Violation> {
        let clean_to = self.clean_to(bytes);
        while let Some(at) = memchr::memchr(b'\n', &bytes[self.scanned..]) {
            let lf = self.scanned + at;
            // Before anything is said of the line: in pieces, it would be too long before its end came.
            if lf >= limits.bytes {
                return Err(Violation::HeadTooLarge);
            }
            if lf == self.line || bytes[lf - 1] != b'\r' {
                return Err(Violation::BareLf);
            }
            let line = &bytes[self.line..lf - 1];
            self.scanned = lf + 1;
            self.line = lf + 1;
            if lf >= clean_to {
                check_bytes(line)?;
            }
            match self.section {
                Section::RequestLine if line.is_empty() => self.empty_line()?,
                Section::RequestLine => self.request_line(line)?,
                Section::Fields | Section::Trailers if line.is_empty() => return self.finish().map(Some),
                Section::Fields | Section::Trailers => self.field_line(line, limits)?,
            }
        }
        self.scanned = bytes.len();
        if bytes.len() > limits.bytes { Err(Violation::HeadTooLarge) } else { Ok(None) }
    }

    /// Up to where no line has to be looked at for control bytes. Most heads arrive whole, and their lines one by one are too short
    /// for vector code.
    fn clean_to(&self, bytes: &[u8]) -> usize {
        // In the middle of a line, its beginning would be looked at again with each piece.
        if self.scanned != self.line {
            return 0;
        }
        let end = bytes.len().min(self.scanned + CLEAN_BYTES);
        if is_clean(&bytes[self.scanned..end]) { end } else { 0 }
    }

    fn empty_line(&mut self) -> Result<(), Violation> {
        self.empty_lines += 1;
        if self.empty_lines > MAX_LEADING_EMPTY_LINES { Err(Violation::RequestLine) } else { Ok(()) }
    }

    fn request_line(&mut self, line: &[u8]) -> Result<(), Violation> {
        let split = line.len().checked_sub(VERSION_BYTES).ok_or(Violation::RequestLine)?;
        let (request, version) = line.split_at(split);
        self.http_10 = match version {
            b" HTTP/1.1" => false,
            b" HTTP/1.0" => true,
            _ => return Err(Violation::RequestLine),
        };
        let space = memchr::memchr(b' ', request).ok_or(Violation::RequestLine)?;
        let target = &request[space + 1..];
        if space == 0 || target.is_empty() || memchr::memchr2(b' ', b'\t', target).is_some() {
            return Err(Violation::RequestLine);
        }
        self.connect = &request[..space] == b"CONNECT";
        self.section = Section::Fields;
        Ok(())
    }

    fn field_line(&mut self, line: &[u8], limits: HeadLimits) -> Result<(), Violation> {
        self.lines += 1;
        if self.lines > limits.lines {
            return Err(Violation::TooManyHeaders);
        }
        if is_blank(line[0]) {
            return Err(Violation::ObsFold);
        }
        let colon = memchr::memchr(b':', line).ok_or(Violation::FieldLine)?;
        let name = &line[..colon];
        match name.last() {
            None => return Err(Violation::FieldLine),
            Some(last) if is_blank(*last) => return Err(Violation::SpaceBeforeColon),
            Some(_) => {}
        }
        // Only these lengths can be a name that matters here; the rest is the HTTP parser's business.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.hosts += 1,
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(&line[colon + 1..])?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.transfer_encoding(&line[colon + 1..])?;
            }
            _ => {}
        }
        Ok(())
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Violation> {
        if self.section == Section::Trailers {
            return Err(Violation::Trailer);
        }
        if self.chunked {
            return Err(Violation::LengthAndEncoding);
        }
        let length = content_length(trim(value)).ok_or(Violation::BadLength)?;
        if self.length.replace(length).is_some() { Err(Violation::DuplicateLength) } else { Ok(()) }
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Violation> {
        if self.section == Section::Trailers {
            return Err(Violation::Trailer);
        }
        if self.length.is_some() {
            return Err(Violation::LengthAndEncoding);
        }
        // Other codings before a final `chunked` are legal, but a gateway that does not undo them would forward coded bytes
        // as if they were plain.
        if self.chunked || self.http_10 || !trim(value).eq_ignore_ascii_case(b"chunked") {
            return Err(Violation::TransferEncoding);
        }
        self.chunked = true;
        Ok(())
    }

    fn finish(&self) -> Result<Framing, Violation> {
        if self.section == Section::Fields && (self.hosts > 1 || (self.hosts == 0 && !self.http_10)) {
            return Err(Violation::Host);
        }
        let body = match (self.chunked, self.length) {
            (true, _) => BodyFraming::Chunked,
            (false, None | Some(0)) => BodyFraming::None,
            (false, Some(length)) => BodyFraming::Length(length),
        };
        if self.connect && body != BodyFraming::None {
            return Err(Violation::ConnectBody);
        }
        Ok(Framing { len: self.line, body, upgrade: self.connect || (self.upgrade && !self.http_10) })
    }
}

/// Whether `bytes` hold nothing that [`check_bytes`] would refuse in a line: no control byte but tab and line ends, and no CR without
/// its LF. `false` says nothing: it is also the answer where a look at each line is cheaper.
fn is_clean(bytes: &[u8]) -> bool {
    let (Some(last), Some(end)) = (bytes.len().checked_sub(BLOCK + 1), bytes.last()) else { return false };
    let mut bad = (*end < 0x20 && *end != b'\n') || *end == 0x7f;
    let mut at = 0;
    loop {
        // The last block may overlap the one before it.
        let block = &bytes[at.min(last)..][..=BLOCK];
        bad |= is_bad_block(&block[..BLOCK], &block[1..]);
        if at >= last {
            return !bad;
        }
        at += BLOCK;
    }
}

/// Whether a byte of `these` is refused; `next` are the bytes that follow each.
#[inline]
#[allow(clippy::needless_bitwise_bool, reason = "lazy operators would be branches")]
fn is_bad_block(these: &[u8], next: &[u8]) -> bool {
    these.iter().zip(next).fold(false, |bad, (byte, next)| {
        let control = (*byte < 0x20) & (*byte != b'\t') & (*byte != b'\n') & (*byte != b'\r');
        bad | control | (*byte == 0x7f) | ((*byte == b'\r') & (*next != b'\n'))
    })
}

/// Refuses control bytes but tab (RFC 9110 section 5.5), and DEL. Written as a fold so that it becomes vector code.
#[allow(clippy::needless_bitwise_bool, reason = "lazy operators would be branches")]
fn check_bytes(line: &[u8]) -> Result<(), Violation> {
    let bad =
        line.iter().fold(false, |bad, byte| bad | ((*byte < 0x20) & (*byte != b'\t')) | (*byte == 0x7f));
    if !bad {
        Ok(())
    } else if memchr::memchr(b'\r', line).is_some() {
        Err(Violation::BareCr)
    } else {
        Err(Violation::ControlByte)
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = value
        && is_blank(*first)
    {
        value = rest;
    }
    while let [rest @ .., last] = value
        && is_blank(*last)
    {
        value = rest;
    }
    value
}
