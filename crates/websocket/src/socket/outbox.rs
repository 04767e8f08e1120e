//! What waits to be sent: whole frames in order, bounded, with a lane for pongs. A decision without I/O.

use crate::Frame;
use std::{collections::VecDeque, io::IoSlice};

/// Pongs that wait at once. Behind them the newest ping takes the place of the one before (RFC 6455 section 5.5.3).
pub const PONGS_MAX: usize = 16;

/// The queue of one side.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    frames: VecDeque<Queued>,
    /// Bytes of the first frame that are out.
    sent: usize,
    /// Memory of all frames here.
    cost: usize,
    /// Answers to pings among the frames.
    pongs: usize,
    /// The answer to the newest ping that found no room.
    newest: Option<Frame>,
}

#[derive(Debug)]
struct Queued {
    frame: Frame,
    /// It answers a ping. A pong that the caller sends by himself is a frame like any other.
    answer: bool,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes that wait, the bookkeeping included.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// Whether a frame of this cost may come in. One always may if nothing waits, however large it is.
    pub(super) fn fits(&self, cost: usize, max: usize) -> bool {
        self.is_empty() || cost <= max.saturating_sub(self.cost)
    }

    pub(super) fn push(&mut self, frame: Frame) {
        self.cost += frame.cost();
        self.frames.push_back(Queued { frame, answer: false });
    }

    /// A pong goes before what waits, behind the frame that has begun and behind older pongs.
    pub(super) fn pong(&mut self, frame: Frame) {
        if self.pongs == PONGS_MAX {
            self.newest = Some(frame);
            return;
        }
        let begun = usize::from(self.sent > 0);
        let older = self.frames.iter().skip(begun).take_while(|queued| queued.answer).count();
        self.cost += frame.cost();
        self.pongs += 1;
        self.frames.insert(begun + older, Queued { frame, answer: true });
    }

    /// Fills `slices` with what is to be written next, and says how many it filled.
    pub(super) fn slices<'o>(&'o self, slices: &mut [IoSlice<'o>]) -> usize {
        let mut skip = self.sent;
        let pieces = self.frames.iter().flat_map(|Queued { frame, .. }| [frame.header(), frame.payload()]);
        let left = pieces.filter_map(|piece| {
            let step = skip.min(piece.len());
            skip -= step;
            (step < piece.len()).then(|| &piece[step..])
        });
        let mut filled = 0;
        for (slot, piece) in slices.iter_mut().zip(left) {
            *slot = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }

    /// `bytes` more are out.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        while let Some(Queued { frame, answer }) = self.frames.front()
            && self.sent >= frame.wire_bytes()
        {
            self.sent -= frame.wire_bytes();
            self.cost -= frame.cost();
            self.pongs -= usize::from(*answer);
            self.frames.pop_front();
        }
        if let Some(newest) = self.newest.take() {
            self.pong(newest);
        }
        if self.is_empty() {
            // An idle connection holds no memory for this.
            self.frames = VecDeque::new();
        }
    }

    /// Nothing of it will ever be sent.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn frame(message: Message) -> Frame {
        Frame::new(message, None).unwrap()
    }

    fn text(text: &str) -> Frame {
        frame(Message::Text(Bytes::copy_from_slice(text.as_bytes())))
    }

    fn pong(number: usize) -> Frame {
        frame(Message::Pong(number.to_string().into()))
    }

    /// Writes everything, at most `step` bytes at once.
    fn drain(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut wire = Vec::new();
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); 4];
            let filled = outbox.slices(&mut slices);
            assert!(filled > 0, "something waits, but nothing is to be written");
            let bytes: Vec<u8> =
                slices[..filled].iter().flat_map(|slice| slice.iter().copied()).take(step).collect();
            wire.extend_from_slice(&bytes);
            outbox.advance(bytes.len());
        }
        assert_eq!((outbox.cost(), outbox.pongs, outbox.sent, outbox.frames.capacity()), (0, 0, 0, 0));
        wire
    }

    #[test]
    fn a_pong_goes_before_what_waits_but_never_into_a_frame() {
        let mut outbox = Outbox::default();
        outbox.push(text("one"));
        outbox.push(text("two"));
        outbox.advance(1);
        outbox.pong(pong(1));
        outbox.pong(pong(2));
        let mut expected = b"\x03one".to_vec();
        expected.extend_from_slice(b"\x8a\x011\x8a\x012\x81\x03two");
        assert_eq!(drain(&mut outbox, 100), expected);
    }

    #[test]
    fn a_pong_of_the_callers_own_waits_in_line() {
        let mut outbox = Outbox::default();
        outbox.push(text("one"));
        outbox.push(pong(1));
        outbox.pong(pong(2));
        assert_eq!(drain(&mut outbox, 3), b"\x8a\x012\x81\x03one\x8a\x011");
    }

    #[test]
    fn the_newest_of_too_many_pings_is_answered() {
        let mut outbox = Outbox::default();
        for number in 0..1000 {
            outbox.pong(pong(number));
        }
        let waiting = outbox.cost();
        assert!(waiting <= PONGS_MAX * (size_of::<Frame>() + 125), "{waiting}");
        let wire = drain(&mut outbox, 7);
        let answers = String::from_utf8_lossy(&wire).matches('\u{fffd}').count();
        assert_eq!(answers, PONGS_MAX + 1);
        assert!(wire.ends_with(b"999"));
    }

    #[test]
    fn one_frame_fits_always_and_more_only_within_the_limit() {
        let mut outbox = Outbox::default();
        assert!(outbox.fits(1 << 30, 100));
        let first = text("first");
        let cost = first.cost();
        outbox.push(first);
        assert!(outbox.fits(10, cost + 10) && !outbox.fits(11, cost + 10) && !outbox.fits(1, cost - 1));
    }

    proptest! {
        #[test]
        fn frames_come_out_whole_and_in_order(lengths in prop::collection::vec(0usize..40, 1..20), step in 1usize..50) {
            let mut outbox = Outbox::default();
            let mut expected = Vec::new();
            for (number, length) in lengths.into_iter().enumerate() {
                let frame = frame(Message::Binary(vec![number as u8; length].into()));
                expected.extend_from_slice(frame.header());
                expected.extend_from_slice(frame.payload());
                outbox.push(frame);
            }
            prop_assert_eq!(drain(&mut outbox, step), expected);
        }
    }
}
