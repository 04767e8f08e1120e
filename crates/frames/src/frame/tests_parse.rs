use super::{Frame, FrameFault, Kind, Limits, MAX_DEPTH, Member};
use bytes::Bytes;
use proptest::prelude::*;
use serde::de::IgnoredAny;

fn parse(text: &[u8]) -> Result<Frame, FrameFault> {
    Frame::parse(Bytes::copy_from_slice(text), &Limits::default()).map_err(|error| error.fault)
}

fn request(params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{params}}}"#)
}

#[test]
fn the_four_kinds() {
    for (text, kind) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#, Kind::Request),
        (r#" {"method":"a","id":"x","jsonrpc":"2.0"} "#, Kind::Request),
        (r#"{"jsonrpc":"2.0","method":"a","params":{}}"#, Kind::Notification),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, Kind::Response),
        (r#"{"jsonrpc":"2.0","id":1.0,"result":null}"#, Kind::Response),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":""}}"#, Kind::ErrorResponse),
        (r#"{"jsonrpc":"2.0","id":null,"error":{}}"#, Kind::ErrorResponse),
        (r#"{"jsonrpc":"2.0","error":{}}"#, Kind::ErrorResponse),
    ] {
        assert_eq!(parse(text.as_bytes()).unwrap().kind(), kind, "{text}");
    }
}

#[test]
fn a_tools_error_is_seen_wherever_it_stands_and_never_refused() {
    for (result, failed) in [
        (r#"{"isError":true}"#, true),
        (r#"{"content":[],"is\u0045rror": true ,"x":1}"#, true),
        (r#"{"isError":false,"isError":true,"isError":null}"#, true),
        (r#"{"isError":"true"}"#, false),
        (r#"{"iserror":true,"content":{"isError":true}}"#, false),
        (r#"{"isError":false}"#, false),
        ("true", false),
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
        assert_eq!(parse(text.as_bytes()).unwrap().has(Member::IsError), failed, "{text}");
    }
}

#[test]
fn an_escaped_method_is_the_same_method() {
    for spelt in ["tools/call", "tools\\/call", "\\u0074ools/call"] {
        let frame = parse(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{spelt}"}}"#).as_bytes()).unwrap();
        assert!(
            frame.is("tools/call") && !frame.is("tools/list") && !frame.is(spelt.get(..3).unwrap()),
            "{spelt}"
        );
        assert_eq!((&*frame.method(), &*frame.method_bytes()), ("tools/call", &b"tools/call"[..]));
    }
}

#[test]
fn ids_of_every_type() {
    let long = format!("\"{}\"", "x".repeat(511));
    for good in ["1", "-7", "0", "\"\"", "\"a\\u0062\"", "123456789012345678901234567890"] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{good},"method":"m"}}"#);
        assert_eq!(parse(text.as_bytes()).unwrap().id(), Some(good.as_bytes()), "{good}");
    }
    for bad in ["null", "true", "false", "{}", "[]", "[1]", "1.5", "1e3", &long] {
        for text in [
            format!(r#"{{"jsonrpc":"2.0","id":{bad},"method":"m"}}"#),
            format!(r#"{{"jsonrpc":"2.0","id":{bad},"result":{{}}}}"#),
        ] {
            let number_in_a_response = bad.starts_with('1') && text.contains("result");
            let expected = (!number_in_a_response).then_some(FrameFault::Id);
            assert_eq!(parse(text.as_bytes()).err(), expected, "{text}");
        }
    }
}

#[test]
fn what_two_parsers_could_read_differently_is_refused() {
    use FrameFault::{Ambiguous, Duplicate};
    for (text, fault) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#.to_owned(), Duplicate(Member::Method)),
        (r#"{"jsonrpc":"2.0","id":1,"method":"a","m\u0065thod":"b"}"#.to_owned(), Duplicate(Member::Method)),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}"#.to_owned(), Duplicate(Member::Id)),
        (r#"{"jsonrpc":"2.0","id":1,"method":"a","Method":"b"}"#.to_owned(), Ambiguous(Member::Method)),
        (r#"{"jsonrpc":"2.0","id":1,"METHOD":"b"}"#.to_owned(), Ambiguous(Member::Method)),
        (r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(), Duplicate(Member::JsonRpc)),
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"result":{}}"#.to_owned(), Duplicate(Member::Result)),
        (request(r#"{"name":"a","name":"b"}"#), Duplicate(Member::Name)),
        (request(r#"{"name":"a","n\u0061me":"b"}"#), Duplicate(Member::Name)),
        (request(r#"{"name":"a","Name":"b"}"#), Ambiguous(Member::Name)),
        (request(r#"{"_meta":{},"_meta":{}}"#), Duplicate(Member::Meta)),
        (request(r#"{"_META":{},"_meta":{}}"#), Ambiguous(Member::Meta)),
        (request(r#"{"_meta":{"progressToken":1,"progressToken":2}}"#), Duplicate(Member::MetaProgressToken)),
    ] {
        assert_eq!(parse(text.as_bytes()).unwrap_err(), fault, "{text}");
    }
    assert!(parse(request(r#"{"x":1,"x":2,"NAME":1,"arguments":{"name":1,"name":2}}"#).as_bytes()).is_ok());
}

#[test]
fn malformed_messages_have_named_faults() {
    use FrameFault::{Batch, MemberNotObject, Method, NotObject, Shape, Syntax, Trailing, Utf8, Version};
    for (text, fault) in [
        (&b""[..], Syntax),
        (b"  ", Syntax),
        (b"{", Syntax),
        (b"{\"jsonrpc\":\"2.0\",}", Syntax),
        (b"{\"jsonrpc\":\"2.0\" \"id\":1}", Syntax),
        (b"{'jsonrpc':1}", Syntax),
        (b"\xef\xbb\xbf{}", Syntax),
        (b"{\"jsonrpc\":\"2.0\",\"x\":\"\x01\"}", Syntax),
        (b"{\"jsonrpc\":\"2.0\",\"x\":\"\\x\"}", Syntax),
        (b"{\"jsonrpc\":\"2.0\",\"x\":\"\\u12g4\"}", Syntax),
        (b"{\"jsonrpc\":\"2.0\",\"x\":01}", Syntax),
        (b"{\"jsonrpc\":\"2.0\",\"x\":nulL}", Syntax),
        (b"{\"jsonrpc\":\"2.0\",\"x\":\"\xff\"}", Utf8),
        (b"[{\"jsonrpc\":\"2.0\"}]", Batch),
        (b"[\"2.0\",1,\"m\"]", Batch),
        (b"7", NotObject),
        (b"\"x\"", NotObject),
        (b"7 8", Trailing),
        (b"{\"jsonrpc\":\"2.0\",\"method\":\"m\"}{}", Trailing),
        (b"{}", Version),
        (b"{\"jsonrpc\":\"1.0\",\"method\":\"m\"}", Version),
        (b"{\"jsonrpc\":2.0,\"method\":\"m\"}", Version),
        (b"{\"jsonrpc\":\"2.0\",\"method\":7}", Method),
        (b"{\"jsonrpc\":\"2.0\",\"method\":\"\"}", Method),
        (b"{\"jsonrpc\":\"2.0\",\"method\":\"\\ud800\"}", Method),
        (b"{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":[1]}", MemberNotObject(Member::Params)),
        (b"{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":null}", MemberNotObject(Member::Params)),
        (b"{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":{\"_meta\":7}}", MemberNotObject(Member::Meta)),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":7}", MemberNotObject(Member::Error)),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1}", Shape),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"result\":{}}", Shape),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{},\"error\":{}}", Shape),
    ] {
        assert_eq!(parse(text).unwrap_err(), fault, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn a_fault_is_answered_under_the_id_that_was_read() {
    let text = Bytes::from_static(br#"{"id":"7","method":"m","params":{}}"#);
    let error = Frame::parse(text, &Limits::default()).unwrap_err();
    assert_eq!((error.fault, error.id.as_deref()), (FrameFault::Version, Some(&b"\"7\""[..])));
    let null = Bytes::from_static(br#"{"jsonrpc":"2.0","id":null,"method":"m"}"#);
    assert_eq!(Frame::parse(null, &Limits::default()).unwrap_err().id, None);
}

#[test]
fn depth_is_bounded_exactly_and_hostile_depth_is_cheap() {
    let nested = |levels: usize| request(&format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels)));
    // The envelope and `params` are two levels.
    for (depth_max, levels, fits) in [(128, 126, true), (128, 127, false), (usize::MAX, MAX_DEPTH - 2, true)]
    {
        let limits = Limits { depth_max, ..Limits::default() };
        let outcome = Frame::parse(nested(levels).into(), &limits);
        assert_eq!(
            outcome.err().map(|error| error.fault),
            (!fits).then_some(FrameFault::TooDeep),
            "{levels}"
        );
    }
    for open in ["[", "{\"a\":", "[{\"a\":"] {
        let deep = open.repeat(100_000);
        let inside = request(&format!("{{\"a\":{deep}"));
        assert_eq!(parse(inside.as_bytes()).unwrap_err(), FrameFault::TooDeep);
        assert!(parse(deep.as_bytes()).is_err());
    }
}

#[test]
fn size_is_bounded_exactly() {
    let text = Bytes::from(request("{}"));
    let limits = |bytes_max| Limits { bytes_max, ..Limits::default() };
    assert!(Frame::parse(text.clone(), &limits(text.len())).is_ok());
    let error = Frame::parse(text.clone(), &limits(text.len() - 1)).unwrap_err();
    assert_eq!(error.fault, FrameFault::TooLarge);
}

/// Valid JSON, almost valid JSON, and everything between.
fn texts() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        "[{}\\[\\],: \n\t]",
        "\"[a-z\\\\\"ué]{0,4}\"",
        Just("\"\\ud83d\"".to_owned()),
        Just("\"k\":".to_owned()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        "-?[0-9]{1,3}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?",
    ];
    proptest::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
}

pub(super) fn json() -> impl Strategy<Value = String> {
    let blank = || prop_oneof![4 => Just(""), 1 => Just(" "), 1 => Just("\r\n\t")];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?",
        any::<String>().prop_map(|text| super::quote(&text)),
        "\"(\\\\u00[0-9a-f]{2}|[a-z]){0,60}\"",
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let spaced =
            (blank(), inner, blank()).prop_map(|(before, value, after)| format!("{before}{value}{after}"));
        let member = ("[a-zA-Z_]{1,8}", spaced.clone()).prop_map(|(key, value)| format!("\"{key}\":{value}"));
        prop_oneof![
            proptest::collection::vec(spaced, 0..6).prop_map(|all| format!("[{}]", all.join(","))),
            proptest::collection::vec(member, 0..6).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn the_grammar_is_that_of_serde_json(text in prop_oneof![texts(), json()]) {
        let message = request(&format!("{{\"v\":{text}}}"));
        let ours = parse(message.as_bytes());
        let theirs = serde_json::from_str::<IgnoredAny>(&message);
        match ours {
            Ok(_) => prop_assert!(theirs.is_ok(), "{}", message),
            Err(FrameFault::Syntax | FrameFault::Trailing) => prop_assert!(theirs.is_err(), "{}", message),
            Err(_) => {}
        }
    }

    #[test]
    fn members_are_those_that_serde_json_sees(name in any::<String>(), uri in json(), method in "[a-z/]{1,9}") {
        let text = format!(
            r#"{{"x":[],"params":{{"uri": {uri} ,"name":{},"_meta":{{"progressToken":{uri}}}}},"method":"{method}","id":7,"jsonrpc":"2.0"}}"#,
            super::quote(&name));
        let frame = parse(text.as_bytes()).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(frame.method(), method);
        prop_assert_eq!(frame.text(Member::Name).unwrap(), name);
        for (member, theirs) in [
            (Member::Uri, &value["params"]["uri"]),
            (Member::Params, &value["params"]),
            (Member::MetaProgressToken, &value["params"]["_meta"]["progressToken"]),
        ] {
            let ours: serde_json::Value = serde_json::from_slice(frame.raw(member).unwrap()).unwrap();
            prop_assert_eq!(&ours, theirs);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        let _ = parse(&[&b"{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"x\":"[..], &bytes].concat());
    }
}
