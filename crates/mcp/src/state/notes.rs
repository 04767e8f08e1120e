//! What replicas tell each other of sessions over the peer channel: at most once, and nobody waits for it.

use crate::{
    ids::Epoch,
    token::{BindingRecord, SessionUid},
};
use bytes::Bytes;
use std::time::Duration;

const LAYOUT: u8 = 1;
const ENDED: u8 = 1;
const MOVED: u8 = 2;
const USED: u8 = 3;
const UID_BYTES: usize = 16;
/// Of one use: session, and 8 bytes of milliseconds each.
const USE_BYTES: usize = UID_BYTES + 16;
/// Uses of one note: about 1 KiB.
pub(crate) const USES_MAX: usize = 32;

/// One note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// The session ended; its token expires then (seconds since 1970).
    Ended { session: SessionUid, expires: u64 },
    /// The session lives there, under this epoch.
    Moved { session: SessionUid, epoch: Epoch, binding: BindingRecord },
    /// Sessions were used, at most [`USES_MAX`]. Only replicas without a shared store say so.
    Used(Vec<Used>),
}

/// A session was used. Spans of time, not times: clocks differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) session: SessionUid,
    /// How long ago.
    pub(crate) idle: Duration,
    /// When it ends if it is not used again.
    pub(crate) due: Duration,
}

impl Note {
    /// As bytes: layout, kind, session, then 8 bytes of expiry, or 4 of epoch and the record. Uses: layout, kind, then each as session and
    /// twice 8 bytes of milliseconds.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = vec![LAYOUT];
        match self {
            Self::Ended { session, expires } => {
                out.push(ENDED);
                out.extend_from_slice(&session.0);
                out.extend_from_slice(&expires.to_be_bytes());
            }
            Self::Moved { session, epoch, binding } => {
                out.push(MOVED);
                out.extend_from_slice(&session.0);
                out.extend_from_slice(&epoch.0.to_be_bytes());
                out.extend_from_slice(&binding.encode());
            }
            Self::Used(uses) => {
                out.push(USED);
                for used in uses {
                    out.extend_from_slice(&used.session.0);
                    out.extend_from_slice(&millis(used.idle));
                    out.extend_from_slice(&millis(used.due));
                }
            }
        }
        out.into()
    }

    /// None for anything that [`encode`](Self::encode) cannot have made. Never panics.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let [LAYOUT, kind, rest @ ..] = bytes else { return None };
        if *kind == USED {
            return uses(rest).map(Self::Used);
        }
        let (session, rest) = rest.split_first_chunk::<UID_BYTES>()?;
        let session = SessionUid(*session);
        match *kind {
            ENDED => Some(Self::Ended { session, expires: u64::from_be_bytes(rest.try_into().ok()?) }),
            MOVED => {
                let (epoch, record) = rest.split_first_chunk::<4>()?;
                let epoch = Epoch(u32::from_be_bytes(*epoch));
                Some(Self::Moved { session, epoch, binding: BindingRecord::decode(record)? })
            }
            _ => None,
        }
    }
}

fn millis(span: Duration) -> [u8; 8] {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).to_be_bytes()
}

fn uses(bytes: &[u8]) -> Option<Vec<Used>> {
    let (chunks, rest) = bytes.as_chunks::<USE_BYTES>();
    let fits = rest.is_empty() && (1..=USES_MAX).contains(&chunks.len());
    let read = |chunk: &[u8; USE_BYTES]| {
        let (session, rest) = chunk.split_first_chunk::<UID_BYTES>()?;
        let (idle, due) = rest.split_first_chunk::<8>()?;
        let span = |millis: [u8; 8]| Duration::from_millis(u64::from_be_bytes(millis));
        Some(Used { session: SessionUid(*session), idle: span(*idle), due: span(due.try_into().ok()?) })
    };
    if fits { chunks.iter().map(read).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::EndpointTag;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_note_reads_as_it_was_written(uid: [u8; 16], expires: u64, epoch: u32, tag: [u8; 16], id in ".{0,60}") {
            let session = SessionUid(uid);
            let binding = BindingRecord { endpoint: Some(EndpointTag(tag)), upstream_session: Some(id) };
            let used = Used { session, idle: Duration::from_millis(expires), due: Duration::from_millis(epoch.into()) };
            let moved = Note::Moved { session, epoch: Epoch(epoch), binding };
            for note in [Note::Ended { session, expires }, moved, Note::Used(vec![used; 1 + usize::from(uid[0]) % USES_MAX])] {
                prop_assert_eq!(Note::decode(&note.encode()), Some(note));
            }
        }

        #[test]
        fn nonsense_is_no_note(bytes in any::<Vec<u8>>()) {
            for kind in [ENDED, MOVED, USED] {
                let text = [&[LAYOUT, kind], &*bytes].concat();
                if let Some(note) = Note::decode(&text) {
                    prop_assert_eq!(note.encode(), text);
                }
            }
        }
    }
}
