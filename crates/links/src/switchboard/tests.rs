use super::*;
use holdfast_frames::frame;

const ME: Owner = [1; 32];
const YOU: Owner = [2; 32];
const LIMITS: Limits = Limits { requests: 4, waiting_messages: 2, waiting_bytes: 1000 };

fn parse(text: &str) -> Frame {
    let limits = frame::Limits::default();
    Frame::parse(Bytes::copy_from_slice(text.as_bytes()), &limits)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn call(id: &str) -> Frame {
    parse(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"x"}}}}"#))
}

fn with_token(id: &str, token: &str) -> Frame {
    let meta = format!(r#"{{"_meta":{{"progressToken":{token}}}}}"#);
    parse(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{meta}}}"#))
}

fn answer(id: &str) -> Frame {
    parse(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#))
}

fn progress(token: &str) -> Frame {
    let params = format!(r#"{{"progressToken":{token},"progress":1}}"#);
    parse(&format!(r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{params}}}"#))
}

fn changed() -> Frame {
    parse(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#)
}

fn board(sharing: Sharing) -> Switchboard {
    Switchboard::new(sharing, LIMITS)
}

fn text(message: &Bytes) -> &str {
    std::str::from_utf8(message).unwrap()
}

#[test]
fn a_session_keeps_its_ids_and_matches_them_by_value() {
    let mut board = board(Sharing::Session);
    let begun = board.begin(&call("\"a\""), ME).unwrap();
    assert_eq!(begun.message, call("\"a\"").bytes());
    let answered = board.incoming(&answer("\"\\u0061\""));
    assert_eq!(answered, Incoming::Answer(begun.name, answer("\"\\u0061\"").into_bytes()));
    assert_eq!(board.incoming(&answer("\"a\"")), Incoming::Dropped(LinkDrop::Duplicate));
    assert_eq!(board.incoming(&answer("7")), Incoming::Dropped(LinkDrop::Unknown));
}

#[test]
fn an_id_in_flight_is_not_taken_twice_in_a_session_and_may_be_on_a_shared_link() {
    let mut session = board(Sharing::Session);
    session.begin(&call("\"1\""), ME).unwrap();
    assert_eq!(session.begin(&call("\"\\u0031\""), ME).unwrap_err(), Refused::IdInUse);
    let mut shared = board(Sharing::Everybody);
    let (mine, yours) = (shared.begin(&call("1"), ME).unwrap(), shared.begin(&call("1"), YOU).unwrap());
    assert_ne!(mine.message, yours.message);
    let incoming = shared.incoming(&answer(text(&yours.name.raw())));
    assert_eq!(incoming, Incoming::Answer(yours.name, answer("1").into_bytes()));
}

#[test]
fn what_a_session_did_not_ask_for_goes_to_the_newest_request_then_to_the_listener_then_waits() {
    let mut board = board(Sharing::Session);
    assert_eq!(board.incoming(&changed()), Incoming::Waits(0));
    assert_eq!(board.listen(), [changed().into_bytes()]);
    assert_eq!(board.incoming(&changed()), Incoming::Listener(changed().into_bytes()));
    let old = board.begin(&with_token("1", "\"t\""), ME).unwrap();
    let new = board.begin(&call("2"), ME).unwrap();
    assert_eq!(board.incoming(&changed()), Incoming::Before(new.name, changed().into_bytes()));
    let told = progress("\"t\"");
    assert_eq!(board.incoming(&told), Incoming::Before(old.name, told.bytes().clone()));
    board.leave(new.name);
    assert_eq!(board.incoming(&changed()), Incoming::Before(old.name, changed().into_bytes()));
    assert_eq!(board.incoming(&answer("2")), Incoming::Dropped(LinkDrop::Late));
}

#[test]
fn what_waits_is_bounded_and_comes_first_on_the_next_request() {
    let mut board = board(Sharing::Session);
    let named = |n: usize| parse(&format!(r#"{{"jsonrpc":"2.0","method":"n{n}"}}"#));
    let came: Vec<Incoming> = (0..3).map(|n| board.incoming(&named(n))).collect();
    assert_eq!(came, [Incoming::Waits(0), Incoming::Waits(0), Incoming::Waits(1)]);
    let handshake = parse(r#"{"jsonrpc":"2.0","id":0,"method":"initialize"}"#);
    assert!(board.begin(&handshake, ME).unwrap().before.is_empty(), "its reader keeps the answer alone");
    assert!(matches!(board.incoming(&named(3)), Incoming::Waits(1)));
    let begun = board.begin(&call("1"), ME).unwrap();
    assert_eq!(begun.before, [named(2).into_bytes(), named(3).into_bytes()]);
    assert!(board.listen().is_empty());
}

#[test]
fn one_large_message_is_let_in_to_wait() {
    let mut board = board(Sharing::Session);
    let large = parse(&format!(r#"{{"jsonrpc":"2.0","method":"{}"}}"#, "x".repeat(2000)));
    assert_eq!(board.incoming(&changed()), Incoming::Waits(0));
    assert_eq!(board.incoming(&large), Incoming::Waits(1));
    assert_eq!(board.listen(), [large.into_bytes()]);
}

#[test]
fn on_a_shared_link_ids_and_tokens_are_ours_and_come_back_as_they_were() {
    let mut board = board(Sharing::Principal);
    board.begin(&call("5"), ME).unwrap();
    let begun = board.begin(&with_token("\"\\u0069d\"", "1e3"), ME).unwrap();
    let expected = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"_meta":{"progressToken":2}}}"#;
    assert_eq!(text(&begun.message), expected);
    assert_eq!(board.incoming(&progress("2")), Incoming::Before(begun.name, progress("1e3").into_bytes()));
    assert_eq!(board.incoming(&progress("1")), Incoming::Dropped(LinkDrop::Unmatched), "it has no token");
    let tagged = |tag: &str, id: &str| {
        let meta = format!(r#""_meta":{{"io.modelcontextprotocol/subscriptionId":{tag}}}"#);
        (
            parse(&format!(r#"{{"jsonrpc":"2.0","method":"notifications/x","params":{{{meta}}}}}"#)),
            parse(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{meta}}}}}"#)),
        )
    };
    let (theirs, ours) = (tagged("2", "2"), tagged("\"\\u0069d\"", "\"\\u0069d\""));
    assert_eq!(board.incoming(&theirs.0), Incoming::Before(begun.name, ours.0.into_bytes()));
    assert_eq!(board.incoming(&theirs.1), Incoming::Answer(begun.name, ours.1.into_bytes()));
    assert_eq!(board.incoming(&theirs.1), Incoming::Dropped(LinkDrop::Late));
    assert_eq!(board.incoming(&answer("3")), Incoming::Dropped(LinkDrop::Unknown));
}

#[test]
fn what_names_no_request_is_shown_to_nobody_on_a_shared_link() {
    let log = parse(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info"}}"#);
    for sharing in [Sharing::Principal, Sharing::Everybody] {
        let mut board = board(sharing);
        let begun = board.begin(&call("1"), ME).unwrap();
        assert_eq!(board.incoming(&changed()), Incoming::Dropped(LinkDrop::Unmatched));
        let ask = parse(r#"{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage"}"#);
        let Incoming::Refused(reply) = board.incoming(&ask) else { panic!("{sharing:?}") };
        assert!(text(&reply).contains(r#""id":"q","error":{"code":-32601"#));
        let logged = board.incoming(&log);
        match sharing {
            Sharing::Principal => assert_eq!(logged, Incoming::Before(begun.name, log.bytes().clone())),
            _ => assert_eq!(logged, Incoming::Dropped(LinkDrop::Unmatched)),
        }
        board.begin(&call("2"), ME).unwrap();
        assert_eq!(board.incoming(&log), Incoming::Dropped(LinkDrop::Unmatched), "two may be meant");
    }
}

#[test]
fn a_reader_that_leaves_cancels_on_a_shared_link_alone() {
    let mut shared = board(Sharing::Principal);
    let begun = shared.begin(&call("\"x\""), ME).unwrap();
    let cancelled = shared.leave(begun.name).unwrap();
    assert_eq!(
        text(&cancelled),
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#
    );
    assert_eq!(shared.leave(begun.name), None, "once");
    assert_eq!(shared.incoming(&answer("1")), Incoming::Dropped(LinkDrop::Late));
    let mut session = board(Sharing::Session);
    let begun = session.begin(&call("1"), ME).unwrap();
    assert_eq!(session.leave(begun.name), None);
    assert_eq!(session.in_flight(), 0);
}

#[test]
fn a_cancellation_names_its_senders_request_or_does_not_go_out() {
    let mut board = board(Sharing::Everybody);
    let cancel = |id: &str| {
        let params = format!(r#"{{"requestId":{id},"reason":"r"}}"#);
        parse(&format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#))
    };
    board.begin(&call("7"), ME).unwrap();
    let yours = board.begin(&call("7"), YOU).unwrap();
    let out = board.told(&cancel("7"), YOU).unwrap();
    assert_eq!(out, cancel(text(&yours.name.raw())).into_bytes());
    assert_eq!(board.told(&cancel("8"), YOU), Err(Refused::NotTheirs));
    board.begin(&call("7"), YOU).unwrap();
    assert_eq!(board.told(&cancel("7"), YOU), Err(Refused::NotTheirs), "two may be meant");
    assert_eq!(board.told(&answer("1"), YOU), Err(Refused::NotTheirs));
    assert_eq!(board.told(&changed(), YOU), Ok(changed().into_bytes()));
}

#[test]
fn requests_are_limited_and_those_without_a_reader_make_room() {
    let mut board = board(Sharing::Session);
    let names: Vec<Name> = (0..4).map(|id| board.begin(&call(&id.to_string()), ME).unwrap().name).collect();
    assert_eq!(board.begin(&call("9"), ME).unwrap_err(), Refused::Full);
    board.leave(names[2]);
    board.begin(&call("9"), ME).unwrap();
    assert_eq!(board.incoming(&answer("2")), Incoming::Dropped(LinkDrop::Unknown), "forgotten");
    board.leave(names[0]);
    board.begin(&call("0"), ME).unwrap();
    assert!(matches!(board.incoming(&answer("0")), Incoming::Answer(..)), "asked again under its id");
}

#[test]
fn an_error_without_an_id_answers_the_only_request() {
    let error = parse(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}"#);
    let mut session = board(Sharing::Session);
    assert_eq!(session.incoming(&error), Incoming::Dropped(LinkDrop::Unmatched));
    let begun = session.begin(&call("1"), ME).unwrap();
    assert_eq!(session.incoming(&error), Incoming::Answer(begun.name, error.bytes().clone()));
    let mut principal = board(Sharing::Principal);
    let begun = principal.begin(&call("\"a\""), ME).unwrap();
    let Incoming::Answer(name, message) = principal.incoming(&error) else { panic!() };
    assert_eq!(name, begun.name);
    assert!(text(&message).contains(r#""id":"a""#));
    let mut everybody = board(Sharing::Everybody);
    everybody.begin(&call("1"), ME).unwrap();
    assert_eq!(everybody.incoming(&error), Incoming::Dropped(LinkDrop::Unmatched));
}
