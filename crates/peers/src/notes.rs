//! A batch of notes: each behind its length, a big-endian `u32`.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// A batch ends when it has this many bytes.
pub(crate) const BATCH_BYTES: usize = 1 << 20;

/// Most notes of a batch.
pub(crate) const BATCH_NOTES: usize = 256;

/// Largest batch that is read: the note that ends it may be as long as `ha.peer_channel.max_note_bytes` can be.
pub(crate) const BATCH_BYTES_MAX: usize = BATCH_BYTES + (1 << 20) + 4 * BATCH_NOTES;

#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: BytesMut,
    count: usize,
}

impl Batch {
    /// Adds a note; `false` = the batch is full now.
    pub(crate) fn push(&mut self, note: &Bytes) -> bool {
        // A note has at most 1 MiB: `max_note_bytes`.
        self.bytes.put_u32(note.len() as u32);
        self.bytes.extend_from_slice(note);
        self.count += 1;
        self.count < BATCH_NOTES && self.bytes.len() < BATCH_BYTES
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes.freeze()
    }
}

/// The notes of a batch. All or nothing: `None` = it is not one.
pub(crate) fn parse(mut batch: Bytes) -> Option<Vec<Bytes>> {
    let mut notes = Vec::new();
    while !batch.is_empty() {
        if notes.len() == BATCH_NOTES || batch.len() < 4 {
            return None;
        }
        let len = usize::try_from(batch.get_u32()).ok()?;
        if len > batch.len() {
            return None;
        }
        notes.push(batch.split_to(len));
    }
    Some(notes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn notes_come_out_as_they_went_in(notes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20)) {
            let mut batch = Batch::default();
            for note in &notes {
                prop_assert!(batch.push(&Bytes::copy_from_slice(note)));
            }
            let parsed = parse(batch.into_bytes()).unwrap();
            prop_assert_eq!(parsed.iter().map(|note| note.to_vec()).collect::<Vec<_>>(), notes);
        }

        #[test]
        fn a_batch_that_is_cut_gives_no_note(notes in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 1..8), cut in 1usize..40) {
            let mut batch = Batch::default();
            for note in &notes {
                batch.push(&Bytes::copy_from_slice(note));
            }
            let bytes = batch.into_bytes();
            let whole = parse(bytes.clone()).unwrap();
            let rest = parse(bytes.slice(..bytes.len().saturating_sub(cut)));
            // Cut between two notes it is a shorter batch: the channel says where a body ends.
            prop_assert!(rest.is_none_or(|rest| rest.len() < whole.len() && whole.starts_with(&rest)));
        }
    }

    #[test]
    fn a_batch_ends_before_its_reader_refuses_it() {
        let note = Bytes::from(vec![0; 1 << 20]);
        let mut batch = Batch::default();
        assert!(!batch.push(&note));
        let mut small = Batch::default();
        for _ in 0..BATCH_NOTES - 1 {
            assert!(small.push(&Bytes::from(vec![0; 4000])));
        }
        assert!(!small.push(&note));
        assert!(batch.into_bytes().len().max(small.into_bytes().len()) <= BATCH_BYTES_MAX);
        assert_eq!(parse(Bytes::from(vec![0; 4 * (BATCH_NOTES + 1)])), None);
    }
}
