//! The decoder as a whole: however a stream is cut.

use crate::{
    CONTROL_BYTES_MAX, Close, CloseCode, Decoder, Fault, Frame, MaskKey, Message, READ_BYTES, Role,
    apply_mask,
};
use bytes::Bytes;
use proptest::prelude::*;

const KEY: MaskKey = [0x37, 0xfa, 0x21, 0x3d];
const MAX: usize = 1 << 20;

/// A frame as a client sends it; `first` is its first byte.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    piece(first, payload, Some(KEY))
}

fn piece(first: u8, payload: &[u8], key: Option<MaskKey>) -> Vec<u8> {
    let mask = if key.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        len @ ..126 => frame.push(len as u8 | mask),
        len @ ..65536 => {
            frame.push(0x7e | mask);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x7f | mask);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend(key.into_iter().flatten());
    let start = frame.len();
    frame.extend_from_slice(payload);
    apply_mask(&mut frame[start..], key.unwrap_or_default(), 0);
    frame
}

/// Pushes everything and takes what comes out, until a fault.
fn push(decoder: &mut Decoder, mut bytes: &[u8], found: &mut Vec<Message>) -> Result<(), Fault> {
    while !bytes.is_empty() {
        let taken = decoder.push(bytes);
        bytes = &bytes[taken..];
        while let Some(message) = decoder.decode()? {
            found.push(message);
        }
        assert!(decoder.held_bytes() <= MAX + READ_BYTES);
    }
    Ok(())
}

fn decode<'c>(role: Role, chunks: impl IntoIterator<Item = &'c [u8]>) -> (Vec<Message>, Option<Fault>) {
    let mut decoder = Decoder::new(role, MAX);
    let mut found = Vec::new();
    for chunk in chunks {
        if let Err(fault) = push(&mut decoder, chunk, &mut found) {
            assert_eq!(decoder.decode(), Err(fault), "a fault stays");
            return (found, Some(fault));
        }
    }
    (found, None)
}

fn server(bytes: &[u8]) -> (Vec<Message>, Option<Fault>) {
    let whole = decode(Role::Server, [bytes]);
    assert_eq!(decode(Role::Server, bytes.chunks(1)), whole, "byte by byte");
    whole
}

fn text(text: &str) -> Message {
    Message::Text(Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn control_frames_stand_between_the_frames_of_a_message() {
    let stream =
        [masked(0x01, b"Hel"), masked(0x89, b"now"), masked(0x80, b"lo"), masked(0x8a, b"")].concat();
    let expected = vec![Message::Ping("now".into()), text("Hello"), Message::Pong(Bytes::new())];
    assert_eq!(server(&stream), (expected, None));
}

#[test]
fn messages_stand_in_their_order() {
    let opcode = |stream: &[u8]| server(stream).1;
    assert_eq!(opcode(&masked(0x80, b"x")), Some(Fault::UnexpectedContinuation));
    assert_eq!(opcode(&masked(0x00, b"x")), Some(Fault::UnexpectedContinuation));
    let twice = [masked(0x01, b"x"), masked(0x81, b"y")].concat();
    assert_eq!(opcode(&twice), Some(Fault::MissingContinuation));
    let ended = [masked(0x81, b"x"), masked(0x80, b"y")].concat();
    assert_eq!(server(&ended), (vec![text("x")], Some(Fault::UnexpectedContinuation)));
}

#[test]
fn nothing_is_read_after_a_close() {
    let stream =
        [masked(0x01, b"begun"), masked(0x88, b"\x03\xe8bye"), masked(0x80, b"rest"), vec![0xff; 9000]]
            .concat();
    assert_eq!(server(&stream), (vec![Message::Close(Close::new(CloseCode::NORMAL, "bye"))], None));
    for (body, fault) in [
        (&b"\x03"[..], Fault::CloseTooShort),
        (b"\x03\xed", Fault::CloseCode),
        (b"\x03\xe8\xc3", Fault::CloseReason),
    ] {
        assert_eq!(server(&masked(0x88, body)), (vec![], Some(fault)));
    }
}

#[test]
fn a_bad_byte_of_text_is_met_before_the_rest_of_its_frame_comes() {
    let good = "κόσμε".as_bytes();
    for (size, ends) in [(100, 0x81), (100_000, 0x81), (100, 0x01)] {
        let mut payload = good.to_vec();
        payload.extend_from_slice(b"\xf4\x90");
        let bad = payload.len();
        payload.resize(size, b'x');
        let stream = masked(ends, &payload);
        let header = stream.len() - payload.len();
        let mut decoder = Decoder::new(Role::Server, MAX);
        let mut found = Vec::new();
        assert_eq!(push(&mut decoder, &stream[..header + bad - 1], &mut found), Ok(()));
        assert_eq!(push(&mut decoder, &stream[header + bad - 1..][..1], &mut found), Err(Fault::InvalidUtf8));
        assert!(found.is_empty() && decoder.held_bytes() == 0);
    }
}

#[test]
fn text_that_ends_inside_a_character_is_no_text() {
    assert_eq!(server(&masked(0x81, b"ab\xf0\x9f")), (vec![], Some(Fault::InvalidUtf8)));
    let stream = [masked(0x01, b"ab\xf0"), masked(0x89, b"\xff"), masked(0x80, b"\x9f\x98\x80")].concat();
    assert_eq!(server(&stream), (vec![Message::Ping(b"\xff"[..].into()), text("ab😀")], None));
    // What is not text is not looked at.
    assert_eq!(server(&masked(0x82, b"\xff\xf0")), (vec![Message::Binary(b"\xff\xf0"[..].into())], None));
}

#[test]
fn a_message_above_the_limit_is_refused_by_its_header() {
    for (already, claimed, fine) in [
        (0u64, 1000u64, true),
        (0, 1001, false),
        (400, 600, true),
        (400, 601, false),
        (0, u64::MAX >> 1, false),
    ] {
        let mut decoder = Decoder::new(Role::Server, 1000);
        let mut found = Vec::new();
        let mut stream = Vec::new();
        if already > 0 {
            stream.extend(masked(0x02, &vec![0; already as usize]));
        }
        stream.push(if already > 0 { 0x80 } else { 0x82 });
        if claimed < 1 << 16 {
            stream.push(0xfe);
            stream.extend_from_slice(&(claimed as u16).to_be_bytes());
        } else {
            stream.push(0xff);
            stream.extend_from_slice(&claimed.to_be_bytes());
        }
        stream.extend_from_slice(&KEY);
        let expected = if fine { Ok(()) } else { Err(Fault::MessageTooBig) };
        assert_eq!(push(&mut decoder, &stream, &mut found), expected, "{already} + {claimed}");
    }
}

#[test]
fn a_header_that_promises_much_gets_little_memory() {
    let mut decoder = Decoder::new(Role::Server, 64 << 20);
    let mut header = vec![0x82, 0xff];
    header.extend_from_slice(&(64u64 << 20).to_be_bytes());
    header.extend_from_slice(&KEY);
    decoder.push(&header);
    assert_eq!(decoder.decode(), Ok(None));
    decoder.push(b"x");
    assert_eq!(decoder.decode(), Ok(None));
    assert!(decoder.held_bytes() <= 3 * READ_BYTES, "{}", decoder.held_bytes());
}

#[test]
fn nothing_is_held_between_messages() {
    let mut decoder = Decoder::new(Role::Server, MAX);
    decoder.space();
    assert!(decoder.held_bytes() > 0);
    decoder.release();
    assert_eq!(decoder.held_bytes(), 0);
    for payload in [b"short".to_vec(), vec![7; 100_000]] {
        let mut found = Vec::new();
        push(&mut decoder, &masked(0x82, &payload), &mut found).unwrap();
        assert_eq!(found, [Message::Binary(payload.into())]);
        assert_eq!(decoder.held_bytes(), 0);
    }
    assert!(size_of::<Decoder>() <= 256, "{}", size_of::<Decoder>());
}

#[test]
fn a_short_message_is_a_slice_of_what_was_read() {
    let mut decoder = Decoder::new(Role::Server, MAX);
    let stream = [masked(0x82, &[1; 100]), masked(0x82, &[2; 100])].concat();
    assert_eq!(decoder.push(&stream), stream.len());
    let (Ok(Some(Message::Binary(one))), Ok(Some(Message::Binary(two)))) =
        (decoder.decode(), decoder.decode())
    else {
        panic!("two messages");
    };
    // The second lies behind the first and its own header.
    assert_eq!(two.as_ptr() as usize - one.as_ptr() as usize, 106);
}

/// A message with the places at which it is cut into frames, and control frames that go between.
#[derive(Clone, Debug)]
struct Plan {
    message: Message,
    cuts: Vec<prop::sample::Index>,
    between: Vec<Message>,
}

fn control() -> impl Strategy<Value = Message> {
    let payload = prop::collection::vec(any::<u8>(), 0..=CONTROL_BYTES_MAX).prop_map(Bytes::from);
    (any::<bool>(), payload)
        .prop_map(|(ping, payload)| if ping { Message::Ping(payload) } else { Message::Pong(payload) })
}

fn data() -> impl Strategy<Value = Message> {
    prop_oneof![
        "\\PC{0,60}".prop_map(|text| Message::Text(text.into())),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| Message::Binary(bytes.into())),
        (any::<u8>(), 3900usize..14_000).prop_map(|(byte, len)| Message::Binary(vec![byte; len].into())),
        (3900usize..9000).prop_map(|len| Message::Text("ö€".repeat(len / 5).into())),
    ]
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let plan = (
        data(),
        prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        prop::collection::vec(control(), 0..3),
    );
    prop::collection::vec(plan.prop_map(|(message, cuts, between)| Plan { message, cuts, between }), 1..5)
}

/// The stream of the plans, and the messages in the order in which they end.
fn stream(plans: &[Plan], key: Option<MaskKey>) -> (Vec<u8>, Vec<Message>) {
    let (mut wire, mut expected) = (Vec::new(), Vec::new());
    for plan in plans {
        let (Message::Text(payload) | Message::Binary(payload)) = &plan.message else { continue };
        let mut opcode = if matches!(plan.message, Message::Text(_)) { 1 } else { 2 };
        let mut cuts: Vec<usize> = plan.cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        cuts.sort_unstable();
        let mut from = 0;
        let mut between = plan.between.iter();
        for cut in cuts {
            wire.extend(piece(opcode, &payload[from..cut], key));
            (opcode, from) = (0, cut);
            if let Some(control) = between.next() {
                let frame = Frame::new(control.clone(), key).unwrap();
                wire.extend_from_slice(frame.header());
                wire.extend_from_slice(frame.payload());
                expected.push(control.clone());
            }
        }
        wire.extend(piece(opcode | 0x80, &payload[from..], key));
        expected.push(plan.message.clone());
    }
    (wire, expected)
}

proptest! {
    #[test]
    fn however_messages_are_fragmented_and_the_stream_is_cut_they_are_the_same(
        plans in plans(), key: Option<MaskKey>, steps in prop::collection::vec(1usize..6000, 1..8),
    ) {
        let role = if key.is_some() { Role::Server } else { Role::Client };
        let (wire, expected) = stream(&plans, key);
        prop_assert_eq!(&decode(role, [&wire[..]]), &(expected.clone(), None));
        prop_assert_eq!(&decode(role, wire.chunks(1)), &(expected.clone(), None));
        let (mut chunks, mut rest, mut steps) = (Vec::new(), &wire[..], steps.into_iter().cycle());
        while !rest.is_empty() {
            let (chunk, tail) = rest.split_at(steps.next().unwrap().min(rest.len()));
            chunks.push(chunk);
            rest = tail;
        }
        prop_assert_eq!(&decode(role, chunks), &(expected, None));
    }

    #[test]
    fn what_one_role_sends_the_other_receives(messages in prop::collection::vec(prop_oneof![data(), control()], 1..6), key: MaskKey) {
        for (role, key) in [(Role::Server, Some(key)), (Role::Client, None)] {
            let frames = messages.iter().map(|message| Frame::new(message.clone(), key).unwrap());
            let wire: Vec<u8> = frames.flat_map(|frame| [frame.header(), frame.payload()].concat()).collect();
            prop_assert_eq!(decode(role, [&wire[..]]), (messages.clone(), None));
            let fault = if role == Role::Server { Fault::Masked } else { Fault::Unmasked };
            let other = if role == Role::Server { Role::Client } else { Role::Server };
            prop_assert_eq!(decode(other, [&wire[..]]), (vec![], Some(fault)));
        }
    }

    #[test]
    fn arbitrary_bytes_break_no_promise(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        crate::fuzz::websocket(&bytes);
    }
}
