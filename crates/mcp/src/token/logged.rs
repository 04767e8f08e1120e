//! What the shared log keeps of an event stream. Not tokens: no client carries them, and the store seals them.

use super::codec::{Reader, Writer};
use crate::ids::Epoch;
use bytes::Bytes;

const LAYOUT: u8 = 1;

/// What whoever goes on with a stream needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecord {
    /// The binding its events come over.
    pub epoch: Epoch,
    /// Raw id of the request whose answer ends it; None on a stream without one.
    pub awaiting: Option<Bytes>,
}

/// One event, as it was written to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEvent {
    /// The server's own id of this event, or of the last one before it that had one.
    pub upstream: Option<Bytes>,
    /// Whether nothing follows: it is the answer that was waited for.
    pub ends: bool,
    /// The event.
    pub event: Bytes,
}

impl StreamRecord {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        Writer::new(LAYOUT).fixed(&self.epoch.0.to_be_bytes()).option(self.awaiting.as_deref()).finish()
    }

    /// None for anything that [`encode`](Self::encode) cannot have made. Never panics.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes, LAYOUT)?;
        let epoch = Epoch(u32::from_be_bytes(reader.fixed()?));
        let awaiting = reader.option()?.map(Bytes::copy_from_slice);
        reader.end()?;
        Some(Self { epoch, awaiting })
    }
}

impl LoggedEvent {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        Writer::new(LAYOUT)
            .option(self.upstream.as_deref())
            .fixed(&[u8::from(self.ends)])
            .bytes(&self.event)
            .finish()
    }

    /// None for anything that [`encode`](Self::encode) cannot have made. Never panics.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes, LAYOUT)?;
        let upstream = reader.option()?.map(Bytes::copy_from_slice);
        let ends = match reader.fixed()? {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        let event = Bytes::copy_from_slice(reader.bytes()?);
        reader.end()?;
        Some(Self { upstream, ends, event })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_read_as_they_were_written(epoch: u32, id in proptest::option::of("[ -~]{0,40}"), ends: bool, event in ".{0,80}") {
            let id = id.map(Bytes::from);
            let record = StreamRecord { epoch: Epoch(epoch), awaiting: id.clone() };
            prop_assert_eq!(StreamRecord::decode(&record.encode()), Some(record));
            let logged = LoggedEvent { upstream: id, ends, event: event.into() };
            prop_assert_eq!(LoggedEvent::decode(&logged.encode()), Some(logged));
        }

        #[test]
        fn nonsense_is_no_record(bytes in any::<Vec<u8>>()) {
            if let Some(record) = StreamRecord::decode(&bytes) {
                prop_assert_eq!(record.encode(), bytes.clone());
            }
            if let Some(logged) = LoggedEvent::decode(&bytes) {
                prop_assert_eq!(logged.encode(), bytes);
            }
        }
    }
}
