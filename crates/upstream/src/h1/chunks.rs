//! Chunked bodies (RFC 9112 section 7.1): where their data is, however the bytes are cut.

use super::{
    fault::Fault,
    section::{EndScan, LINES_MAX, check_line_ends},
};
use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Bytes of chunk extensions in one body, as hyper has it. Nothing here uses them.
pub(super) const EXTENSION_BYTES_MAX: u32 = 16 * 1024;

/// Bytes of a trailer section.
pub(super) const TRAILER_BYTES_MAX: usize = 16 * 1024;

/// Digits of a chunk size: 64 bits.
const SIZE_DIGITS_MAX: u8 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    /// White space after the size (`BWS`).
    SizeBlank,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
    Failed(Fault),
}

/// What comes next in a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    /// Nothing without more bytes.
    More,
}

/// Takes a chunked body apart.
#[derive(Clone, Debug)]
pub(super) struct Chunks {
    state: State,
    /// Left of the current chunk.
    size: u64,
    digits: u8,
    extension_bytes: u32,
    trailers: EndScan,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self { state: State::Size, size: 0, digits: 0, extension_bytes: 0, trailers: EndScan::default() }
    }

    /// Bytes of the current chunk that have not come yet, at least.
    pub(super) fn left(&self) -> u64 {
        if self.state == State::Data { self.size } else { 0 }
    }

    /// Takes the next piece off the front of `buffer`. After a fault, every call ends in one.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Chunk, Fault> {
        let next = self.advance(buffer);
        if let Err(fault) = next {
            self.state = State::Failed(fault);
        }
        next
    }

    fn advance(&mut self, buffer: &mut BytesMut) -> Result<Chunk, Fault> {
        self.skip_framing(buffer)?;
        match self.state {
            State::Data if !buffer.is_empty() => {
                let here = buffer.len();
                let taken = usize::try_from(self.size).map_or(here, |size| size.min(here));
                self.size -= taken as u64;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
                Ok(Chunk::Data(buffer.split_to(taken).freeze()))
            }
            State::Trailers => self.trailers(buffer),
            State::Done => Ok(Chunk::End),
            State::Failed(fault) => Err(fault),
            _ => Ok(Chunk::More),
        }
    }

    /// Whether the body ends with what is here, without trailers; then that is taken.
    pub(super) fn ends_with(&mut self, buffer: &mut BytesMut) -> bool {
        // A fault stays where it is for the next call to find.
        if self.skip_framing(buffer).is_ok() && self.state == State::Trailers && buffer.starts_with(b"\r\n") {
            buffer.advance(2);
            self.state = State::Done;
        }
        self.state == State::Done
    }

    fn skip_framing(&mut self, buffer: &mut BytesMut) -> Result<(), Fault> {
        let mut taken = 0;
        let mut result = Ok(());
        while !matches!(self.state, State::Data | State::Trailers | State::Done | State::Failed(_))
            && let Some(byte) = buffer.get(taken)
        {
            match self.byte(*byte) {
                Ok(state) => self.state = state,
                Err(fault) => {
                    result = Err(fault);
                    break;
                }
            }
            taken += 1;
        }
        buffer.advance(taken);
        result
    }

    fn byte(&mut self, byte: u8) -> Result<State, Fault> {
        Ok(match (self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.digit(byte)?,
            (State::Size | State::SizeBlank, b';') if self.digits > 0 => self.extension(byte)?,
            (State::Size | State::SizeBlank, b' ' | b'\t') if self.digits > 0 => {
                self.extension(byte)?;
                State::SizeBlank
            }
            (State::Size, b'\r') if self.digits > 0 => State::SizeLf,
            // Old servers pad the size with spaces. Nobody can read that in another way.
            (State::SizeBlank | State::Extension, b'\r') => State::SizeLf,
            (State::Extension, _) => self.extension(byte)?,
            (State::SizeLf, b'\n') if self.size == 0 => State::Trailers,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                self.digits = 0;
                State::Size
            }
            (State::DataCr | State::DataLf, _) => return Err(Fault::ChunkEnd),
            (State::Size, b'\n') if self.digits > 0 => return Err(Fault::BareLf),
            _ => return Err(Fault::ChunkSize),
        })
    }

    fn digit(&mut self, byte: u8) -> Result<State, Fault> {
        if self.digits == SIZE_DIGITS_MAX {
            return Err(Fault::ChunkSize);
        }
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            _ => (byte | 0x20) - b'a' + 10,
        };
        self.size = (self.size << 4) | u64::from(value);
        self.digits += 1;
        Ok(State::Size)
    }

    fn extension(&mut self, byte: u8) -> Result<State, Fault> {
        let control = (byte < 0x20 && byte != b'\t') || byte == 0x7f;
        if byte == b'\n' {
            return Err(Fault::BareLf);
        }
        if control || self.extension_bytes == EXTENSION_BYTES_MAX {
            return Err(Fault::ChunkExtension);
        }
        self.extension_bytes += 1;
        Ok(State::Extension)
    }

    fn trailers(&mut self, buffer: &mut BytesMut) -> Result<Chunk, Fault> {
        let Some(len) = self.trailers.find(buffer) else {
            if buffer.len() > TRAILER_BYTES_MAX {
                return Err(Fault::TrailersTooLarge);
            }
            return Ok(Chunk::More);
        };
        if len > TRAILER_BYTES_MAX {
            return Err(Fault::TrailersTooLarge);
        }
        let fields = parse_trailers(&buffer[..len])?;
        buffer.advance(len);
        self.state = State::Done;
        Ok(if fields.is_empty() { Chunk::End } else { Chunk::Trailers(fields) })
    }
}

fn parse_trailers(section: &[u8]) -> Result<HeaderMap, Fault> {
    check_line_ends(section)?;
    let mut fields = [httparse::EMPTY_HEADER; LINES_MAX];
    let lines = match httparse::parse_headers(section, &mut fields) {
        Ok(httparse::Status::Complete((_, lines))) => lines,
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::TooManyHeaders),
        Ok(httparse::Status::Partial) | Err(_) => return Err(Fault::Trailer),
    };
    let mut map = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| Fault::Trailer)?;
        let value = HeaderValue::from_bytes(line.value).map_err(|_| Fault::Trailer)?;
        // RFC 9110 section 6.5.1.
        if matches!(name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::HOST) {
            return Err(Fault::Trailer);
        }
        map.append(name, value);
    }
    Ok(map)
}

#[cfg(test)]
#[path = "chunks_tests.rs"]
mod tests;
