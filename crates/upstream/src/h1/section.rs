//! Sections of field lines: where they end, and what no parser of ours lets pass.

use super::fault::Fault;

/// Field lines of one section: as many as hyper takes.
pub(super) const LINES_MAX: usize = 100;

/// Finds the end of a section that comes in pieces; each byte is looked at once.
#[derive(Clone, Debug, Default)]
pub(super) struct EndScan {
    scanned: usize,
    line: usize,
}

impl EndScan {
    /// Whether some bytes were scanned already.
    pub(super) fn has_begun(&self) -> bool {
        self.scanned > 0
    }

    /// The length of the section with its empty line, once that is there. `bytes` always begin at the section's first byte.
    pub(super) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        while let Some(at) = memchr::memchr(b'\n', bytes.get(self.scanned..)?) {
            let lf = self.scanned + at;
            let line = &bytes[self.line..lf];
            self.scanned = lf + 1;
            self.line = lf + 1;
            if matches!(line, [] | [b'\r']) {
                return Some(lf + 1);
            }
        }
        self.scanned = bytes.len();
        None
    }
}

/// RFC 9112 section 2.2 lets a recipient take a bare LF for the end of a line; who comes after us may not, so we do not.
/// A fold without branches, so that it becomes vector code.
#[expect(clippy::needless_bitwise_bool, reason = "a lazy operator would be a branch")]
pub(super) fn check_line_ends(section: &[u8]) -> Result<(), Fault> {
    let Some(rest) = section.get(1..) else { return Ok(()) };
    let bad = rest
        .iter()
        .zip(section)
        .fold(section[0] == b'\n', |bad, (byte, before)| bad | ((*byte == b'\n') & (*before != b'\r')));
    if bad { Err(Fault::BareLf) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_section_ends_with_its_first_empty_line() {
        for (text, end) in [
            ("a\r\n\r\n", Some(5)),
            ("a\r\n\r\nb\r\n\r\n", Some(5)),
            ("a\n\nb", Some(3)),
            ("\r\n", Some(2)),
            ("a\r\n\r", None),
            ("", None),
        ] {
            assert_eq!(EndScan::default().find(text.as_bytes()), end, "{text:?}");
        }
    }

    #[test]
    fn a_bare_lf_is_found_wherever_it_is() {
        for good in ["", "\r\n", "a: b\r\n\r\n", "no line end at all"] {
            assert_eq!(check_line_ends(good.as_bytes()), Ok(()), "{good:?}");
        }
        for bad in ["\n", "a\n", "a\r\n\n", "\r\na\nb\r\n"] {
            assert_eq!(check_line_ends(bad.as_bytes()), Err(Fault::BareLf), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn the_end_does_not_depend_on_the_pieces(text in "[ab\r\n]{0,40}", cuts in prop::collection::vec(0_usize..40, 0..6)) {
            let whole = EndScan::default().find(text.as_bytes());
            let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < text.len()).collect();
            cuts.sort_unstable();
            cuts.push(text.len());
            let mut scan = EndScan::default();
            let found = cuts.into_iter().find_map(|cut| scan.find(&text.as_bytes()[..cut]));
            prop_assert_eq!(found, whole);
        }
    }
}
