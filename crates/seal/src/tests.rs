use super::{KeyRing, KeyRingError, LEEWAY_SECONDS, Purpose};
use proptest::prelude::*;

const EXPIRES: u64 = 1_800_000_000;

fn ring(ids: &[&str]) -> KeyRing {
    KeyRing::new(ids.iter().map(|id| (*id, [id.len() as u8 + id.as_bytes()[0]; 32]))).unwrap()
}

proptest! {
    #[test]
    fn what_is_sealed_opens_and_fits_the_promise(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
        let ring = ring(&["a1"]);
        let token = ring.seal(Purpose::Task, b"ctx", &payload, EXPIRES).unwrap();
        prop_assert!(token.bytes().all(|byte| (0x21..=0x7e).contains(&byte)));
        prop_assert_eq!(ring.payload_max(token.len()), payload.len());
        prop_assert!(ring.payload_max(token.len() - 1) < payload.len() || payload.is_empty());
        prop_assert_eq!(ring.open(Purpose::Task, b"ctx", &token, EXPIRES).unwrap(), payload);
    }

    #[test]
    fn a_change_of_any_character_is_refused(at in 0usize..200, to in "[ -~]") {
        let ring = ring(&["a1", "b2"]);
        let token = ring.seal(Purpose::Session, b"", b"payload", EXPIRES).unwrap();
        let at = at % token.len();
        let mut forged = token.clone();
        forged.replace_range(at..=at, &to);
        prop_assume!(forged != token);
        prop_assert!(ring.open(Purpose::Session, b"", &forged, 0).is_err());
    }

    #[test]
    fn nonsense_is_refused(text in any::<String>()) {
        prop_assert!(ring(&["a1"]).open(Purpose::Session, b"", &text, 0).is_err());
        let dressed = format!("v1.a1.{text}");
        prop_assert!(ring(&["a1"]).open(Purpose::Session, b"", &dressed, 0).is_err());
    }
}

proptest! {
    #[test]
    fn a_value_opens_under_its_own_name_alone(value in proptest::collection::vec(any::<u8>(), 0..300), other in any::<Vec<u8>>()) {
        let ring = ring(&["b2", "a1"]);
        let sealed = ring.seal_value(b"journal:1", &value).unwrap();
        prop_assert_eq!(ring.open_value(b"journal:1", &sealed).unwrap(), value);
        prop_assert!(ring.open_value(&other, &sealed).is_err());
    }

    #[test]
    fn a_change_of_any_byte_of_a_value_is_refused(at in 0usize..100, bit in 0u8..8) {
        let ring = ring(&["b2", "a1"]);
        let mut sealed = ring.seal_value(b"name", b"value").unwrap();
        let at = at % sealed.len();
        sealed[at] ^= 1 << bit;
        prop_assert!(ring.open_value(b"name", &sealed).is_err());
        prop_assert!(ring.open_value(b"name", &sealed[..at]).is_err());
    }

    #[test]
    fn nonsense_is_no_value(bytes in any::<Vec<u8>>()) {
        prop_assert!(ring(&["a1"]).open_value(b"", &bytes).is_err());
    }
}

#[test]
fn a_value_outlives_the_change_of_the_sealing_key() {
    let (old, both) = (ring(&["a1"]), ring(&["b22", "a1"]));
    let sealed = old.seal_value(b"name", b"value").unwrap();
    assert_eq!(both.open_value(b"name", &sealed).unwrap(), b"value");
    let sealed = both.seal_value(b"name", b"value").unwrap();
    assert_eq!(old.open_value(b"name", &sealed).unwrap_err().reason(), "unknown_key");
}

#[test]
fn a_token_opens_for_its_purpose_and_context_alone() {
    let ring = ring(&["a1"]);
    let token = ring.seal(Purpose::Session, b"server|me", b"x", EXPIRES).unwrap();
    for purpose in Purpose::ALL {
        let opened = ring.open(purpose, b"server|me", &token, EXPIRES);
        assert_eq!(opened.is_ok(), purpose == Purpose::Session, "{purpose:?}");
    }
    assert!(ring.open(Purpose::Session, b"server|you", &token, EXPIRES).is_err());
}

#[test]
fn the_first_key_seals_and_every_key_opens() {
    let (old, both, new) = (ring(&["a1"]), ring(&["b22", "a1"]), ring(&["b22"]));
    let token = old.seal(Purpose::Cursor, b"", b"x", EXPIRES).unwrap();
    assert_eq!(both.open(Purpose::Cursor, b"", &token, 0).unwrap(), b"x");
    let token = both.seal(Purpose::Cursor, b"", b"x", EXPIRES).unwrap();
    assert!(token.starts_with("v1.b22."));
    assert_eq!(new.open(Purpose::Cursor, b"", &token, 0).unwrap(), b"x");
    assert_eq!(old.open(Purpose::Cursor, b"", &token, 0).unwrap_err().reason(), "unknown_key");
}

#[test]
fn expiry_has_a_minute_of_leeway() {
    let ring = ring(&["a1"]);
    let token = ring.seal(Purpose::Session, b"", b"x", EXPIRES).unwrap();
    assert!(ring.open(Purpose::Session, b"", &token, EXPIRES + LEEWAY_SECONDS).is_ok());
    let late = ring.open(Purpose::Session, b"", &token, EXPIRES + LEEWAY_SECONDS + 1).unwrap_err();
    assert_eq!(late.reason(), "expired");
    let forged = ring.open(Purpose::Session, b"", "v1.a1.AAAA", 0).unwrap_err();
    assert_eq!(late.to_string(), forged.to_string(), "the text does not tell the cause");
}

#[test]
fn two_seals_of_the_same_differ() {
    let ring = ring(&["a1"]);
    let seal = || ring.seal(Purpose::Session, b"", b"x", EXPIRES).unwrap();
    assert_ne!(seal(), seal());
}

#[test]
fn bad_rings_are_named() {
    assert_eq!(KeyRing::new([]).unwrap_err(), KeyRingError::Empty);
    assert_eq!(KeyRing::new([("a.b", [0; 32])]).unwrap_err(), KeyRingError::Id("a.b".into()));
    assert_eq!(KeyRing::new([("a", [0; 32]), ("a", [1; 32])]).unwrap_err(), KeyRingError::Twice("a".into()));
    assert_eq!(KeyRing::from_base64([("a", "AAAA")]).unwrap_err(), KeyRingError::Secret("a".into()));
    let padded = format!("{}=", "A".repeat(43));
    assert!(
        KeyRing::from_base64([("a", padded.as_str()), ("b", &"_".repeat(42).replace('_', "-"))]).is_err()
    );
    assert!(KeyRing::from_base64([("a", padded.as_str())]).is_ok());
    assert!(KeyRing::from_base64([("a", &*"A".repeat(43))]).is_ok());
}

#[test]
fn debug_shows_ids_and_no_keys() {
    assert_eq!(format!("{:?}", ring(&["a1", "b2"])), r#"["a1", "b2"]"#);
    assert!(KeyRing::ephemeral().unwrap().seal(Purpose::Peer, b"", b"", 0).is_ok());
}
