//! MCP operations and sessions as metrics of the semantic conventions.

use super::origin::Origin;
use holdfast_tests::{
    Result,
    fixture::{Fixture, Options},
    gateway::{Config, Gateway},
    mcp::{Client, Era},
    metrics::Metrics,
};
use serde_json::json;

fn count(metrics: &Metrics, name: &str, labels: &[&str]) -> usize {
    metrics.sum(&format!("{name}_seconds_count"), labels) as usize
}

#[tokio::test]
async fn operations_and_sessions_are_told_on_both_sides() -> Result {
    let fixture = Fixture::start(Options::named("one")).await?;
    let roots = format!("mcp:\n  servers:\n    - {{name: fix, endpoints: ['{}']}}\n", fixture.mcp());
    let gateway = Gateway::start(&Config::default().server(&["drain_delay: 0s"]).root(&roots)).await?;
    let mut legacy = Client::new(gateway.address, "/mcp/fix", Era::Legacy);
    legacy.open().await?;
    let mut modern = Client::new(gateway.address, "/mcp/fix", Era::Modern);
    for client in [&mut legacy, &mut modern] {
        for _ in 0..3 {
            client.call("tools/call", json!({"name": "whoami", "arguments": {}})).await?;
        }
        client.call("tools/list", json!({})).await?;
        assert!(client.call("tools/call", json!({"name": "no_such_tool", "arguments": {}})).await.is_err());
    }
    assert_eq!(legacy.end().await?, 204);
    let metrics = gateway.metrics().await?;
    let told = metrics.nonzero("mcp_");
    for side in ["mcp_server_operation_duration", "mcp_client_operation_duration"] {
        for version in ["2025-11-25", "2026-07-28"] {
            let of = |labels: &[&str]| {
                let version = format!("mcp_protocol_version=\"{version}\"");
                let all = [&["server=\"fix\"", &version, "network_transport=\"tcp\""], labels].concat();
                count(&metrics, side, &all)
            };
            let call = ["mcp_method_name=\"tools/call\"", "gen_ai_operation_name=\"execute_tool\""];
            let tool = [&call[..], &["gen_ai_tool_name=\"whoami\"", "error_type=\"\""]].concat();
            assert_eq!(of(&tool), 3, "{side} {version}\n{told}");
            let invented = [&call[..], &["gen_ai_tool_name=\"_OTHER\"", "error_type=\"-32602\""]].concat();
            assert_eq!(of(&invented), 1, "{side} {version}\n{told}");
            assert_eq!(
                of(&["mcp_method_name=\"tools/list\"", "gen_ai_tool_name=\"\""]),
                1,
                "{side} {version}\n{told}"
            );
        }
        assert_eq!(count(&metrics, side, &["mcp_method_name=\"initialize\""]), 1, "{told}");
    }
    assert!(!metrics.text().contains("no_such_tool"), "a name that a client made up is no label");
    for side in ["mcp_server_session_duration", "mcp_client_session_duration"] {
        let labels = ["server=\"fix\"", "mcp_protocol_version=\"2025-11-25\"", "error_type=\"\""];
        assert_eq!(count(&metrics, side, &labels), 1, "{side}\n{told}");
    }
    Ok(())
}

#[tokio::test]
async fn names_above_the_limit_are_one_label() -> Result {
    let origin = Origin::start().await?;
    let config = origin.config("enabled: false").observability(&["metrics: {max_names: 2}"]);
    let gateway = Gateway::start(&config).await?;
    let mut client = Client::new(gateway.address, "/mcp/files", Era::Modern);
    for tool in ["a", "b", "c", "d", "c"] {
        client.call("tools/call", json!({"name": tool, "arguments": {}})).await?;
    }
    let metrics = gateway.metrics().await?;
    let of = |tool: &str| {
        count(&metrics, "mcp_server_operation_duration", &[&format!("gen_ai_tool_name=\"{tool}\"")])
    };
    assert_eq!((of("a"), of("b"), of("_OTHER")), (1, 1, 3));
    // Each is counted towards its client and towards its server.
    let unlabelled = metrics.sum("holdfast_mcp_names_unlabelled_total", &["server=\"files\""]);
    assert!((unlabelled - 6.0).abs() < f64::EPSILON, "{unlabelled}");
    Ok(())
}
