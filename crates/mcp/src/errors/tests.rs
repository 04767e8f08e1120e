use super::{McpError, Problem, Refusal as _, TABLE};
use crate::frame::{Frame, Limits};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

const CODES_OF_THE_SPECIFICATIONS: [i32; 7] = [-32700, -32600, -32601, -32602, -32603, -32020, -32022];

#[test]
fn own_codes_lie_outside_every_reserved_range() {
    for row in TABLE {
        let reserved = (-32768..=-32000).contains(&row.code);
        assert_eq!(reserved, CODES_OF_THE_SPECIFICATIONS.contains(&row.code), "{row:?}");
        assert!(reserved || (-31099..=-31000).contains(&row.code), "{row:?}");
        assert_eq!(row.problem.row().reason, row.reason, "the table is in the order of the enum");
    }
}

#[test]
fn codes_and_reasons_are_unique() {
    let codes: HashSet<_> = TABLE.iter().map(|row| row.code).collect();
    let reasons: HashSet<_> = TABLE.iter().map(|row| row.reason).collect();
    assert_eq!((codes.len(), reasons.len()), (TABLE.len(), TABLE.len()));
}

#[test]
fn an_error_repeats_the_raw_id_and_says_whether_to_retry() {
    let error = McpError::new(Problem::UpstreamLost).detail("say \"hi\"\n").data("endpoint", "1");
    let body = error.render(Some(br#""a\u0062""#));
    assert!(body.starts_with(br#"{"jsonrpc":"2.0","id":"a\u0062","error":{"code":-31000,"#));
    let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(value["error"]["data"]["reason"], "upstream_lost");
    assert_eq!(value["error"]["data"]["retry"], "if_idempotent");
    assert_eq!(value["error"]["data"]["endpoint"], 1);
    assert!(value["error"]["message"].as_str().unwrap().ends_with(": say \"hi\"\n"));
}

#[test]
fn without_an_id_there_is_no_id_member() {
    let value: serde_json::Value =
        serde_json::from_slice(&McpError::new(Problem::ParseError).render(None)).unwrap();
    assert_eq!(value.get("id"), None);
    assert_eq!(value["error"].get("data"), None, "codes of the specification carry only what it defines");
}

#[test]
fn an_unsupported_version_lists_and_repeats() {
    let error = McpError::unsupported_version(["2025-11-25", "2025-06-18"], "v9\"");
    let value: serde_json::Value = serde_json::from_slice(&error.render(Some(b"3"))).unwrap();
    assert_eq!(value["error"]["code"], -32022);
    assert_eq!(value["error"]["data"]["supported"], serde_json::json!(["2025-11-25", "2025-06-18"]));
    assert_eq!(value["error"]["data"]["requested"], "v9\"");
}

#[test]
fn a_response_carries_status_type_and_a_rounded_up_retry_after() {
    let error = McpError::new(Problem::NoEndpoint).retry_after(Duration::from_millis(1200));
    let response = error.response(Some(b"1"));
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "2");
    assert_eq!(response.headers()["content-type"], "application/json");
    let soon = McpError::new(Problem::NoEndpoint).retry_after(Duration::ZERO).response(None);
    assert_eq!(soon.headers()["retry-after"], "1");
}

#[test]
fn a_long_detail_is_cut_at_a_character() {
    let error = McpError::new(Problem::InvalidParams).detail("é".repeat(1000));
    assert!(error.message().len() < 600);
}

#[test]
fn the_reference_page_is_generated_from_the_table() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/mcp-errors.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "{} is stale: run this test with UPDATE=1", path.display());
}

fn page() -> String {
    let mut page = String::from(
        "# MCP errors\n\n\
         Generated from the table in `crates/mcp/src/errors/table.rs`; do not edit.\n\n\
         These are the JSON-RPC errors that Holdfast itself sends. Errors of a server pass through unchanged.\n\
         Own codes (-31099 to -31000) carry `data.reason` and `data.retry`: `no`, `safe` (nothing was processed),\n\
         `if_idempotent` (it may have been processed), `new_session` (after a new `initialize`).\n\n\
         | code | HTTP | reason | retry | message | when, and what to do |\n|---|---|---|---|---|---|\n",
    );
    for row in TABLE {
        let _ = writeln!(
            page,
            "| {} | {} | `{}` | {} | {} | {} |",
            row.code,
            row.status,
            row.reason,
            row.retry.as_str(),
            row.message,
            row.when
        );
    }
    page
}

#[test]
fn a_message_that_cannot_be_read_has_its_code_and_status() {
    let refused = |text: &'static [u8], bytes_max| {
        let limits = Limits { bytes_max, ..Limits::default() };
        let error = Frame::parse(text.into(), &limits).unwrap_err().to_mcp();
        (error.code(), error.status().as_u16())
    };
    assert_eq!(refused(br#"{"id":"7","method":"m","params":{}}"#, 1000), (-32600, 400));
    assert_eq!(refused(br#"{"jsonrpc":"2.0","#, 1000), (-32700, 400));
    assert_eq!(refused(br#"{"jsonrpc":"2.0","method":"m"}"#, 10).1, 413);
}
