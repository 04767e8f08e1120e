use super::*;
use crate::metrics::McpOutcome;
use std::collections::BTreeMap;

fn registry() -> Registry {
    Registry::new(&BTreeMap::new()).unwrap()
}

fn call(name: &str, outcome: McpOutcome) -> Operation<'_> {
    Operation {
        method: OperationMethod::ToolsCall,
        name: name.as_bytes(),
        version: OperationVersion::V2026_07_28,
        piped: false,
        verdict: outcome.into(),
        took: Duration::from_millis(20),
    }
}

fn counts(registry: &Registry, metric: &str) -> Vec<String> {
    let prefix = format!("{metric}_seconds_count{{");
    let mut lines: Vec<String> =
        registry.render().lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn a_call_is_told_as_the_convention_says() {
    let registry = registry();
    let server = Operations::new(&registry, 10).server("files");
    server.served(&call("read", McpOutcome::Ok));
    server.served(&Operation {
        verdict: Verdict { outcome: McpOutcome::ServerError, code: Some(-32603) },
        ..call("read", McpOutcome::Ok)
    });
    let labels = |error: &str| {
        format!(
            "server=\"files\",mcp_method_name=\"tools/call\",gen_ai_tool_name=\"read\",gen_ai_prompt_name=\"\",gen_ai_operation_name=\"execute_tool\",error_type=\"{error}\",rpc_response_status_code=\"{error}\",mcp_protocol_version=\"2026-07-28\",network_transport=\"tcp\"}} 1"
        )
    };
    assert_eq!(counts(&registry, "mcp_server_operation_duration"), [labels(""), labels("-32603")]);
    assert!(counts(&registry, "mcp_client_operation_duration").is_empty(), "no message went to a server");
    let page = registry.render();
    let buckets: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("mcp_server_operation_duration_seconds_bucket"))
        .collect();
    let bounds = |text: &str| buckets.iter().filter(|line| line.contains(text)).count();
    assert_eq!((bounds("le=\"0.01\""), bounds("le=\"300.0\""), bounds("le=\"+Inf\"")), (2, 2, 2));
    assert_eq!(buckets.len(), 2 * (OPERATION_BOUNDS + 1), "{buckets:#?}");
}

const OPERATION_BOUNDS: usize = crate::metrics::OPERATION_BUCKETS.len();

#[test]
fn a_name_that_only_ever_failed_has_no_label_and_takes_no_room() {
    let registry = registry();
    let server = Operations::new(&registry, 1).server("s");
    for n in 0..100 {
        server.served(&call(&format!("invented-{n}"), McpOutcome::CallerError));
        server.served(&call(&format!("invented-{n}"), McpOutcome::ToolError));
    }
    server.served(&call("real", McpOutcome::Ok));
    server.served(&call("real", McpOutcome::ToolError));
    let lines = counts(&registry, "mcp_server_operation_duration");
    let of = |name: &str| {
        lines.iter().filter(|line| line.contains(&format!("gen_ai_tool_name=\"{name}\""))).count()
    };
    assert_eq!((lines.len(), of("_OTHER"), of("real")), (4, 2, 2), "{lines:#?}");
    assert_eq!(server.unlabelled.get(), 0);
}

#[test]
fn names_above_the_limit_share_one_label_and_are_counted() {
    let registry = registry();
    let operations = Operations::new(&registry, 3);
    let (one, other) = (operations.server("one"), operations.server("other"));
    for n in 0..10 {
        one.served(&call(&format!("t{n}"), McpOutcome::Ok));
        one.sent(&call(&format!("t{n}"), McpOutcome::Ok));
    }
    other.served(&call("t", McpOutcome::Ok));
    let lines = counts(&registry, "mcp_server_operation_duration");
    assert_eq!(lines.len(), 3 + 2, "three names, and one overflow of each server: {lines:#?}");
    assert!(lines.iter().any(|line| line.contains("gen_ai_tool_name=\"_OTHER\"") && line.ends_with(" 7")));
    assert_eq!((one.unlabelled.get(), other.unlabelled.get()), (14, 1));
    drop(one);
    other.served(&call("t", McpOutcome::Ok));
    assert_eq!(other.unlabelled.get(), 1, "a server that is gone gives its names back");
    assert!(counts(&registry, "mcp_server_operation_duration").iter().all(|line| line.contains("other")));
}

#[test]
fn a_reload_that_keeps_a_server_keeps_its_series() {
    let registry = registry();
    let operations = Operations::new(&registry, 3);
    let before = operations.server("s");
    before.served(&call("t", McpOutcome::Ok));
    let after = operations.server("s");
    drop(before);
    after.served(&call("t", McpOutcome::Ok));
    let lines = counts(&registry, "mcp_server_operation_duration");
    assert_eq!(lines.len(), 1);
    assert!(lines[0].ends_with(" 2"), "{lines:#?}");
}

#[test]
fn names_that_cannot_be_labels_are_not() {
    let registry = registry();
    let server = Operations::new(&registry, 100).server("s");
    for name in ["", "with\\u0020escape", &"x".repeat(129)] {
        server.served(&call(name, McpOutcome::Ok));
    }
    server.served(&Operation { name: b"\xff\xfe", ..call("", McpOutcome::Ok) });
    let lines = counts(&registry, "mcp_server_operation_duration");
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("gen_ai_tool_name=\"_OTHER\"") && lines[0].ends_with(" 4"));
}

#[test]
fn methods_and_versions_are_those_of_their_lists() {
    for method in OperationMethod::ALL {
        assert_eq!(OperationMethod::of(method.as_str().as_bytes()), *method);
    }
    assert_eq!(OperationMethod::of(b"x/y"), OperationMethod::Other);
    for version in OperationVersion::ALL {
        assert_eq!(OperationVersion::of(version.as_str()), *version);
    }
    assert_eq!(OperationVersion::of("1999-01-01"), OperationVersion::Unknown);
}

#[test]
fn sessions_are_told_by_how_they_ended() {
    let registry = registry();
    let server = Operations::new(&registry, 0).server("s");
    let ended = |error| SessionOf {
        version: OperationVersion::V2025_11_25,
        piped: true,
        error,
        took: Duration::from_secs(100),
    };
    server.session_served(ended(""));
    server.session_served(ended("idle"));
    server.session_sent(ended(""));
    let lines = counts(&registry, "mcp_server_session_duration");
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].starts_with(
        "server=\"s\",error_type=\"\",mcp_protocol_version=\"2025-11-25\",network_transport=\"pipe\""
    ));
    assert_eq!(counts(&registry, "mcp_client_session_duration").len(), 1);
}
