//! What whoever ends a session needs to know, as the store keeps it. Not a token: no client carries it, and a shared store seals it.

use super::EndpointTag;
use super::codec::{Reader, Writer};
use crate::era::Version;
use crate::ids::Epoch;
use holdfast_store::ENTRY_BYTES_MAX;

const LAYOUT: u8 = 1;

/// How to end a session at its server. Where the session has moved since, the journal says so under a later epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndingRecord {
    /// Name of the MCP server in the configuration.
    pub server: String,
    /// Version that the session speaks.
    pub version: Version,
    /// Of this binding.
    pub epoch: Epoch,
    /// The endpoint that holds the session.
    pub endpoint: EndpointTag,
    /// The server's own id for it; None when it gave none: there is nothing to end then.
    pub upstream_session: Option<String>,
    /// When the token expires, in seconds since 1970.
    pub expires: u64,
}

impl EndingRecord {
    /// As bytes; None if they are more than a store takes, because the server's id is that long. Such a session ends without its server.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let bytes = Writer::new(LAYOUT)
            .bytes(self.server.as_bytes())
            .fixed(&[self.version as u8])
            .fixed(&self.epoch.0.to_be_bytes())
            .fixed(&self.endpoint.0)
            .option(self.upstream_session.as_deref().map(str::as_bytes))
            .fixed(&self.expires.to_be_bytes())
            .finish();
        (bytes.len() <= ENTRY_BYTES_MAX).then_some(bytes)
    }

    /// None for anything that [`encode`](Self::encode) cannot have made. Never panics.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return None;
        }
        let mut reader = Reader::new(bytes, LAYOUT)?;
        let record = Self {
            server: Reader::text(reader.bytes()?)?,
            version: Version::from_number(reader.fixed::<1>()?[0])?,
            epoch: Epoch(u32::from_be_bytes(reader.fixed()?)),
            endpoint: EndpointTag(reader.fixed()?),
            upstream_session: match reader.option()? {
                Some(bytes) => Some(Reader::text(bytes)?),
                None => None,
            },
            expires: u64::from_be_bytes(reader.fixed()?),
        };
        reader.end()?;
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_reads_as_it_was_written(
            server in ".{0,60}", epoch: u32, tag: [u8; 16], id in proptest::option::of(".{0,80}"), expires: u64,
        ) {
            let record = EndingRecord {
                server, version: Version::LEGACY[0], epoch: Epoch(epoch), endpoint: EndpointTag(tag), upstream_session: id, expires,
            };
            let bytes = record.encode().unwrap();
            prop_assert_eq!(EndingRecord::decode(&bytes), Some(record));
        }

        #[test]
        fn nonsense_is_no_record(bytes in any::<Vec<u8>>()) {
            if let Some(record) = EndingRecord::decode(&[&[LAYOUT], &*bytes].concat()) {
                prop_assert_eq!(record.encode(), Some([&[LAYOUT], &*bytes].concat()));
            }
        }
    }

    #[test]
    fn what_a_store_does_not_take_is_no_record() {
        let record = EndingRecord {
            server: "s".into(),
            version: Version::LEGACY[0],
            epoch: Epoch(0),
            endpoint: EndpointTag([0; 16]),
            upstream_session: Some("x".repeat(ENTRY_BYTES_MAX)),
            expires: 0,
        };
        assert_eq!(record.encode(), None);
    }
}
