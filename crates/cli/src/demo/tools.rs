//! The demo server's tools. Both only read, and say so, so that a gateway that trusts the hints may call again.

use serde_json::{Value, json};

/// Answers a method, or `None` for one the server does not know.
pub(crate) fn call(replica: &str, method: &str, params: &Value) -> Option<Value> {
    match method {
        "ping" => Some(json!({})),
        "server/discover" => Some(json!({ "capabilities": { "tools": {} } })),
        "tools/list" => Some(json!({ "tools": [describe_whoami(), describe_add()] })),
        "tools/call" => Some(run(replica, params)),
        _ => None,
    }
}

fn run(replica: &str, params: &Value) -> Value {
    let arguments = &params["arguments"];
    match params["name"].as_str().unwrap_or_default() {
        "whoami" => text(replica, false),
        "add" => match (arguments["a"].as_f64(), arguments["b"].as_f64()) {
            (Some(a), Some(b)) => text(&(a + b).to_string(), false),
            _ => text("add needs two numbers, a and b", true),
        },
        other => text(&format!("there is no tool named '{other}'; try whoami or add"), true),
    }
}

fn text(text: &str, is_error: bool) -> Value {
    json!({ "content": [{ "type": "text", "text": text }], "isError": is_error })
}

fn describe_whoami() -> Value {
    json!({
        "name": "whoami",
        "description": "Names the replica that answers",
        "inputSchema": { "type": "object" },
        "annotations": { "readOnlyHint": true, "idempotentHint": true },
    })
}

fn describe_add() -> Value {
    json!({
        "name": "add",
        "description": "Adds two numbers",
        "inputSchema": { "type": "object", "required": ["a", "b"],
            "properties": { "a": { "type": "number" }, "b": { "type": "number" } } },
        "annotations": { "readOnlyHint": true, "idempotentHint": true },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_called_wrongly_says_what_to_do() {
        let answer = call("one", "tools/call", &json!({ "name": "add", "arguments": { "a": 1 } })).unwrap();
        assert_eq!(answer["isError"], true);
        assert!(answer["content"][0]["text"].as_str().unwrap().contains("two numbers"));
    }

    #[test]
    fn an_unknown_method_is_left_to_the_protocol() {
        assert_eq!(call("one", "prompts/list", &Value::Null), None);
    }
}
