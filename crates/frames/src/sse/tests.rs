use super::{Event, EventTooLarge, KEEP_ALIVE, Parser, comment, message, priming, retry};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

const LIMIT: usize = 4096;

fn parse(chunks: &[&[u8]]) -> Vec<Event> {
    let mut parser = Parser::new(LIMIT);
    let mut events = Vec::new();
    for chunk in chunks {
        parser.push(chunk);
        while let Some(event) = parser.next() {
            events.push(event.unwrap());
        }
    }
    events
}

type Meaning = (Vec<u8>, [Option<Bytes>; 3], Option<u64>);

/// What the events say. A raw block that was cut inside CRLF may lack the very last LF.
fn meaning(events: &[Event]) -> Vec<Meaning> {
    let trimmed = |event: &Event| event.raw().strip_suffix(b"\n").unwrap_or(event.raw()).to_vec();
    events
        .iter()
        .map(|e| (trimmed(e), [e.data(), e.id(), e.name()].map(Option::<&Bytes>::cloned), e.retry()))
        .collect()
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        Just(""),
        Just("data: {\"a\":1}"),
        Just("data:x"),
        Just("data"),
        Just("id: 7"),
        Just("id:\0"),
        Just("event: message"),
        Just("retry: 30"),
        Just("retry: x"),
        Just(": comment"),
        Just(":"),
        Just("unknown: é世"),
        Just("data:  two blanks"),
        Just("\u{feff}data: bom"),
        Just("id")
    ];
    (text, prop_oneof![Just("\n"), Just("\r"), Just("\r\n")])
        .prop_map(|(text, end)| [text.as_bytes(), end.as_bytes()].concat())
}

proptest! {
    #[test]
    fn any_chunking_gives_equal_events(
        lines in proptest::collection::vec(line(), 0..20),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream = lines.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        let whole = parse(&[&stream]);
        prop_assert_eq!(meaning(&parse(&chunks)), meaning(&whole));
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(meaning(&parse(&bytes)), meaning(&whole));
    }

    #[test]
    fn no_bytes_panic_and_raw_blocks_are_the_stream(bytes in proptest::collection::vec(
        prop_oneof![any::<u8>(), Just(b'\n'), Just(b'\r'), Just(b':')], 0..200)) {
        let raw: Vec<u8> = parse(&[&bytes]).iter().flat_map(|event| event.raw().to_vec()).collect();
        let body = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        prop_assert!(body.starts_with(&raw));
    }

    #[test]
    fn what_is_written_is_read(data in "[ -~é世\n\r]{1,80}", id in proptest::option::of("[!-~]{1,40}")) {
        let mut out = BytesMut::new();
        message(&mut out, id.as_deref(), data.as_bytes());
        let events = parse(&[&out]);
        prop_assert_eq!(events.len(), 1);
        let flat = data.replace(['\n', '\r'], " ");
        prop_assert_eq!(events[0].data().unwrap(), flat.as_bytes());
        prop_assert_eq!(events[0].id().map(|id| id.to_vec()), id.map(String::into_bytes));
        prop_assert!(events[0].is_message());
    }
}

#[test]
fn fields_follow_the_standard() {
    let events = parse(&[b"\xef\xbb\xbfid: 1\nevent:tick\ndata: a\ndata:b\ndata\nretry: 250\nx: y\n\n"]);
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(event.data().unwrap(), "a\nb\n");
    assert_eq!((event.id().unwrap(), event.name().unwrap()), (&Bytes::from("1"), &Bytes::from("tick")));
    assert_eq!(event.retry(), Some(250));
    assert!(!event.is_message());
}

#[test]
fn one_data_line_is_shared_with_the_raw_bytes() {
    let events = parse(&[b"data: {\"id\":1}\n\n"]);
    let (raw, data) = (events[0].raw(), events[0].data().unwrap());
    assert_eq!(data.as_ptr(), raw[6..].as_ptr());
}

#[test]
fn an_unfinished_event_is_not_given() {
    let mut parser = Parser::new(LIMIT);
    parser.push(b"data: x\n");
    assert!(parser.next().is_none());
    assert!(!parser.is_between_events());
    parser.push(b"\n");
    assert!(parser.next().is_some());
    assert!(parser.is_between_events());
}

#[test]
fn a_stream_that_is_quiet_behind_an_event_holds_no_buffer() {
    let mut parser = Parser::new(LIMIT);
    parser.push(b"data: x\n\ndata: y\n");
    assert!(parser.next().is_some());
    assert!(parser.next().is_none());
    parser.push(b"\n");
    assert_eq!(parser.next().unwrap().unwrap().data().unwrap(), "y");
    assert_eq!(parser.pending.capacity(), 0);
}

#[test]
fn an_event_ends_at_a_lone_cr_without_waiting() {
    let events = parse(&[b"data: x\r\r", b"\ndata: y\r\n\r", b"\n"]);
    let data: Vec<_> = events.iter().map(|event| event.data().unwrap().clone()).collect();
    assert_eq!(data, ["x", "y"]);
}

#[test]
fn an_event_above_the_limit_ends_the_stream_and_frees_the_memory() {
    for stream in [vec![b'a'; LIMIT + 1], [vec![b'a'; LIMIT], b"\n\n".to_vec()].concat()] {
        let mut parser = Parser::new(LIMIT);
        parser.push(&stream);
        assert_eq!(parser.next(), Some(Err(EventTooLarge(LIMIT))));
        parser.push(b"data: x\n\n");
        assert_eq!((parser.next(), parser.is_between_events()), (None, false));
        assert_eq!(parser.pending.capacity(), 0);
    }
}

#[test]
fn priming_retry_and_comments() {
    let mut out = BytesMut::new();
    priming(&mut out, "v1.a\nid: forged", Some(500));
    retry(&mut out, 20);
    comment(&mut out, "a\nb");
    out.extend_from_slice(KEEP_ALIVE);
    let events = parse(&[&out]);
    assert_eq!(events.len(), 4);
    assert_eq!((events[0].id().unwrap(), events[0].retry()), (&Bytes::from("v1.a"), Some(500)));
    assert_eq!(events[0].data().unwrap(), "");
    assert!(!events[0].is_message());
    assert_eq!((events[1].retry(), events[1].data()), (Some(20), None));
    assert!(events[2].is_comment() && events[3].is_comment());
}
