//! The token of a session at the merged endpoint: one for the client, with what each member's own session would hold.

use super::codec::{Reader, Writer};
use super::{Audience, EndpointTag, SEALED_BYTES_MAX, Sealed, SessionUid, TokenError};
use crate::era::Version;
use crate::seal::{KeyRing, Purpose, Refused};
use aws_lc_rs::digest;
use bytes::Bytes;

/// Not that of a server's own session: neither opens as the other.
const LAYOUT: u8 = 2;

/// Names a member inside a token: the first 8 bytes of the SHA-256 of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberTag(pub [u8; 8]);

impl MemberTag {
    /// The tag of a server's name.
    pub fn of(name: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, name.as_bytes());
        let mut tag = [0; 8];
        tag.copy_from_slice(&hash.as_ref()[..8]);
        Self(tag)
    }
}

/// One member's part of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberPart {
    /// Which member.
    pub member: MemberTag,
    /// The version that it negotiated.
    pub version: Version,
    /// The endpoint that holds the member's session.
    pub endpoint: EndpointTag,
    /// The member's `Mcp-Session-Id`; None when it gave none.
    pub upstream_session: Option<String>,
}

/// A legacy session at the merged endpoint, as its client carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergedToken {
    /// Which session.
    pub uid: SessionUid,
    /// The version that the client negotiated.
    pub version: Version,
    /// Seconds since 1970.
    pub issued: u64,
    /// Seconds since 1970; absolute.
    pub expires: u64,
    /// Raw `params` of `initialize`: members are bound with it when they are first used.
    pub initialize: Bytes,
    /// The members that were bound at once, as many as there is room for.
    pub members: Vec<MemberPart>,
}

/// The id of one member's part of a session: what journal, event logs and last uses know it by.
pub fn member_uid(session: SessionUid, member: &str) -> SessionUid {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&session.0);
    context.update(member.as_bytes());
    let mut uid = [0; 16];
    uid.copy_from_slice(&context.finish().as_ref()[..16]);
    SessionUid(uid)
}

impl MergedToken {
    /// Seals into at most [`SEALED_BYTES_MAX`] bytes. Members that find no room are left out, the last first: they are bound when they
    /// are used. Also says how many are in it.
    pub fn seal(&self, ring: &KeyRing, audience: Audience<'_>) -> Result<(Sealed, usize), TokenError> {
        let room = ring.payload_max(SEALED_BYTES_MAX);
        let mut count = self.members.len();
        let payload = loop {
            let payload = self.encode(count);
            if payload.len() <= room {
                break payload;
            }
            count = count.checked_sub(1).ok_or(TokenError::TooLong)?;
        };
        let token = ring.seal(Purpose::Session, &audience.context(), &payload, self.expires)?;
        Ok((Sealed { token, replayable: true }, count))
    }

    /// Opens what [`seal`](Self::seal) made for the same audience. `now` in seconds since 1970.
    pub fn open(ring: &KeyRing, audience: Audience<'_>, token: &str, now: u64) -> Result<Self, Refused> {
        if token.len() > SEALED_BYTES_MAX {
            return Err(Refused::malformed());
        }
        let payload = ring.open(Purpose::Session, &audience.context(), token, now)?;
        Self::decode(&payload).ok_or(Refused::malformed())
    }

    fn encode(&self, members: usize) -> Vec<u8> {
        let mut writer = Writer::new(LAYOUT)
            .fixed(&self.uid.0)
            .fixed(&[self.version as u8])
            .fixed(&self.issued.to_be_bytes())
            .fixed(&self.expires.to_be_bytes())
            .bytes(&self.initialize);
        for part in self.members.iter().take(members) {
            writer = writer
                .fixed(&part.member.0)
                .fixed(&[part.version as u8])
                .fixed(&part.endpoint.0)
                .option(part.upstream_session.as_deref().map(str::as_bytes));
        }
        writer.finish()
    }

    /// None for anything that [`encode`](Self::encode) cannot have made. Never panics.
    fn decode(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload, LAYOUT)?;
        let mut token = Self {
            uid: SessionUid(reader.fixed()?),
            version: Version::from_number(reader.fixed::<1>()?[0])?,
            issued: u64::from_be_bytes(reader.fixed()?),
            expires: u64::from_be_bytes(reader.fixed()?),
            initialize: Bytes::copy_from_slice(reader.bytes()?),
            members: Vec::new(),
        };
        while reader.end().is_none() {
            token.members.push(MemberPart {
                member: MemberTag(reader.fixed()?),
                version: Version::from_number(reader.fixed::<1>()?[0])?,
                endpoint: EndpointTag(reader.fixed()?),
                upstream_session: match reader.option()? {
                    Some(bytes) => Some(Reader::text(bytes)?),
                    None => None,
                },
            });
        }
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AUDIENCE: Audience<'static> = Audience { server: "", principal: &[1; 32] };

    fn token(members: Vec<Option<String>>, initialize: &str) -> MergedToken {
        let parts = members.into_iter().enumerate().map(|(number, upstream_session)| MemberPart {
            member: MemberTag::of(&number.to_string()),
            version: Version::LEGACY[number % 4],
            endpoint: EndpointTag([number as u8; 16]),
            upstream_session,
        });
        MergedToken {
            uid: SessionUid([7; 16]),
            version: Version::NEWEST_LEGACY,
            issued: 10,
            expires: 1000,
            initialize: Bytes::copy_from_slice(initialize.as_bytes()),
            members: parts.collect(),
        }
    }

    proptest! {
        #[test]
        fn a_token_opens_with_the_members_that_fit(
            members in proptest::collection::vec(proptest::option::of("[ -~]{0,60}"), 0..60), initialize in ".{0,200}",
        ) {
            let ring = KeyRing::ephemeral().unwrap();
            let token = token(members, &initialize);
            let (sealed, count) = token.seal(&ring, AUDIENCE).unwrap();
            prop_assert!(sealed.token.len() <= SEALED_BYTES_MAX);
            let opened = MergedToken::open(&ring, AUDIENCE, &sealed.token, 500).unwrap();
            prop_assert_eq!(&opened.members[..], &token.members[..count]);
            prop_assert_eq!(MergedToken { members: Vec::new(), ..opened }, MergedToken { members: Vec::new(), ..token });
        }

        #[test]
        fn nonsense_is_no_token(bytes in any::<Vec<u8>>()) {
            let bytes = [&[LAYOUT], &*bytes].concat();
            if let Some(token) = MergedToken::decode(&bytes) {
                prop_assert_eq!(token.encode(token.members.len()), bytes);
            }
        }
    }

    #[test]
    fn twenty_members_with_usual_ids_fit() {
        let ring = KeyRing::ephemeral().unwrap();
        let id = "0123456789abcdef0123456789abcdef".to_owned();
        let token = token(
            vec![Some(id); 20],
            r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}"#,
        );
        assert_eq!(token.seal(&ring, AUDIENCE).unwrap().1, 20);
    }

    #[test]
    fn it_opens_for_nobody_else_and_never_as_the_session_of_a_server() {
        let ring = KeyRing::ephemeral().unwrap();
        let (sealed, _) = token(Vec::new(), "{}").seal(&ring, AUDIENCE).unwrap();
        let other = Audience { principal: &[2; 32], ..AUDIENCE };
        assert!(MergedToken::open(&ring, other, &sealed.token, 500).is_err());
        assert!(super::super::SessionToken::open(&ring, AUDIENCE, &sealed.token, 500).is_err());
        let huge = token(Vec::new(), &"x".repeat(SEALED_BYTES_MAX));
        assert_eq!(huge.seal(&ring, AUDIENCE).err(), Some(TokenError::TooLong));
        assert_ne!(member_uid(SessionUid([1; 16]), "a"), member_uid(SessionUid([1; 16]), "b"));
    }
}
