//! `requestState` and task ids that lead back to the endpoint that made them.

use super::{
    gateway::{Gateway, Options, modern_message},
    upstream::{Act, Seen, Upstream},
};
use holdfast_identity::Principal;
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

fn complete(seen: &Seen, mut result: Value) -> Act {
    result["resultType"] = "complete".into();
    Act::Json(StatusCode::OK, seen.result(result))
}

/// A modern server that believes only its own state and tasks.
fn modern(name: &'static str) -> impl Fn(&Seen) -> Act + Send + Sync + 'static {
    move |seen| {
        let params = &seen.message["params"];
        let own = format!("{name}-secret");
        match seen.rpc() {
            "tools/call" if params["name"] == "job" => {
                let task = json!({"resultType": "task", "taskId": own, "status": "working", "ttlMs": null});
                Act::Json(StatusCode::OK, seen.result(task))
            }
            "tools/call" => match params["requestState"].as_str() {
                None => {
                    let ask =
                        json!({"resultType": "input_required", "inputRequests": {}, "requestState": own});
                    Act::Json(StatusCode::OK, seen.result(ask))
                }
                Some(state) if state == own => complete(seen, json!({"from": name})),
                Some(_) => Act::Status(StatusCode::INTERNAL_SERVER_ERROR),
            },
            "tasks/get" if params["taskId"] == own && seen.header("mcp-name") == Some(&own) => {
                complete(seen, json!({"taskId": own, "status": "completed", "from": name}))
            }
            _ => Act::Status(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

async fn pair() -> [Upstream; 2] {
    [Upstream::start(modern("a")).await, Upstream::start(modern("b")).await]
}

fn gateway(servers: &[Upstream; 2], more: &'static str) -> Gateway {
    let server = if more.is_empty() { "era: modern" } else { more };
    Gateway::new(&[&servers[0], &servers[1]], Options { server, ..Options::default() })
}

async fn state(gateway: &Gateway) -> String {
    let asked = gateway.modern("tools/call", json!({"name": "t"})).await.json().await;
    assert_eq!(asked["result"]["resultType"], "input_required");
    asked["result"]["requestState"].as_str().expect("a state").to_owned()
}

#[tokio::test]
async fn a_retry_returns_to_the_endpoint_whose_key_made_its_state() {
    let servers = pair().await;
    let gateway = gateway(&servers, "");
    for _ in 0..16 {
        let state = state(&gateway).await;
        assert!(!state.contains("secret"), "sealed");
        let params = json!({"name": "t", "inputResponses": {}, "requestState": state});
        let done = gateway.modern("tools/call", params).await;
        assert_eq!(done.status(), StatusCode::OK);
        assert_eq!(done.json().await["result"]["resultType"], "complete");
    }
    assert!(servers.iter().all(|server| server.saw("tools/call") > 0), "both were used");
}

#[tokio::test]
async fn tampered_foreign_and_expired_states_are_invalid_params_and_reach_nobody() {
    let servers = pair().await;
    let mut gateway = gateway(&servers, "era: modern\nhandle_ttl: 1s");
    let good = state(&gateway).await;
    let before = servers[0].seen().len() + servers[1].seen().len();
    let retry = |state: String| json!({"name": "t", "inputResponses": {}, "requestState": state});
    for bad in [format!("{good}-TAMPERED"), "a-secret".into(), String::new()] {
        let answer = gateway.modern("tools/call", retry(bad)).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert_eq!(answer.code().await, -32602);
    }
    gateway.principal = Arc::new(Principal::new("i", "other", None, Vec::new()).unwrap());
    assert_eq!(gateway.modern("tools/call", retry(good)).await.code().await, -32602);
    assert_eq!(gateway.modern("tasks/get", json!({"taskId": "a-secret"})).await.code().await, -32602);
    assert_eq!(servers[0].seen().len() + servers[1].seen().len(), before);
}

#[tokio::test]
async fn a_task_keeps_the_id_its_client_knows_and_its_endpoint() {
    let servers = pair().await;
    let gateway = gateway(&servers, "");
    for _ in 0..8 {
        let created = gateway.modern("tools/call", json!({"name": "job"})).await.json().await;
        let id = created["result"]["taskId"].as_str().unwrap().to_owned();
        assert!(!id.contains("secret"));
        for _ in 0..2 {
            let got = gateway.modern("tasks/get", json!({"taskId": id})).await.json().await;
            assert_eq!(got["result"]["taskId"], id, "the same handle every time");
            assert_eq!(got["result"]["status"], "completed");
        }
        let (message, _) = modern_message(1, "tasks/get", json!({"taskId": id}));
        let headers =
            [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tasks/get"), ("mcp-name", "other")];
        assert_eq!(gateway.post(&message, &headers).await.code().await, -32020);
    }
}

#[tokio::test]
async fn a_client_that_did_not_declare_tasks_is_told_so() {
    let servers = pair().await;
    let gateway = gateway(&servers, "");
    let (mut message, _) = modern_message(1, "tasks/get", json!({"taskId": "x"}));
    message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tasks/get"), ("mcp-name", "x")];
    let answer = gateway.post(&message, &headers).await.json().await;
    assert_eq!(answer["error"]["code"], -32021);
    assert!(
        answer["error"]["data"]["requiredCapabilities"]["extensions"]["io.modelcontextprotocol/tasks"]
            .is_object()
    );
}

#[tokio::test]
async fn a_state_whose_endpoint_is_gone_is_never_tried_elsewhere() {
    let mut servers = pair().await;
    let gateway = gateway(&servers, "");
    let state = state(&gateway).await;
    let home = usize::from(servers[0].saw("tools/call") == 0);
    servers[home].kill().await;
    let params = json!({"name": "t", "inputResponses": {}, "requestState": state});
    let answer = gateway.modern("tools/call", params).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json().await["error"]["data"]["reason"], "endpoint_gone");
    assert_eq!(servers[1 - home].saw("tools/call"), 0);
}
