//! 2025-03-26 batches in front of servers that know none.

use super::{
    gateway::{Session, plain},
    upstream::{Act, Seen, Step, Upstream, legacy, named},
};
use http::StatusCode;
use serde_json::{Value, json};

fn list(id: u64) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/list"})
}

fn ids(answers: &[Value]) -> Vec<u64> {
    let mut ids: Vec<u64> = answers.iter().filter_map(|answer| answer["id"].as_u64()).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn a_batch_is_split_for_the_server_and_joined_for_the_client() {
    let server = Upstream::start(legacy("a", named("a"))).await;
    let gateway = plain(&[&server]);
    let session = gateway.open("2025-03-26").await;
    let note = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}});
    let initialize = json!({"jsonrpc": "2.0", "id": 9, "method": "initialize", "params": {}});
    let answers = session.post(&json!([list(1), initialize, 7])).await.json().await;
    let codes: Vec<_> =
        answers.as_array().unwrap().iter().map(|answer| answer["error"]["code"].clone()).collect();
    assert_eq!(codes, [json!(null), json!(-32600), json!(-32600)], "`initialize` is never part of a batch");
    let answers = session.post(&json!([list(1), note, list(2)])).await.json().await;
    assert_eq!(ids(answers.as_array().unwrap()), [1, 2]);
    let accepted = session.post(&json!([note, note])).await;
    assert_eq!(accepted.status(), StatusCode::ACCEPTED);
    assert!(server.seen().iter().all(|seen| !seen.message.is_array()), "no server ever sees an array");
}

#[tokio::test]
async fn a_batch_with_a_stream_becomes_one_stream() {
    let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}});
    let server = Upstream::start(legacy("a", move |seen: &Seen| match seen.rpc() {
        "tools/call" => Act::Events(vec![Step::message(&progress), Step::message(&seen.result(json!({})))]),
        _ => named("a")(seen),
    }))
    .await;
    let gateway = plain(&[&server]);
    let session = gateway.open("2025-03-26").await;
    let call = json!({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "t"}});
    let events = session.post(&json!([list(1), call, list(2)])).await.events().await;
    let messages: Vec<Value> = events.iter().map(super::gateway::Event::message).collect();
    assert_eq!(ids(&messages), [1, 2, 3]);
    assert_eq!(messages.len(), 4);
}

#[tokio::test]
async fn only_the_version_that_has_batches_takes_them() {
    let server = Upstream::start(legacy("a", named("a"))).await;
    let gateway = plain(&[&server]);
    for version in ["2025-06-18", "2025-11-25"] {
        let session = gateway.open(version).await;
        let answer = session.post(&json!([list(1)])).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert_eq!(answer.code().await, -32600);
    }
    let old = gateway.open("2025-03-26").await;
    assert_eq!(old.post(&json!([])).await.status(), StatusCode::BAD_REQUEST);
    let many: Vec<Value> = (0..101).map(list).collect();
    assert!(old.post(&json!(many)).await.status().is_client_error());
    let lost = Session { token: "x".into(), ..old };
    assert_eq!(lost.post(&json!([list(1)])).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(server.saw("tools/list"), 0);
}
