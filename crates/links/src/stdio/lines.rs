//! Messages on lines: MCP's framing of standard input and output, without I/O.

use bytes::Bytes;

/// Bytes to begin with.
const FIRST: usize = 8 * 1024;

/// A line above the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Cuts what comes into lines. Holds at most the longest line that is allowed, and what was read with it.
#[derive(Debug)]
pub(crate) struct Lines {
    max: usize,
    held: Vec<u8>,
    /// Before it there is no end of a line.
    looked: usize,
    /// Lines before it were given out.
    from: usize,
}

impl Lines {
    /// No line longer than `max`.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, held: Vec::new(), looked: 0, from: 0 }
    }

    /// Takes what was read. A line that gets too long is refused before it is copied.
    pub(crate) fn push(&mut self, data: &[u8]) -> Result<(), TooLong> {
        if self.from > 0 {
            self.held.drain(..self.from);
            self.looked -= self.from;
            self.from = 0;
        }
        let begun = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
        if self.held.len() + begun > self.max {
            self.held = Vec::new();
            self.looked = 0;
            return Err(TooLong);
        }
        let needed = self.held.len() + data.len();
        if needed > self.held.capacity() {
            // Twice as much each time, but never more than the longest line and what was read with it.
            let wanted =
                needed.max(FIRST).max(self.held.capacity() * 2).min(self.max + data.len()).max(needed);
            self.held.reserve_exact(wanted - self.held.len());
        }
        self.held.extend_from_slice(data);
        Ok(())
    }

    /// The next line that is not blank, without its end. (stdio, "Messages are delimited by newlines"; a CR before it is white space.)
    pub(crate) fn next(&mut self) -> Option<Result<Bytes, TooLong>> {
        loop {
            let end = self.looked + self.held[self.looked..].iter().position(|byte| *byte == b'\n')?;
            let line = &self.held[self.from..end];
            let line = if line.len() > self.max { Err(TooLong) } else { Ok(line.trim_ascii()) };
            let line = line.map(Bytes::copy_from_slice);
            self.from = end + 1;
            self.looked = self.from;
            if self.from == self.held.len() && self.held.capacity() > FIRST * 16 {
                // What one large message needed is not kept for small ones.
                self.held = Vec::new();
                (self.from, self.looked) = (0, 0);
            }
            if line.as_ref().is_ok_and(Bytes::is_empty) {
                continue;
            }
            return Some(line);
        }
    }

    /// Remembers that the rest has no end of a line. To be called when [`next`](Self::next) gave nothing.
    pub(crate) fn rest(&mut self) {
        self.looked = self.held.len();
    }

    #[cfg(test)]
    fn capacity(&self) -> usize {
        self.held.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drain(lines: &mut Lines) -> Vec<Bytes> {
        let mut all = Vec::new();
        while let Some(line) = lines.next() {
            all.push(line.unwrap());
        }
        lines.rest();
        all
    }

    proptest! {
        #[test]
        fn lines_are_the_same_wherever_they_are_cut(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b' '), Just(b'a')], 0..200),
            cuts in proptest::collection::vec(1usize..20, 1..50),
        ) {
            let mut expected: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
            expected.pop();
            let expected: Vec<&[u8]> = expected.iter().map(|line| line.trim_ascii()).filter(|line| !line.is_empty()).collect();
            let mut lines = Lines::new(1000);
            let (mut got, mut rest, mut cuts) = (Vec::new(), &text[..], cuts.into_iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                lines.push(now).unwrap();
                got.extend(drain(&mut lines));
                rest = later;
            }
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn a_line_beyond_the_limit_is_never_held() {
        let mut lines = Lines::new(100_000);
        let piece = [b'x'; 10_000];
        let mut most = 0;
        let refused = (0..1000).any(|_| {
            let refused = lines.push(&piece).is_err();
            lines.rest();
            most = most.max(lines.capacity());
            refused
        });
        assert!(refused && most <= 110_000, "{most}");
        assert_eq!(lines.capacity(), 0);
    }

    #[test]
    fn a_long_line_that_came_in_one_piece_is_refused_too() {
        let mut lines = Lines::new(3);
        lines.push(b"ab\ncdef\n").unwrap();
        assert_eq!(lines.next(), Some(Ok(Bytes::from_static(b"ab"))));
        assert_eq!(lines.next(), Some(Err(TooLong)));
    }

    #[test]
    fn what_a_large_line_needed_is_given_back() {
        let mut lines = Lines::new(1 << 20);
        lines.push(&vec![b'x'; 1 << 19]).unwrap();
        lines.push(b"\n").unwrap();
        assert_eq!(drain(&mut lines).len(), 1);
        assert_eq!(lines.capacity(), 0);
    }
}
