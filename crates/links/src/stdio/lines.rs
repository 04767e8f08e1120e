//! Messages on lines: MCP's framing of standard input and output, without I/O.

use bytes::Bytes;
use std::collections::VecDeque;

/// A line that is not whole yet is kept in pieces of at most this many bytes, so that what is held of it is never copied to grow.
const PIECE: usize = 1 << 20;

/// A line above the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Cuts what comes into lines. Holds at most the longest line that is allowed, and what was read with it.
#[derive(Debug)]
pub(crate) struct Lines {
    max: usize,
    /// The beginning of a line whose end has not come.
    pieces: Vec<Vec<u8>>,
    length: usize,
    whole: VecDeque<Bytes>,
    too_long: bool,
}

impl Lines {
    /// No line longer than `max`.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, pieces: Vec::new(), length: 0, whole: VecDeque::new(), too_long: false }
    }

    /// Takes what was read. A line that gets too long is not kept, nor is anything behind it.
    pub(crate) fn push(&mut self, mut data: &[u8]) {
        while !self.too_long {
            let end = data.iter().position(|byte| *byte == b'\n');
            let more = &data[..end.unwrap_or(data.len())];
            if self.length + more.len() > self.max {
                (self.too_long, self.pieces, self.length) = (true, Vec::new(), 0);
                return;
            }
            let Some(end) = end else { return self.keep(more) };
            let line = self.finish(more);
            if !line.is_empty() {
                self.whole.push_back(line);
            }
            data = &data[end + 1..];
        }
    }

    /// The next line that is not blank, without its end. (stdio, "Messages are delimited by newlines"; a CR before it is white space.)
    pub(crate) fn next(&mut self) -> Option<Result<Bytes, TooLong>> {
        self.whole.pop_front().map(Ok).or_else(|| self.too_long.then_some(Err(TooLong)))
    }

    /// Whether a line has begun whose end has not come.
    pub(crate) fn is_within_a_line(&self) -> bool {
        self.length > 0
    }

    fn keep(&mut self, data: &[u8]) {
        self.length += data.len();
        match self.pieces.last_mut().filter(|piece| piece.len() + data.len() <= PIECE) {
            Some(piece) => piece.extend_from_slice(data),
            None if data.is_empty() => {}
            None => self.pieces.push(data.to_vec()),
        }
    }

    fn finish(&mut self, last: &[u8]) -> Bytes {
        if self.pieces.is_empty() {
            return Bytes::copy_from_slice(last.trim_ascii());
        }
        let mut line = Vec::with_capacity(self.length + last.len());
        // Each piece is given back as soon as it is copied.
        for piece in std::mem::take(&mut self.pieces) {
            line.extend_from_slice(&piece);
        }
        line.extend_from_slice(last);
        self.length = 0;
        let before = line.len() - line.trim_ascii_start().len();
        line.truncate(line.trim_ascii_end().len().max(before));
        Bytes::from(line).slice(before..)
    }

    #[cfg(test)]
    fn held(&self) -> usize {
        self.pieces.iter().map(Vec::capacity).sum()
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
                lines.push(now);
                got.extend(drain(&mut lines));
                rest = later;
            }
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn a_line_beyond_the_limit_is_never_held() {
        let mut lines = Lines::new(10 << 20);
        let piece = vec![b'x'; 64 << 10];
        let mut most = 0;
        let read = (0..10_000).position(|_| {
            lines.push(&piece);
            most = most.max(lines.held());
            lines.next().is_some()
        });
        assert_eq!(read, Some(160), "the piece that is one too many");
        assert!(most <= 12 << 20, "{most}");
        assert_eq!(lines.held(), 0);
    }

    #[test]
    fn what_came_before_a_line_that_is_too_long_is_given_out() {
        let mut lines = Lines::new(3);
        lines.push(b"ab\ncdef\nx\n");
        assert_eq!(lines.next(), Some(Ok(Bytes::from_static(b"ab"))));
        assert_eq!((lines.next(), lines.next()), (Some(Err(TooLong)), Some(Err(TooLong))));
    }

    #[test]
    fn a_line_of_many_pieces_is_whole() {
        let mut lines = Lines::new(8 << 20);
        let text: Vec<u8> = (0..5 << 20).map(|n| b'a' + (n % 23) as u8).collect();
        for piece in text.chunks(60_000) {
            lines.push(piece);
            assert!(lines.is_within_a_line());
        }
        lines.push(b" \r\n");
        assert_eq!(lines.next(), Some(Ok(Bytes::from(text))));
        assert!(lines.held() == 0 && !lines.is_within_a_line());
    }
}
