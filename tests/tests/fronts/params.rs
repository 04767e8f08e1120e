//! Arguments that have headers (2026-07-28 "Custom Headers from Tool Parameters"), of clients that have none and never asked for the list.

use crate::{
    raw::{Sse, Ws},
    site,
};
use holdfast_tests::Result;
use serde_json::{Value, json};

fn call(id: u64, value: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
        "name": "test_custom_header",
        "arguments": {"value": value},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    }})
    .to_string()
}

/// The server compares each header with its argument, so a result says that they were there.
#[tokio::test]
async fn a_call_of_a_tool_that_was_never_listed_gets_the_headers_of_its_arguments() -> Result {
    let (gateway, _server) = site().await?;
    let values = [json!("plain"), json!(" Bär\n")];
    let mut ws = Ws::open(gateway.address, "/mcp/open", None).await?;
    for (id, value) in (1..).zip(&values) {
        ws.say(&call(id, value)).await?;
        let answer = ws.next().await?.map_err(|code| code.to_string())?;
        assert!(answer["result"]["content"].is_array(), "{answer}");
    }
    let mut sse = Sse::open(gateway.address, "/mcp/open/sse", None).await?;
    for (id, value) in (1..).zip(&values) {
        assert_eq!(sse.say(gateway.address, &call(id, value)).await?.0, 202);
        let answer = sse.message().await?;
        assert!(answer["result"]["content"].is_array(), "{answer}");
    }
    // Each conversation has asked once: one list, and one call more than its client made.
    let metrics = gateway.metrics().await?;
    let count = |method: &str| {
        metrics
            .sum("mcp_server_operation_duration_seconds_count", &[&format!("mcp_method_name=\"{method}\"")])
    };
    assert_eq!((count("tools/list").round(), count("tools/call").round()), (2.0, 6.0));
    Ok(())
}

#[tokio::test]
async fn a_tool_that_was_listed_is_called_once() -> Result {
    let (gateway, _server) = site().await?;
    let mut ws = Ws::open(gateway.address, "/mcp/open", None).await?;
    let mut list: Value = serde_json::from_str(&call(1, &json!("")))?;
    list["method"] = json!("tools/list");
    ws.say(&list.to_string()).await?;
    let listed = ws.next().await?.map_err(|code| code.to_string())?;
    assert!(listed["result"]["tools"].is_array(), "{listed}");
    ws.say(&call(2, &json!("größer"))).await?;
    let answer = ws.next().await?.map_err(|code| code.to_string())?;
    assert_eq!((&answer["id"], &answer["result"]["content"][0]["text"]), (&json!(2), &json!("größer")));
    let counted = &["mcp_method_name=\"tools/call\""];
    let calls = gateway.metrics().await?.sum("mcp_server_operation_duration_seconds_count", counted);
    assert!((calls - 1.0).abs() < 0.5, "{calls}");
    Ok(())
}
