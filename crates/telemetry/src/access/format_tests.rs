use super::*;
use crate::access::{Inline, RecordOutcome};
use http::{HeaderValue, Method};
use std::sync::Arc;

fn render(form: Form, record: &AccessRecord) -> String {
    let mut out = Vec::new();
    write(&mut out, form, &mut Stamp::default(), record);
    String::from_utf8(out).unwrap()
}

fn full() -> AccessRecord {
    AccessRecord {
        started: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_233_906_789),
        request_id: Inline::new("0123"),
        trace_id: 0xabc,
        client: Some("2001:db8::1".parse().unwrap()),
        subject: Some(Arc::from("alice")),
        listener: Some(Arc::from("server")),
        route: Some(Arc::from("api")),
        method: Method::POST,
        target: Some("/a/b?access_token=SECRET&q=PRIVATE".parse().unwrap()),
        status: 200,
        bytes_in: 1,
        body_counter: Some(Arc::new(4.into())),
        bytes_out: 2,
        duration: Duration::from_micros(12_345),
        first_byte: Some(Duration::from_micros(7)),
        upstream: Some(Arc::from("api")),
        endpoint: Some(Arc::from("http://10.0.0.1:80")),
        attempts: 2,
        outcome: RecordOutcome::Ok,
        reason: "",
        streaming: false,
        mcp: Some(McpCall { method: Inline::new("tools/call"), era: "modern", name: Inline::new("add") }),
        user_agent: Some(HeaderValue::from_static("curl/8")),
        carrier: None,
        trace: None,
    }
}

#[test]
fn a_full_record_is_one_json_object() {
    let line = render(Form::Json, &full());
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    let expected = serde_json::json!({
        "time": "2026-11-21T04:05:06.789Z", "request_id": "0123", "trace_id": "00000000000000000000000000000abc",
        "client": "2001:db8::1", "subject": "alice", "listener": "server", "route": "api", "method": "POST",
        "path": "/a/b", "status": 200, "bytes_in": 5, "bytes_out": 2, "duration_ms": 12.345, "first_byte_ms": 0.007,
        "upstream": "api", "endpoint": "http://10.0.0.1:80", "attempts": 2, "outcome": "ok",
        "mcp_method": "tools/call", "mcp_era": "modern", "mcp_name": "add", "user_agent": "curl/8",
    });
    assert_eq!(value, expected);
    assert_eq!(line.matches('\n').count(), 1);
}

#[test]
fn a_query_never_reaches_the_log() {
    for form in [Form::Json, Form::Text] {
        let line = render(form, &full());
        assert!(!line.contains("SECRET") && !line.contains("PRIVATE") && !line.contains('?'), "{line}");
    }
}

#[test]
fn a_client_cannot_forge_a_record() {
    let mut record = full();
    record.subject = Some(Arc::from("x\",\"status\":500}\n{\"time\":\"\u{1b}[2J"));
    record.user_agent = Some(HeaderValue::from_bytes(b"a\tb\xff\"").unwrap());
    let json = render(Form::Json, &record);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["status"], 200);
    for line in [json, render(Form::Text, &record)] {
        assert_eq!(line.lines().count(), 1);
        assert!(!line.contains('\u{1b}'));
    }
}

#[test]
fn what_is_not_known_is_not_written() {
    let line = render(Form::Text, &AccessRecord::default());
    assert_eq!(
        line,
        "1970-01-01T00:00:00.000Z method=GET status=0 bytes_in=0 bytes_out=0 duration_ms=0.000 outcome=ok\n"
    );
}

#[test]
fn a_long_user_agent_is_cut() {
    let mut record = full();
    record.user_agent = Some(HeaderValue::from_str(&"u".repeat(5000)).unwrap());
    assert!(render(Form::Json, &record).len() < 900);
}

#[test]
fn dates_are_right_around_leap_days_and_centuries() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00."),
        (951_782_399, "2000-02-28T23:59:59."),
        (951_782_400, "2000-02-29T00:00:00."),
        (1_709_164_800, "2024-02-29T00:00:00."),
        (4_107_542_400, "2100-03-01T00:00:00."),
        (1_767_225_599, "2025-12-31T23:59:59."),
    ] {
        assert_eq!(std::str::from_utf8(&civil(seconds)).unwrap(), text);
    }
}
