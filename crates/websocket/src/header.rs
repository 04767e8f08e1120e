//! The header of a frame (RFC 6455 section 5.2): 2 to 14 bytes.

use crate::{Fault, MaskKey};

/// Longest payload of a control frame (section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;
/// Longest header: 2 bytes, 8 of length, 4 of mask.
pub(crate) const HEADER_BYTES_MAX: usize = 14;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;
/// Lengths that say: the length is in the next two, or eight, bytes.
const LENGTH_IN_2: u8 = 126;
const LENGTH_IN_8: u8 = 127;

/// Which end of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We accepted: what comes in is masked, what goes out is not.
    Server,
    /// We called: the other way round.
    Client,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn read(byte: u8) -> Option<Self> {
        Some(match byte & OPCODE {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    pub(crate) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// One header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    pub(crate) opcode: Opcode,
    pub(crate) mask: Option<MaskKey>,
    pub(crate) len: u64,
}

impl Header {
    /// Reads a header, as `role`, from the beginning of `bytes`, and how many bytes it has. `None`: it is not all there yet. What is
    /// wrong is found at the first byte that shows it.
    pub(crate) fn parse(bytes: &[u8], role: Role) -> Result<Option<(Self, usize)>, Fault> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        if first & RESERVED != 0 {
            return Err(Fault::ReservedBits);
        }
        let opcode = Opcode::read(first).ok_or(Fault::ReservedOpcode)?;
        let fin = first & FIN != 0;
        if opcode.is_control() && !fin {
            return Err(Fault::FragmentedControl);
        }
        let Some(&second) = bytes.get(1) else { return Ok(None) };
        let masked = second & MASKED != 0;
        match role {
            Role::Server if !masked => return Err(Fault::Unmasked),
            Role::Client if masked => return Err(Fault::Masked),
            Role::Server | Role::Client => {}
        }
        let short = second & LENGTH;
        if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
            return Err(Fault::LongControl);
        }
        let Some((len, length_bytes)) = length(short, &bytes[2..])? else { return Ok(None) };
        let mut end = 2 + length_bytes;
        let mut mask = None;
        if masked {
            let Some(key) = bytes[end..].first_chunk() else { return Ok(None) };
            mask = Some(*key);
            end += key.len();
        }
        Ok(Some((Self { fin, opcode, mask, len }, end)))
    }

    /// The bytes of the header, and how many of them count.
    pub(crate) fn bytes(&self) -> ([u8; HEADER_BYTES_MAX], usize) {
        let mut bytes = [0; HEADER_BYTES_MAX];
        bytes[0] = self.opcode.bits() | if self.fin { FIN } else { 0 };
        let mut end = 2;
        // Section 5.2: the minimal number of bytes.
        bytes[1] = match (u8::try_from(self.len), u16::try_from(self.len)) {
            (Ok(len), _) if len < LENGTH_IN_2 => len,
            (_, Ok(len)) => {
                bytes[2..4].copy_from_slice(&len.to_be_bytes());
                end += 2;
                LENGTH_IN_2
            }
            _ => {
                bytes[2..10].copy_from_slice(&self.len.to_be_bytes());
                end += 8;
                LENGTH_IN_8
            }
        };
        if let Some(key) = self.mask {
            bytes[1] |= MASKED;
            bytes[end..end + key.len()].copy_from_slice(&key);
            end += key.len();
        }
        (bytes, end)
    }
}

/// The length of the payload, and how many bytes behind the second hold it.
fn length(short: u8, rest: &[u8]) -> Result<Option<(u64, usize)>, Fault> {
    let (len, bytes, least) = match short {
        LENGTH_IN_2 => match rest.first_chunk() {
            Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 2, u64::from(LENGTH_IN_2)),
            None => return Ok(None),
        },
        LENGTH_IN_8 => match rest.first_chunk() {
            Some(bytes) => (u64::from_be_bytes(*bytes), 8, 1 << 16),
            None => return Ok(None),
        },
        short => (u64::from(short), 0, 0),
    };
    if len < least {
        return Err(Fault::LengthNotMinimal);
    }
    if len >> 63 != 0 {
        return Err(Fault::LengthTooLarge);
    }
    Ok(Some((len, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn server(bytes: &[u8]) -> Result<Option<(Header, usize)>, Fault> {
        Header::parse(bytes, Role::Server)
    }

    #[test]
    fn what_is_wrong_is_known_at_the_first_byte_that_shows_it() {
        let cases: [(&[u8], Fault); 12] = [
            (b"\xc1", Fault::ReservedBits),
            (b"\xa1", Fault::ReservedBits),
            (b"\x91", Fault::ReservedBits),
            (b"\x83", Fault::ReservedOpcode),
            (b"\x8b", Fault::ReservedOpcode),
            (b"\x09", Fault::FragmentedControl),
            (b"\x08", Fault::FragmentedControl),
            (b"\x81\x05", Fault::Unmasked),
            (b"\x89\xfe", Fault::LongControl),
            (b"\x82\xfe\x00\x7d", Fault::LengthNotMinimal),
            (b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff", Fault::LengthNotMinimal),
            (b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00", Fault::LengthTooLarge),
        ];
        for (bytes, fault) in cases {
            assert_eq!(server(bytes), Err(fault), "{bytes:02x?}");
            assert_eq!(server(&bytes[..bytes.len() - 1]), Ok(None), "{bytes:02x?}");
        }
        assert_eq!(Header::parse(b"\x81\x85", Role::Client), Err(Fault::Masked));
    }

    #[test]
    fn every_reserved_opcode_is_refused() {
        for opcode in (3..8).chain(11..16) {
            assert_eq!(server(&[0x80 | opcode]), Err(Fault::ReservedOpcode), "{opcode}");
        }
    }

    fn any_header() -> impl Strategy<Value = Header> {
        let opcode = prop::sample::select(vec![
            Opcode::Continuation,
            Opcode::Text,
            Opcode::Binary,
            Opcode::Close,
            Opcode::Ping,
            Opcode::Pong,
        ]);
        let len = prop_oneof![0..130u64, 60_000..70_000u64, 0..1u64 << 63];
        (any::<bool>(), opcode, any::<Option<MaskKey>>(), len).prop_map(|(fin, opcode, mask, len)| {
            let control = opcode.is_control();
            Header { fin: fin || control, opcode, mask, len: if control { len % 126 } else { len } }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_no_prefix_of_it(header in any_header()) {
            let role = if header.mask.is_some() { Role::Server } else { Role::Client };
            let (bytes, end) = header.bytes();
            prop_assert_eq!(Header::parse(&bytes[..end], role), Ok(Some((header, end))));
            for cut in 0..end {
                prop_assert_eq!(Header::parse(&bytes[..cut], role), Ok(None));
            }
        }
    }
}
