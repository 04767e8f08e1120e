use super::{ParamSchema, SchemaFault, check_accept, check_content_type, check_modern, name_value};
use crate::era::Version;
use crate::errors::McpError;
use crate::frame::{Frame, Limits};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

fn call(method: &str, params: &str) -> Frame {
    frame(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}{META}}}}}"#))
}

fn frame(text: &str) -> Frame {
    Frame::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

fn outcome(lines: &[(&str, &str)], frame: &Frame) -> Option<i32> {
    check_modern(&headers(lines), frame, &Version::MODERN).err().map(|error| {
        assert_eq!(error.status(), 400);
        error.code()
    })
}

const V: (&str, &str) = ("MCP-Protocol-Version", "2026-07-28");

#[test]
fn matching_headers_pass_whatever_the_case_of_their_names_and_the_blanks_around() {
    let list = call("tools/list", "");
    for name in ["Mcp-Method", "mcp-method", "MCP-METHOD"] {
        assert_eq!(outcome(&[V, (name, "tools/list")], &list), None);
    }
    let tool = call("tools/call", r#""name":"add","#);
    assert_eq!(outcome(&[V, ("mcp-method", "tools/call"), ("mcp-name", " \tadd  ")], &tool), None);
    assert_eq!(outcome(&[V, ("mcp-method", "tools/call"), ("mcp-name", "=?base64?YWRk?=")], &tool), None);
}

#[test]
fn missing_differing_repeated_and_malformed_headers_are_mismatches() {
    let list = call("tools/list", "");
    let tool = call("tools/call", r#""name":"add","#);
    let m = ("mcp-method", "tools/call");
    for (lines, frame) in [
        (&[V][..], &list),
        (&[V, ("mcp-method", "prompts/list")], &list),
        (&[V, ("mcp-method", "TOOLS/LIST")], &list),
        (&[V, ("mcp-method", "tools/list"), ("mcp-method", "tools/list")], &list),
        (&[V, V, ("mcp-method", "tools/list")], &list),
        (&[("mcp-method", "tools/list")], &list),
        (&[("mcp-protocol-version", "2025-11-25"), ("mcp-method", "tools/list")], &list),
        (&[V, m], &tool),
        (&[V, m, ("mcp-name", "wrong")], &tool),
        (&[V, m, ("mcp-name", "Add")], &tool),
        (&[V, m, ("mcp-name", "é")], &tool),
        (&[V, m, ("mcp-name", "=?base64?YWRk")], &tool),
        (&[V, m, ("mcp-name", "=?base64?YWR?=")], &tool),
        (&[V, m, ("mcp-name", "add"), ("mcp-name", "add")], &tool),
    ] {
        assert_eq!(outcome(lines, frame), Some(-32020), "{lines:?}");
    }
}

#[test]
fn the_name_comes_from_where_the_method_says() {
    for (method, key) in [
        ("prompts/get", "name"),
        ("resources/read", "uri"),
        ("tasks/get", "taskId"),
        ("tasks/update", "taskId"),
        ("tasks/cancel", "taskId"),
    ] {
        let good = call(method, &format!(r#""{key}":"x\u0079é","#));
        let encoded = name_value(&good).unwrap();
        let encoded = encoded.to_str().unwrap();
        assert_eq!(encoded, "=?base64?eHnDqQ==?=");
        assert_eq!(outcome(&[V, ("mcp-method", method), ("mcp-name", encoded)], &good), None);
        assert_eq!(outcome(&[V, ("mcp-method", method), ("mcp-name", "z")], &good), Some(-32020));
        let without = call(method, "");
        assert_eq!(outcome(&[V, ("mcp-method", method)], &without), Some(-32602));
    }
}

#[test]
fn missing_meta_members_are_invalid_params() {
    let lines = [V, ("mcp-method", "server/discover")];
    for params in [
        "{}",
        r#"{"_meta":{"io.modelcontextprotocol/clientCapabilities":{}}}"#,
        r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#,
        r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":7,"io.modelcontextprotocol/clientCapabilities":{}}}"#,
        r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":[]}}"#,
    ] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{params}}}"#);
        assert_eq!(outcome(&lines, &frame(&text)), Some(-32602), "{params}");
    }
}

#[test]
fn an_unknown_version_names_what_is_supported() {
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{{{META}}}}}"#);
    let unknown = frame(&text.replace("2026-07-28", "v999.0.0"));
    let lines = headers(&[("mcp-protocol-version", "v999.0.0")]);
    let error: McpError = check_modern(&lines, &unknown, &Version::MODERN).unwrap_err();
    let value: serde_json::Value = serde_json::from_slice(&error.render(unknown.id())).unwrap();
    assert_eq!((error.code(), value["error"]["data"]["requested"].as_str()), (-32022, Some("v999.0.0")));
    assert_eq!(outcome(&[V], &unknown), Some(-32020), "a difference is told before an unknown version");
}

#[test]
fn notifications_need_no_headers_and_responses_are_refused() {
    let note = frame(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#);
    assert_eq!(outcome(&[V], &note), None);
    assert_eq!(outcome(&[V, ("mcp-method", "other")], &note), Some(-32020));
    assert_eq!(outcome(&[V], &frame(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)), Some(-32600));
}

const SCHEMA: &str = r#"{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},
  "n":{"type":"integer","x-mcp-header":"N"},"o":{"type":"object","properties":{"b":{"type":"boolean","x-mcp-header":"B"}}}}}"#;

#[test]
fn declared_params_must_match_the_arguments() {
    let schema = ParamSchema::read(SCHEMA.as_bytes()).unwrap();
    assert_eq!(schema.params.len(), 3);
    let check = |lines: &[(&str, &str)], arguments: &str| {
        let frame = call("tools/call", &format!(r#""name":"t","arguments":{arguments},"#));
        schema.check(&headers(lines), &frame).err().map(|error| error.code())
    };
    let r = ("Mcp-Param-Region", "=?base64?SGVsbG8=?=");
    assert_eq!(check(&[r], r#"{"region":"Hello"}"#), None);
    assert_eq!(
        check(&[r, ("mcp-param-other", "é")], r#"{"region":"Hello"}"#),
        None,
        "unknown ones are ignored"
    );
    assert_eq!(check(&[("mcp-param-n", "42.0")], r#"{"n":42}"#), None);
    assert_eq!(check(&[("mcp-param-b", "true")], r#"{"o":{"b":true}}"#), None);
    assert_eq!(check(&[], r#"{"region":null,"n":null}"#), None);
    for (lines, arguments) in [
        (&[][..], r#"{"region":"Hello"}"#),
        (&[("mcp-param-region", "Hell")], r#"{"region":"Hello"}"#),
        (&[("mcp-param-region", "=?base64?SGVsbG8?=")], r#"{"region":"Hello"}"#),
        (&[("mcp-param-region", "x")], r#"{"region":null}"#),
        (&[("mcp-param-region", "b")], r#"{"region":"a","region":"b"}"#),
        (&[("mcp-param-n", "9007199254740993")], r#"{"n":9007199254740993}"#),
        (&[("mcp-param-n", "NaN")], r#"{"n":1}"#),
        (&[("mcp-param-b", "True")], r#"{"o":{"b":true}}"#),
        (&[r, r], r#"{"region":"Hello"}"#),
    ] {
        assert_eq!(check(lines, arguments), Some(-32020), "{lines:?} {arguments}");
    }
}

#[test]
fn invalid_annotations_are_named() {
    for (schema, fault) in [
        (r#"{"properties":{"a":{"type":"string","x-mcp-header":""}}}"#, SchemaFault::Name),
        (r#"{"properties":{"a":{"type":"string","x-mcp-header":"a b"}}}"#, SchemaFault::Name),
        (r#"{"properties":{"a":{"type":"string","x-mcp-header":7}}}"#, SchemaFault::Name),
        (r#"{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}"#, SchemaFault::Kind),
        (r#"{"properties":{"a":{"type":["string"],"x-mcp-header":"A"}}}"#, SchemaFault::Kind),
        (
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#,
            SchemaFault::Twice,
        ),
        (r#"{"properties":{"a":{"items":{"type":"string","x-mcp-header":"A"}}}}"#, SchemaFault::Place),
        (r#"{"anyOf":[{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}]}"#, SchemaFault::Place),
        (r#"{"type":"string","x-mcp-header":"A"}"#, SchemaFault::Place),
    ] {
        assert_eq!(ParamSchema::read(schema.as_bytes()).unwrap_err(), fault, "{schema}");
    }
    let data = r#"{"properties":{"a":{"type":"object","default":{"x-mcp-header":"A"}}}}"#;
    assert!(ParamSchema::read(data.as_bytes()).unwrap().is_empty());
}

#[test]
fn params_can_be_mirrored_for_a_client_without_headers() {
    let schema = ParamSchema::read(SCHEMA.as_bytes()).unwrap();
    let frame = call("tools/call", r#""name":"t","arguments":{"region":"é","n":-7,"o":{"b":false}},"#);
    let made: Vec<_> =
        schema.headers(&frame).into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(made, ["mcp-param-region: =?base64?w6k=?=", "mcp-param-n: -7", "mcp-param-b: false"]);
}

#[test]
fn accept_and_content_type() {
    let both = ["application/json", "text/event-stream"];
    for good in ["application/json, text/event-stream", "*/*", "text/*;q=0.5,Application/JSON; q=1"] {
        assert!(check_accept(&headers(&[("accept", good)]), &both).is_ok(), "{good}");
    }
    assert!(check_accept(&HeaderMap::new(), &both).is_ok());
    for bad in ["application/json", "text/event-stream", "*/*;q=0, application/json", "text/html"] {
        assert_eq!(check_accept(&headers(&[("accept", bad)]), &both).unwrap_err().status(), 406, "{bad}");
    }
    for good in ["application/json", "Application/Json; charset=\"UTF-8\""] {
        assert!(check_content_type(&headers(&[("content-type", good)])).is_ok(), "{good}");
    }
    for bad in ["text/plain", "application/jsonp", "application/json; charset=utf-16", ""] {
        assert_eq!(
            check_content_type(&headers(&[("content-type", bad)])).unwrap_err().status(),
            415,
            "{bad}"
        );
    }
    assert!(check_content_type(&HeaderMap::new()).is_err());
}
