//! Digits and addresses as text, without a formatter: tables that are made when the program is built.

use std::{io::Write as _, net::IpAddr};

/// The two lower-case hexadecimal digits of every byte.
const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < pairs.len() {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
};

/// The decimal digits of every byte, and in the last place how many there are.
const DECIMAL: [[u8; 4]; 256] = {
    let mut octets = [[0; 4]; 256];
    let mut byte = 0;
    while byte < octets.len() {
        let (hundreds, tens, ones) = (byte / 100, byte / 10 % 10, byte % 10);
        let (h, t, o) = (b'0' + hundreds as u8, b'0' + tens as u8, b'0' + ones as u8);
        octets[byte] = match byte {
            0..10 => [o, 0, 0, 1],
            10..100 => [t, o, 0, 2],
            _ => [h, t, o, 3],
        };
        byte += 1;
    }
    octets
};

/// Bytes of the longest IPv4 address, and room for the unused digits of its last octet.
const IPV4_BYTES: usize = 15 + 2;

/// Writes `bytes` as lower-case hexadecimal digits; `out` is twice as long.
#[inline]
pub fn write_hex(bytes: &[u8], out: &mut [u8]) {
    for (byte, pair) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        pair.copy_from_slice(&HEX[usize::from(*byte)]);
    }
}

/// Appends an address as it is written everywhere: dotted, or as RFC 5952 has it.
pub fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            let mut text = [0; IPV4_BYTES];
            let mut end = 0;
            for octet in v4.octets() {
                let [a, b, c, length] = DECIMAL[usize::from(octet)];
                // Three digits always; what is too much is written over.
                text[end..end + 3].copy_from_slice(&[a, b, c]);
                end += usize::from(length);
                text[end] = b'.';
                end += 1;
            }
            out.extend_from_slice(&text[..end - 1]);
        }
        // Writing into a Vec cannot fail.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

/// The last three decimal digits of `n`.
#[inline]
pub(crate) fn three(n: u32) -> [u8; 3] {
    [digit(n / 100), digit(n / 10), digit(n)]
}

/// The last decimal digit of `n`.
#[inline]
pub(crate) fn digit(n: u32) -> u8 {
    b'0' + (n % 10) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_octet_in_every_place_is_written_as_the_standard_library_does() {
        for n in 0..=255u8 {
            let at = |place: usize, rest: u8| {
                let mut octets = [rest; 4];
                octets[place] = n;
                IpAddr::from(octets)
            };
            for address in (0..4).flat_map(|place| [at(place, 0), at(place, 255)]) {
                let mut out = b"x".to_vec();
                push_address(&mut out, address);
                assert_eq!(String::from_utf8(out).unwrap(), format!("x{address}"));
            }
        }
    }

    proptest! {
        #[test]
        fn addresses_and_bytes_are_written_as_a_formatter_would(ip: IpAddr, bytes: [u8; 16]) {
            let mut out = Vec::new();
            push_address(&mut out, ip);
            prop_assert_eq!(String::from_utf8(out).unwrap(), ip.to_string());
            let mut hex = [0; 32];
            write_hex(&bytes, &mut hex);
            prop_assert_eq!(std::str::from_utf8(&hex).unwrap(), format!("{:032x}", u128::from_be_bytes(bytes)));
        }
    }
}
