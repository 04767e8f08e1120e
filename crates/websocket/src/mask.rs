//! Masking (RFC 6455 section 5.3): every byte that a client sends is XORed with a key of four bytes, new for each frame.

use crate::Error;
use aws_lc_rs::rand;

/// The key of one frame.
pub type MaskKey = [u8; 4];

/// A key that nobody can foresee: "derived from a strong source of entropy" (section 5.3).
pub(crate) fn fresh() -> Result<MaskKey, Error> {
    let mut key = MaskKey::default();
    rand::fill(&mut key).map_err(|_| Error::Random)?;
    Ok(key)
}

/// Masks or unmasks in place. `offset` is how many bytes of the frame's payload came before these.
pub fn apply_mask(bytes: &mut [u8], key: MaskKey, offset: usize) {
    let [a, b, c, d] = rotated(key, offset);
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    // Words are a multiple of the key: the rest begins where the key begins.
    for (byte, key) in rest.iter_mut().zip([a, b, c, d].into_iter().cycle()) {
        *byte ^= key;
    }
}

fn rotated(mut key: MaskKey, offset: usize) -> MaskKey {
    let by = offset % key.len();
    key.rotate_left(by);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(bytes: &mut [u8], key: MaskKey, offset: usize) {
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte ^= key[(offset + at) % 4];
        }
    }

    proptest! {
        #[test]
        fn it_is_the_formula_of_the_standard(mut bytes in prop::collection::vec(any::<u8>(), 0..200), key: MaskKey, offset in 0usize..1000) {
            let mut expected = bytes.clone();
            naive(&mut expected, key, offset);
            apply_mask(&mut bytes, key, offset);
            prop_assert_eq!(bytes, expected);
        }

        #[test]
        fn in_pieces_it_is_the_same(bytes in prop::collection::vec(any::<u8>(), 0..200), key: MaskKey, cut in 0usize..200) {
            let mut whole = bytes.clone();
            apply_mask(&mut whole, key, 0);
            let mut pieces = bytes;
            let cut = cut.min(pieces.len());
            let (head, tail) = pieces.split_at_mut(cut);
            apply_mask(head, key, 0);
            apply_mask(tail, key, cut);
            prop_assert_eq!(pieces, whole);
        }
    }

    #[test]
    fn keys_differ() {
        let keys: std::collections::BTreeSet<MaskKey> = (0..64).map(|_| fresh().unwrap()).collect();
        assert!(keys.len() > 60, "{keys:?}");
    }
}
