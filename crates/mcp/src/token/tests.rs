use super::{Audience, EndpointTag, EventId, Handle, SEALED_BYTES_MAX, SessionToken, SessionUid, TokenError};
use crate::era::Version;
use crate::ids::Epoch;
use crate::seal::{KeyRing, Purpose};
use bytes::Bytes;
use proptest::prelude::*;

const NOW: u64 = 1_790_000_000;
const ME: Audience<'static> = Audience { server: "files", principal: &[7; 32] };

fn ring() -> KeyRing {
    KeyRing::new([("k1", [9; 32])]).unwrap()
}

fn session(initialize: usize, upstream: usize) -> SessionToken {
    SessionToken {
        uid: SessionUid([3; 16]),
        epoch: Epoch(5),
        version: Version::V2025_06_18,
        endpoint: EndpointTag::of("http://127.0.0.1:1/mcp"),
        upstream_session: Some("u".repeat(upstream)),
        issued: NOW,
        expires: NOW + 60,
        initialize: Some(Bytes::from(vec![b'i'; initialize])),
    }
}

proptest! {
    #[test]
    fn sessions_come_back_within_two_kilobytes(initialize in 0usize..3000, upstream in 0usize..300) {
        let token = session(initialize, upstream);
        let sealed = token.seal(&ring(), ME).unwrap();
        prop_assert!(sealed.token.len() <= SEALED_BYTES_MAX);
        let opened = SessionToken::open(&ring(), ME, &sealed.token, NOW).unwrap();
        let expected = SessionToken { initialize: token.initialize.clone().filter(|_| sealed.replayable), ..token };
        prop_assert_eq!(opened, expected);
    }

    #[test]
    fn no_payload_panics_and_what_decodes_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        for layout in [0u8, 1] {
            let payload = [&[layout][..], &bytes].concat();
            if let Some(token) = SessionToken::decode(&payload) {
                prop_assert_eq!(token.encode_all(), payload.clone());
            }
            if let Some(handle) = Handle::decode(&payload) {
                prop_assert_eq!(handle.encode(), payload.clone());
            }
            if let Some(id) = EventId::decode(&payload) {
                prop_assert_eq!(id.encode(), payload);
            }
        }
    }

    #[test]
    fn handles_come_back_exactly(original in any::<String>()) {
        let handle = Handle { endpoint: EndpointTag::of("e"), original };
        let token = handle.seal(&ring(), Purpose::RequestState, ME, NOW).unwrap();
        prop_assert_eq!(Handle::open(&ring(), Purpose::RequestState, ME, &token, NOW).unwrap(), handle);
    }
}

#[test]
fn typical_initialize_params_fit() {
    let params = 1200;
    assert!(session(params, 64).seal(&ring(), ME).unwrap().replayable);
}

#[test]
fn params_that_do_not_fit_are_left_out_and_the_token_says_so() {
    let sealed = session(2000, 64).seal(&ring(), ME).unwrap();
    assert!(!sealed.replayable);
    assert_eq!(SessionToken::open(&ring(), ME, &sealed.token, NOW).unwrap().initialize, None);
    assert_eq!(session(0, 2000).seal(&ring(), ME).unwrap_err(), TokenError::TooLong);
}

#[test]
fn a_session_of_another_caller_or_server_is_refused() {
    let sealed = session(10, 10).seal(&ring(), ME).unwrap();
    let other = Audience { principal: &[8; 32], ..ME };
    let elsewhere = Audience { server: "file", ..ME };
    for audience in [other, elsewhere] {
        assert!(SessionToken::open(&ring(), audience, &sealed.token, NOW).is_err());
    }
    assert!(SessionToken::open(&ring(), ME, &sealed.token, NOW + 121).is_err());
    assert!(Handle::open(&ring(), Purpose::Task, ME, &sealed.token, NOW).is_err());
    assert!(!format!("{sealed:?}").contains(&sealed.token[8..]));
}

#[test]
fn an_event_id_belongs_to_one_session() {
    let id = EventId {
        session: SessionUid::random().unwrap(),
        stream: 2,
        sequence: u64::MAX,
        epoch: Epoch(1),
        upstream: Some("é".into()),
        replica: holdfast_store::ReplicaId(7),
        awaiting: Some(Bytes::from_static(b"\"id\"")),
    };
    let token = id.seal(&ring(), ME, NOW).unwrap();
    assert_eq!(EventId::open(&ring(), ME, id.session, &token, NOW).unwrap(), id);
    assert!(EventId::open(&ring(), ME, SessionUid([0; 16]), &token, NOW).is_err());
}

#[test]
fn truncated_payloads_are_refused_at_every_length() {
    let payload = session(5, 5).encode_all();
    for end in 0..payload.len() {
        assert_eq!(SessionToken::decode(&payload[..end]), None);
    }
    assert!(SessionToken::decode(&[&payload[..], b"x"].concat()).is_none());
}
