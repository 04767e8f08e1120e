//! Where WebSocket frames begin (RFC 6455 section 5.2): just enough to end a tunnel between two of them.

/// Bytes of the longest frame header: 2, 8 of length, 4 of mask.
const MAX_HEADER: usize = 14;
/// Close codes (RFC 6455 section 7.4.1 and its registry).
pub(crate) const SERVICE_RESTART: u16 = 1012;
pub(crate) const GOING_AWAY: u16 = 1001;

/// Follows one direction.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    header: [u8; MAX_HEADER],
    have: usize,
    payload: u64,
}

impl Frames {
    /// Whether the next byte begins a frame.
    pub(crate) fn at_boundary(&self) -> bool {
        self.have == 0 && self.payload == 0
    }

    /// Takes bytes up to the next end of a frame, at most all of them, and returns how many.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            if self.payload > 0 {
                let left = (bytes.len() - taken) as u64;
                let step = left.min(self.payload);
                self.payload -= step;
                taken += step as usize;
            } else if let (Some(byte), Some(slot)) = (bytes.get(taken), self.header.get_mut(self.have)) {
                *slot = *byte;
                self.have += 1;
                taken += 1;
                if self.have == self.header_len() {
                    self.payload = self.payload_len();
                    self.have = 0;
                }
            }
            if self.at_boundary() {
                break;
            }
        }
        taken
    }

    /// Bytes of the header that is being read: known after two of them.
    fn header_len(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let length = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if self.header[1] & 0x80 == 0 { 0 } else { 4 }
    }

    fn payload_len(&self) -> u64 {
        let extended =
            |n: usize| self.header[2..2 + n].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        match self.header[1] & 0x7f {
            126 => extended(2),
            127 => extended(8),
            short => u64::from(short),
        }
    }
}

/// A close frame. What goes to a server is masked (RFC 6455 section 5.3).
pub(crate) fn close(code: u16, mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut frame = vec![0x88, 2 | if mask.is_some() { 0x80 } else { 0 }];
    let mask_bytes = mask.unwrap_or_default();
    frame.extend(mask.into_iter().flatten());
    frame.extend(code.to_be_bytes().iter().zip(mask_bytes).map(|(byte, mask)| byte ^ mask));
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(length: usize, masked: bool) -> Vec<u8> {
        let mask_bit = if masked { 0x80 } else { 0 };
        let mut out = vec![0x82];
        match length {
            0..=125 => out.push(length as u8 | mask_bit),
            126..=65535 => {
                out.push(0x7e | mask_bit);
                out.extend((length as u16).to_be_bytes());
            }
            _ => {
                out.push(0x7f | mask_bit);
                out.extend((length as u64).to_be_bytes());
            }
        }
        if masked {
            out.extend([1, 2, 3, 4]);
        }
        out.extend(std::iter::repeat_n(0xff, length));
        out
    }

    proptest! {
        #[test]
        fn boundaries_are_found_however_the_bytes_are_cut(
            frames in prop::collection::vec((prop_oneof![0usize..300, Just(65_535), Just(65_536), Just(70_000)], any::<bool>()), 1..6),
            cuts in prop::collection::vec(1usize..4000, 1..40),
        ) {
            let mut bytes = Vec::new();
            let mut ends = Vec::new();
            for (length, masked) in &frames {
                bytes.extend(frame(*length, *masked));
                ends.push(bytes.len());
            }
            let (mut tracker, mut at, mut found, mut cut) = (Frames::default(), 0, Vec::new(), 0);
            while at < bytes.len() {
                let end = (at + cuts[cut % cuts.len()]).min(bytes.len());
                cut += 1;
                let taken = tracker.advance(&bytes[at..end]);
                prop_assert!(taken > 0);
                at += taken;
                if tracker.at_boundary() {
                    found.push(at);
                }
            }
            prop_assert_eq!(found, ends);
        }

        #[test]
        fn any_bytes_are_taken_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut tracker = Frames::default();
            let mut at = 0;
            while at < bytes.len() {
                at += tracker.advance(&bytes[at..]).max(1);
            }
        }
    }

    #[test]
    fn close_frames_are_those_of_the_rfc() {
        assert_eq!(close(SERVICE_RESTART, None), [0x88, 0x02, 0x03, 0xf4]);
        let masked = close(GOING_AWAY, Some([1, 2, 3, 4]));
        assert_eq!(masked, [0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xe9 ^ 2]);
        let mut tracker = Frames::default();
        assert_eq!(tracker.advance(&masked), masked.len());
        assert!(tracker.at_boundary());
    }
}
