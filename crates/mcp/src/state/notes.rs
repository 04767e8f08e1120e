//! What replicas tell each other of sessions over the peer channel: at most once, and nobody waits for it.

use crate::{
    ids::Epoch,
    token::{BindingRecord, SessionUid},
};
use bytes::Bytes;

const LAYOUT: u8 = 1;
const ENDED: u8 = 1;
const MOVED: u8 = 2;
const UID_BYTES: usize = 16;

/// One note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// The session ended; its token expires then (seconds since 1970).
    Ended { session: SessionUid, expires: u64 },
    /// The session lives there, under this epoch.
    Moved { session: SessionUid, epoch: Epoch, binding: BindingRecord },
}

impl Note {
    /// As bytes: layout, kind, session, then 8 bytes of expiry, or 4 of epoch and the record.
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
        }
        out.into()
    }

    /// None for anything that [`encode`](Self::encode) cannot have made. Never panics.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let [LAYOUT, kind, rest @ ..] = bytes else { return None };
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
            for note in [Note::Ended { session, expires }, Note::Moved { session, epoch: Epoch(epoch), binding }] {
                prop_assert_eq!(Note::decode(&note.encode()), Some(note));
            }
        }

        #[test]
        fn nonsense_is_no_note(bytes in any::<Vec<u8>>()) {
            for kind in [ENDED, MOVED] {
                let text = [&[LAYOUT, kind], &*bytes].concat();
                if let Some(note) = Note::decode(&text) {
                    prop_assert_eq!(note.encode(), text);
                }
            }
        }
    }
}
