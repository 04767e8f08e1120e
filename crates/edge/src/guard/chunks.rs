//! Chunked bodies (RFC 9112 section 7.1).

use super::violation::Violation;

/// Bytes of chunk extensions in one body. Nothing here uses them; some attacks live in them.
const MAX_EXTENSION_BYTES: usize = 4096;
/// Digits of a chunk size: 64 bits.
const MAX_SIZE_DIGITS: u8 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    /// White space that only an extension may follow (`BWS`).
    SizeBlank,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Done,
}

/// Scans chunks up to the line of the last one; trailers are not its business.
#[derive(Clone, Debug)]
pub(crate) struct ChunkScan {
    state: State,
    size: u64,
    digits: u8,
    extension_bytes: usize,
}

impl ChunkScan {
    pub(crate) const fn new() -> Self {
        Self { state: State::Size, size: 0, digits: 0, extension_bytes: 0 }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes bytes from the front; returns how many belong to the chunks.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Done {
            if self.state == State::Data {
                let left = bytes.len() - at;
                let taken = usize::try_from(self.size).map_or(left, |size| size.min(left));
                at += taken;
                self.size -= taken as u64;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
                continue;
            }
            self.byte(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    fn byte(&mut self, byte: u8) -> Result<(), Violation> {
        self.state = match (self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => return self.digit(byte),
            (State::Size | State::SizeBlank | State::Extension, b';') if self.digits > 0 => {
                self.extension(byte)?;
                State::Extension
            }
            (State::Size, b' ' | b'\t') if self.digits > 0 => State::SizeBlank,
            (State::SizeBlank, b' ' | b'\t') => {
                self.extension(byte)?;
                State::SizeBlank
            }
            (State::Size, b'\r') if self.digits > 0 => State::SizeLf,
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, _) => {
                self.extension(byte)?;
                State::Extension
            }
            (State::SizeLf, b'\n') if self.size == 0 => State::Done,
            (State::SizeLf, b'\n') => State::Data,
            (State::SizeLf, _) => return Err(Violation::BareCr),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                self.digits = 0;
                State::Size
            }
            (State::DataCr | State::DataLf, _) => return Err(Violation::ChunkEnd),
            (State::Size, b'\n') => return Err(Violation::BareLf),
            (State::Size | State::SizeBlank | State::Data | State::Done, _) => {
                return Err(Violation::ChunkSize);
            }
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<(), Violation> {
        if self.digits == MAX_SIZE_DIGITS {
            return Err(Violation::ChunkSize);
        }
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            _ => (byte | 0x20) - b'a' + 10,
        };
        self.size = (self.size << 4) | u64::from(value);
        self.digits += 1;
        Ok(())
    }

    fn extension(&mut self, byte: u8) -> Result<(), Violation> {
        self.extension_bytes += 1;
        let control = (byte < 0x20 && byte != b'\t') || byte == 0x7f;
        if byte == b'\n' {
            return Err(Violation::BareLf);
        }
        if control || self.extension_bytes > MAX_EXTENSION_BYTES {
            return Err(Violation::ChunkExtension);
        }
        Ok(())
    }
}
