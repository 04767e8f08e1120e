use super::tests_parse::json;
use super::{Frame, Home, Limits, Member, Place, SpliceError};
use bytes::Bytes;
use proptest::prelude::*;

fn frame(text: &str) -> Frame {
    Frame::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
}

fn spliced(splice: super::Splice<'_>) -> String {
    String::from_utf8(splice.finish().unwrap().to_vec()).unwrap()
}

/// Everything a model would lose: unknown members, big and long numbers, key order, odd blanks, lone surrogates.
const ODD: &str = concat!(
    "{ \"zeta\":123456789012345678901234567890 ,\"params\":\r\n{\"x\":1.10,\"name\":\"a\\/b\",\"_meta\":{\"a\":-0.0,",
    "\"progressToken\":\"\\ud800\"},\"b\":1e400},\"id\" : 7,\"method\":\"tools/call\",\"jsonrpc\":\"2.0\",\"alpha\":{}}"
);

#[test]
fn replacing_keeps_every_other_byte() {
    let odd = frame(ODD);
    let changed = spliced(odd.splice().set(Member::Id, "\"new\"").set(Member::MetaProgressToken, "5"));
    assert_eq!(changed, ODD.replace(": 7,", ": \"new\",").replace("\"\\ud800\"", "5"));
    assert_eq!(odd.splice().finish().unwrap().as_ptr(), odd.bytes().as_ptr(), "no change, no copy");
}

#[test]
fn missing_members_are_inserted_and_missing_objects_made() {
    let call = |text: &str| frame(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m"{text}}}"#));
    for (text, expected) in [
        ("", r#"{"params":{"_meta":{"traceparent":"t"}},"jsonrpc":"2.0","id":1,"method":"m"}"#),
        (
            r#","params":{ }"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"traceparent":"t"} }}"#,
        ),
        (
            r#","params":{"a":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"traceparent":"t"},"a":1}}"#,
        ),
        (
            r#","params":{"_meta":{"b":2}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"traceparent":"t","b":2}}}"#,
        ),
    ] {
        assert_eq!(spliced(call(text).splice().set_text(Member::MetaTraceparent, "t")), expected);
    }
    let bare = call("");
    let all = bare.splice().set(Member::MetaProgressToken, "1").set(Member::Cursor, "\"c\"");
    let all = all.insert(Home::Envelope, "x\"y", b"2").insert(Home::Meta, "k", b"3");
    assert_eq!(
        spliced(all),
        r#"{"x\"y":2,"params":{"cursor":"c","_meta":{"progressToken":1,"k":3}},"jsonrpc":"2.0","id":1,"method":"m"}"#
    );
}

#[test]
fn results_get_members_and_errors_do_not() {
    let result = frame(r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#);
    let marked = spliced(result.splice().set_text(Member::ResultType, "complete"));
    assert_eq!(marked, r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","content":[]}}"#);
    for text in [r#"{"jsonrpc":"2.0","id":1,"error":{}}"#, r#"{"jsonrpc":"2.0","id":1,"result":7}"#] {
        let frame = frame(text);
        assert_eq!(frame.splice().set(Member::Cursor, "1").finish(), Err(SpliceError::NoBody));
    }
}

#[test]
fn overlapping_changes_are_refused() {
    let odd = frame(ODD);
    let both = odd.splice().set(Member::Meta, "{}").set(Member::MetaProgressToken, "1");
    assert_eq!(both.finish(), Err(SpliceError::Overlap));
    let outside = odd.splice().replace((5, ODD.len() + 1), "1");
    assert_eq!(outside.finish(), Err(SpliceError::Overlap));
}

#[test]
fn identifiers_are_found_wherever_the_specification_puts_them() {
    let texts = |text: &str, place: Place| -> Vec<String> {
        let frame = frame(text);
        let cut =
            |&(start, end): &(usize, usize)| String::from_utf8(frame.bytes()[start..end].to_vec()).unwrap();
        frame.places(place).iter().map(cut).collect()
    };
    let call = |params: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{params}}}"#);
    let answer = |result: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
    assert_eq!(texts(&call(r#"{"taskId":"a"}"#), Place::TaskId), ["\"a\""]);
    assert_eq!(texts(&answer(r#"{"resultType":"task","taskId":"a"}"#), Place::TaskId), ["\"a\""]);
    assert_eq!(texts(&answer(r#"{"task":{"x":{"taskId":"no"},"taskId":"b"}}"#), Place::TaskId), ["\"b\""]);
    assert_eq!(
        texts(&answer(r#"{"tasks":[{"taskId":"a"}, {"t":1, "taskId" : "b"}]}"#), Place::TaskId),
        ["\"a\"", "\"b\""]
    );
    assert_eq!(
        texts(&call(r#"{"notifications":{"taskIds":["a", "b",7],"toolsListChanged":true}}"#), Place::TaskId),
        ["\"a\"", "\"b\""]
    );
    let related = r#"{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"r"}},"taskId":"a"}"#;
    assert_eq!(texts(&answer(related), Place::TaskId), ["\"r\"", "\"a\""]);
    assert_eq!(texts(&call(r#"{"requestState":"s\n"}"#), Place::RequestState), [r#""s\n""#]);
    assert_eq!(texts(&answer(r#"{"requestState":"s","inputRequests":{}}"#), Place::RequestState), ["\"s\""]);
    assert!(texts(&answer(r#"{"content":[{"taskId":"x","requestState":"y"}]}"#), Place::TaskId).is_empty());
}

#[test]
fn error_codes_are_read() {
    let code = |text: &str| frame(text).error_code();
    assert_eq!(code(r#"{"jsonrpc":"2.0","id":1,"error":{"data":{"code":1},"code":-32602}}"#), Some(-32602));
    assert_eq!(code(r#"{"jsonrpc":"2.0","id":1,"error":{"code":"x"}}"#), None);
    assert_eq!(code(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#), None);
}

#[test]
fn debug_shows_no_payload() {
    assert!(
        !format!("{:?}", frame(r#"{"jsonrpc":"2.0","id":1,"result":{"s":"secret"}}"#)).contains("secret")
    );
}

proptest! {
    #[test]
    fn changes_meet_the_model_and_leave_the_rest(
        before in json(), after in json(), id in "[1-9][0-9]{0,19}", with_meta in any::<bool>(),
    ) {
        let meta = if with_meta { r#","_meta":{"q":1}"# } else { "" };
        let text = |id: &str, meta: &str| format!(
            r#"{{"a":{before},"jsonrpc":"2.0","id":{id},"method":"m","params":{{"z":{after}{meta}}}}}"#);
        let frame = frame(&text("1", meta));
        let renamed = spliced(frame.splice().set(Member::Id, id.clone()));
        prop_assert_eq!(&renamed, &text(&id, meta));
        let changed = spliced(frame.splice().set(Member::Id, id.clone()).set_text(Member::MetaLogLevel, "info"));
        let again = Frame::parse(changed.clone().into(), &Limits::default()).unwrap();
        prop_assert_eq!(again.text(Member::MetaLogLevel).unwrap(), "info");
        let (z, a) = (format!("\"z\":{after}"), format!("\"a\":{before},"));
        prop_assert!(changed.contains(&z) && changed.contains(&a));
        prop_assert_eq!(again.id().unwrap(), id.as_bytes());
    }
}
