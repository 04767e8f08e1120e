//! UTF-8 of a text that comes in pieces: what cannot become valid any more is known at its first bad byte.

/// Bytes of the longest character.
const CHARACTER: usize = 4;

/// Follows one text. A character may be cut anywhere between two pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8 {
    /// The beginning of a character whose rest has not come.
    begun: [u8; CHARACTER - 1],
    len: u8,
}

/// The text is not UTF-8, whatever comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUtf8;

impl Utf8 {
    /// Takes the next piece. After an error the text is lost.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), NotUtf8> {
        if self.len > 0 {
            piece = self.complete(piece)?;
        }
        match str::from_utf8(piece) {
            Ok(_) => Ok(()),
            // An error without a length is a character that may still become one: at most three bytes at the end.
            Err(error) if error.error_len().is_none() => {
                self.begin(&piece[error.valid_up_to()..]);
                Ok(())
            }
            Err(_) => Err(NotUtf8),
        }
    }

    /// Whether the text may end here.
    pub fn is_complete(self) -> bool {
        self.len == 0
    }

    /// Adds bytes to the character that has begun, one at a time, and gives the rest of the piece.
    fn complete<'p>(&mut self, piece: &'p [u8]) -> Result<&'p [u8], NotUtf8> {
        let mut character = [0; CHARACTER];
        let mut len = usize::from(self.len);
        character[..len].copy_from_slice(&self.begun[..len]);
        for (taken, byte) in piece.iter().enumerate() {
            // Four bytes are a character or an error, so a fifth is never added.
            character[len] = *byte;
            len += 1;
            match str::from_utf8(&character[..len]) {
                Ok(_) => {
                    self.len = 0;
                    return Ok(&piece[taken + 1..]);
                }
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(NotUtf8),
            }
        }
        self.begin(&character[..len]);
        Ok(&[])
    }

    fn begin(&mut self, bytes: &[u8]) {
        self.begun[..bytes.len()].copy_from_slice(bytes);
        self.len = bytes.len() as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Pushes the pieces and says whether the whole is text; also where it failed.
    fn judge<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (bool, usize) {
        let mut utf8 = Utf8::default();
        let mut taken = 0;
        for piece in pieces {
            if utf8.push(piece).is_err() {
                return (false, taken);
            }
            taken += piece.len();
        }
        (utf8.is_complete(), taken)
    }

    /// Bytes that often are nearly text.
    fn nearly_text() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => any::<char>().prop_map(|c| c.to_string().into_bytes()),
            2 => "[ -~]{0,20}".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 1..3),
            1 => prop::sample::select(vec![
                b"\xc0\x80".to_vec(), b"\xed\xa0\x80".to_vec(), b"\xf4\x90\x80\x80".to_vec(), b"\xf0\x9f".to_vec(), b"\xff".to_vec(),
            ]),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn however_a_text_is_cut_the_verdict_is_that_of_the_whole(bytes in nearly_text(), cuts in prop::collection::vec(1usize..9, 1..20)) {
            let whole = str::from_utf8(&bytes).is_ok();
            let mut pieces = Vec::new();
            let (mut rest, mut cuts) = (bytes.as_slice(), cuts.into_iter().cycle());
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                pieces.push(piece);
                rest = tail;
            }
            prop_assert_eq!(judge(pieces.into_iter()).0, whole);
            prop_assert_eq!(judge(bytes.chunks(1)).0, whole);
        }

        #[test]
        fn byte_by_byte_it_fails_at_the_first_byte_that_no_text_has_there(bytes in nearly_text()) {
            let failed = match str::from_utf8(&bytes) {
                Ok(_) => return Ok(()),
                Err(error) => (error.valid_up_to(), error.error_len()),
            };
            match failed {
                (_, None) => prop_assert_eq!(judge(bytes.chunks(1)).1, bytes.len()),
                // The bad byte follows the bytes that could still have become a character; a first byte is bad itself.
                (valid, Some(_)) => {
                    let bad = (valid..bytes.len()).find(|end| {
                        str::from_utf8(&bytes[valid..=*end]).is_err_and(|error| error.error_len().is_some())
                    });
                    prop_assert_eq!(Some(judge(bytes.chunks(1)).1), bad);
                }
            }
        }
    }

    #[test]
    fn an_unfinished_character_is_no_error_before_the_end() {
        let mut utf8 = Utf8::default();
        assert!(utf8.push(b"\xf0\x9f").is_ok() && !utf8.is_complete());
        assert!(utf8.push(b"\x98").is_ok() && !utf8.is_complete());
        assert!(utf8.push(b"\x80!").is_ok() && utf8.is_complete());
        assert_eq!(Utf8::default().push(b"\xf4\x90"), Err(NotUtf8));
    }
}
