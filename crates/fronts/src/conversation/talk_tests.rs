use super::{CallId, Passed, Refused, Sort, Step, Talk, TalkLimits, with_id};
use bytes::Bytes;
use holdfast_frames::frame::{Frame, Limits};
use holdfast_mcp::headers::{METHOD, NAME, PROTOCOL_VERSION, SESSION_ID};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

const LIMITS: TalkLimits =
    TalkLimits { requests: 4, bytes: 4000, message: Limits { bytes_max: 10_000, depth_max: 32 }, batch: 10 };
const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn frame(text: &str) -> Frame {
    Frame::parse(bytes(text), &LIMITS.message).unwrap()
}

fn legacy(id: u32) -> Bytes {
    bytes(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t"}}}}"#))
}

fn modern(id: u32) -> Bytes {
    bytes(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t",{META}}}}}"#))
}

fn cancel(id: u32) -> Bytes {
    bytes(&format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#))
}

fn initialize(id: u32) -> Bytes {
    bytes(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{{}}}}"#))
}

fn result(id: u32) -> Frame {
    frame(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"protocolVersion":"2025-11-25"}}}}"#))
}

fn posted(step: Step) -> (CallId, Sort, HeaderMap) {
    match step {
        Step::Post { call, sort, headers } => (call, sort, headers),
        other => panic!("{other:?}"),
    }
}

fn named(session: &'static str) -> HeaderMap {
    [(SESSION_ID, HeaderValue::from_static(session))].into_iter().collect()
}

fn passes(talk: &mut Talk, message: &Frame) -> bool {
    talk.pass(message) != Passed::Not
}

/// A conversation that has a session.
fn open() -> Talk {
    let mut talk = Talk::new(LIMITS, (None, None));
    let (call, sort, headers) = posted(talk.take(&initialize(0)));
    assert_eq!((sort, headers.len()), (Sort::Initialize, 0));
    assert!(talk.head(call, &named("s1")).is_none());
    assert_eq!(talk.pass(&result(0)), Passed::Begins(HeaderValue::from_static("s1")));
    assert!(talk.end(call).is_empty());
    talk
}

#[test]
fn a_conversation_that_returns_begins_with_its_session() {
    let (session, version) = (HeaderValue::from_static("s0"), HeaderValue::from_static("2025-06-18"));
    let mut talk = Talk::new(LIMITS, (Some(session), Some(version)));
    let (_, sort, headers) = posted(talk.take(&legacy(1)));
    assert_eq!(sort, Sort::Request);
    assert_eq!(
        (&headers[SESSION_ID], &headers[PROTOCOL_VERSION]),
        (&"s0".parse().unwrap(), &"2025-06-18".parse().unwrap())
    );
}

#[test]
fn a_session_is_named_by_what_belongs_to_it_and_by_nothing_else() {
    let mut talk = Talk::new(LIMITS, (None, None));
    assert!(!posted(talk.take(&legacy(1))).2.contains_key(SESSION_ID));
    let mut talk = open();
    let (_, _, headers) = posted(talk.take(&legacy(1)));
    assert_eq!(headers[SESSION_ID], "s1");
    assert_eq!(headers[PROTOCOL_VERSION], "2025-11-25");
    let (_, _, headers) = posted(talk.take(&modern(2)));
    assert!(!headers.contains_key(SESSION_ID));
    assert_eq!(headers[METHOD], "tools/call");
    assert_eq!(headers[NAME], "t");
    assert_eq!(headers[PROTOCOL_VERSION], "2026-07-28");
    let reply = r#"{"jsonrpc":"2.0","id":9,"result":{}}"#;
    for (text, expected) in
        [("nonsense", Sort::Unread), ("{}", Sort::Unread), ("[]", Sort::Unread), (reply, Sort::Reply)]
    {
        let (_, sort, headers) = posted(talk.take(&bytes(text)));
        assert_eq!((sort, headers[SESSION_ID].as_bytes()), (expected, &b"s1"[..]), "{text}");
    }
}

#[test]
fn a_new_session_takes_the_place_of_the_one_before() {
    let mut talk = open();
    let (call, _, headers) = posted(talk.take(&initialize(5)));
    assert!(headers.is_empty());
    assert_eq!(talk.head(call, &named("s2")).unwrap()[SESSION_ID], "s1");
    assert_eq!(talk.session().unwrap()[SESSION_ID], "s2");
    let (call, ..) = posted(talk.take(&initialize(6)));
    assert!(talk.head(call, &HeaderMap::new()).is_none(), "one that was refused changes nothing");
    assert_eq!(talk.session().unwrap()[SESSION_ID], "s2");
}

#[test]
fn cancelling_drops_a_modern_request_and_is_passed_on_for_a_legacy_one() {
    let mut talk = open();
    let (call, ..) = posted(talk.take(&modern(1)));
    posted(talk.take(&legacy(2)));
    assert!(matches!(talk.take(&cancel(1)), Step::Cancel(cancelled) if cancelled == call));
    assert!(!passes(&mut talk, &result(1)), "an answer that comes all the same is nobody's");
    assert_eq!(posted(talk.take(&cancel(2))).1, Sort::Notification);
    assert_eq!(posted(talk.take(&cancel(1))).1, Sort::Notification);
    assert!(passes(&mut talk, &result(2)));
}

#[test]
fn a_call_that_broke_off_is_resumed_within_its_session_alone() {
    let mut talk = open();
    let (of_session, ..) = posted(talk.take(&legacy(1)));
    let (stateless, ..) = posted(talk.take(&modern(2)));
    assert_eq!(talk.resumption(of_session).unwrap()[SESSION_ID], "s1");
    assert!(talk.resumption(stateless).is_none());
    assert_eq!(talk.pass(&result(1)), Passed::AsIs);
    assert!(talk.resumption(of_session).is_none() && talk.is_answered(of_session));
}

#[test]
fn a_batch_waits_for_all_its_answers() {
    let mut talk = open();
    let batch = bytes(
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"x"},{"jsonrpc":"2.0","id":2,"method":"ping"}]"#,
    );
    let (call, sort, _) = posted(talk.take(&batch));
    assert_eq!(sort, Sort::Request);
    assert!(passes(&mut talk, &result(2)) && !talk.is_answered(call));
    assert_eq!(talk.end(call), ["1"]);
    let twice =
        bytes(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":1,"method":"ping"}]"#);
    assert!(matches!(talk.take(&twice), Step::Refuse { why: Refused::IdInUse, .. }));
}

#[test]
fn large_requests_count_by_their_bytes_and_one_is_always_let_in() {
    let mut talk = open();
    let large = |id: u32| {
        let blanks = " ".repeat(LIMITS.bytes);
        bytes(&format!(r#"{{"jsonrpc":"2.0","id":{id},{blanks}"method":"tools/list"}}"#))
    };
    let (call, ..) = posted(talk.take(&large(1)));
    assert!(matches!(talk.take(&large(2)), Step::Refuse { why: Refused::TooManyBytes, .. }));
    talk.end(call);
    posted(talk.take(&large(2)));
}

#[test]
fn an_answer_is_known_however_its_id_is_written() {
    let mut talk = open();
    for (asked, answered) in [(r#""é/""#, r#""\u00e9\/""#), ("7", "7.0"), (r#""\ud83d""#, r#""\ud83d""#)] {
        let request = format!(r#"{{"jsonrpc":"2.0","id":{asked},"method":"m"}}"#);
        let (call, ..) = posted(talk.take(&bytes(&request)));
        let answer = frame(&format!(r#"{{"jsonrpc":"2.0","id":{answered},"result":{{}}}}"#));
        assert!(passes(&mut talk, &answer) && !passes(&mut talk, &answer), "{answered} answers {asked} once");
        assert!(talk.end(call).is_empty());
    }
}

#[test]
fn an_error_without_an_id_gets_that_of_the_request() {
    let error = bytes(r#"{"jsonrpc":"2.0","error":{"code":-31032,"message":"no"}}"#);
    let named = Frame::parse(with_id(&error, br#""a""#), &LIMITS.message).unwrap();
    assert_eq!(named.id(), Some(&br#""a""#[..]));
    assert_eq!(named.error_code(), Some(-31032));
    assert_eq!(with_id(&bytes("[]"), b"1"), "[]");
}

#[derive(Clone, Debug)]
enum Event {
    Say(Bytes),
    Answer(u32),
    End(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let id = 0..6u32;
    prop_oneof![
        id.clone().prop_map(|id| Event::Say(legacy(id))),
        id.clone().prop_map(|id| Event::Say(modern(id))),
        id.clone().prop_map(|id| Event::Say(cancel(id))),
        id.clone().prop_map(|id| Event::Say(initialize(id))),
        Just(Event::Say(bytes("x"))),
        id.prop_map(Event::Answer),
        (0..8usize).prop_map(Event::End),
    ]
}

proptest! {
    /// Whatever happens in whatever order: each request is answered once, by the service or by an error, unless it was cancelled.
    #[test]
    fn every_request_gets_one_answer(events in prop::collection::vec(event(), 0..80)) {
        let mut talk = open();
        let mut waiting: HashMap<u32, CallId> = HashMap::new();
        let mut calls: Vec<CallId> = Vec::new();
        for event in events {
            match event {
                Event::Say(message) => {
                    let id = Frame::parse(message.clone(), &LIMITS.message).ok()
                        .and_then(|f| f.id().and_then(|id| std::str::from_utf8(id).ok()?.parse::<u32>().ok()));
                    match talk.take(&message) {
                        Step::Post { call, .. } => {
                            prop_assert!(!calls.contains(&call));
                            calls.push(call);
                            if let Some(id) = id {
                                prop_assert!(waiting.insert(id, call).is_none(), "an id twice in flight");
                            }
                        }
                        Step::Refuse { ids, why } => {
                            let id = id.unwrap();
                            prop_assert_eq!(ids, [Bytes::from(id.to_string())]);
                            prop_assert_eq!(why == Refused::IdInUse, waiting.contains_key(&id));
                        }
                        Step::Cancel(call) => {
                            let before = waiting.len();
                            waiting.retain(|_, waits| *waits != call);
                            prop_assert_eq!(waiting.len() + 1, before);
                            calls.retain(|known| *known != call);
                        }
                    }
                }
                Event::Answer(id) => prop_assert_eq!(passes(&mut talk, &result(id)), waiting.remove(&id).is_some()),
                Event::End(at) if at < calls.len() => {
                    let call = calls.swap_remove(at);
                    let unanswered: HashSet<Bytes> = talk.end(call).into_iter().collect();
                    let expected: HashSet<Bytes> = waiting.iter().filter(|(_, c)| **c == call).map(|(id, _)| id.to_string().into()).collect();
                    prop_assert_eq!(unanswered, expected);
                    waiting.retain(|_, waits| *waits != call);
                }
                Event::End(_) => {}
            }
            prop_assert!(waiting.len() <= LIMITS.requests);
            prop_assert_eq!(talk.is_busy(), !calls.is_empty());
        }
        for call in calls {
            talk.end(call);
        }
        prop_assert!(talk.ids.is_empty() && talk.calls.is_empty() && talk.bytes == 0, "nothing is left behind");
    }
}
