//! A re-binding as the shared journal keeps it. Not a token: no client carries it, and the store seals it.

use super::EndpointTag;
use super::codec::{Reader, Writer};

const LAYOUT: u8 = 1;

/// Where a session lives since it moved. Its epoch stands beside it in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingRecord {
    /// The endpoint; None when any will do.
    pub endpoint: Option<EndpointTag>,
    /// The server's own id for the session; None when it gave none.
    pub upstream_session: Option<String>,
}

impl BindingRecord {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        Writer::new(LAYOUT)
            .option(self.endpoint.as_ref().map(|tag| tag.0.as_slice()))
            .option(self.upstream_session.as_deref().map(str::as_bytes))
            .finish()
    }

    /// None for anything that [`encode`](Self::encode) cannot have made. Never panics.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes, LAYOUT)?;
        let endpoint = match reader.option()? {
            Some(tag) => Some(EndpointTag(tag.try_into().ok()?)),
            None => None,
        };
        let upstream_session = match reader.option()? {
            Some(bytes) => Some(Reader::text(bytes)?),
            None => None,
        };
        reader.end()?;
        Some(Self { endpoint, upstream_session })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_reads_as_it_was_written(tag in proptest::option::of(any::<[u8; 16]>()), id in proptest::option::of(".{0,80}")) {
            let record = BindingRecord { endpoint: tag.map(EndpointTag), upstream_session: id };
            prop_assert_eq!(BindingRecord::decode(&record.encode()), Some(record));
        }

        #[test]
        fn nonsense_is_no_record(bytes in any::<Vec<u8>>()) {
            if let Some(record) = BindingRecord::decode(&bytes) {
                prop_assert_eq!(record.encode(), bytes);
            }
        }
    }
}
