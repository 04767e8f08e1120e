//! Endpoints that die at the worst moments.

use super::{
    gateway::{Gateway, Options, plain, replayable},
    upstream::{Act, Seen, Step, Upstream, legacy, named},
};
use http::StatusCode;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Notify;

/// An event stream that breaks off before its answer.
fn torn_head(_: &Seen) -> Act {
    Act::Events(vec![Step::Raw("id: 1\ndata:\n\n".into()), Step::Tear])
}

#[tokio::test]
async fn a_safe_request_survives_a_death_between_head_and_answer() {
    let servers = [
        Upstream::start(legacy("a", |seen| {
            if seen.rpc() == "tools/list" { torn_head(seen) } else { named("a")(seen) }
        }))
        .await,
        Upstream::start(legacy("b", named("b"))).await,
    ];
    let gateway = replayable(&[&servers[0], &servers[1]]);
    for id in 0..8 {
        let session = gateway.open("2025-11-25").await;
        let answer = session.call(id, "tools/list", json!({})).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.json().await["result"]["from"], "b");
    }
    assert!(servers[0].saw("tools/list") > 0, "the window was hit");
}

#[tokio::test]
async fn a_tool_call_that_was_sent_is_answered_once_with_a_typed_error() {
    for act in [|_: &Seen| Act::Drop, torn_head] {
        let servers = [Upstream::start(legacy("a", act)).await, Upstream::start(legacy("b", act)).await];
        let gateway = replayable(&[&servers[0], &servers[1]]);
        let session = gateway.open("2025-11-25").await;
        let answer = session.call(5, "tools/call", json!({"name": "pay"})).await;
        let message = answer.message().await;
        assert_eq!(message["id"], 5);
        assert_eq!(message["error"]["data"]["reason"], "upstream_lost");
        assert_eq!(message["error"]["data"]["retry"], "if_idempotent");
        let calls = servers[0].saw("tools/call") + servers[1].saw("tools/call");
        assert_eq!(calls, 1, "never replayed");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_after_it_began_ends_with_a_typed_error_event() {
    let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}});
    let tear = Arc::new(Notify::new());
    let signal = Arc::clone(&tear);
    let server = Upstream::start(legacy("a", move |_| {
        Act::Events(vec![Step::message(&progress), Step::Wait(Arc::clone(&signal)), Step::Tear])
    }))
    .await;
    let gateway = replayable(&[&server]);
    let session = gateway.open("2025-06-18").await;
    let mut events = session.call(9, "tools/call", json!({"name": "t"})).await.follow();
    assert_eq!(events.next().await.unwrap().message()["method"], "notifications/progress");
    tear.notify_one();
    let last = events.next().await.unwrap().message();
    assert!(events.next().await.is_none());
    assert_eq!((&last["id"], &last["error"]["data"]["reason"]), (&json!(9), &json!("upstream_lost")));
}

#[tokio::test]
async fn hints_are_believed_only_where_the_operator_says_so() {
    let script = |name: &'static str| {
        legacy(name, move |seen: &Seen| {
            match seen.rpc() {
            "tools/list" => Act::Json(
                StatusCode::OK,
                seen.result(json!({"tools": [{"name": "read", "annotations": {"readOnlyHint": true}}, {"name": "write"}]})),
            ),
            _ => Act::Drop,
        }
        })
    };
    for (options, repeated) in
        [("session: replayable\ntrust_hints: true", true), ("session: replayable", false)]
    {
        let servers = [Upstream::start(script("a")).await, Upstream::start(script("b")).await];
        let gateway =
            Gateway::new(&[&servers[0], &servers[1]], Options { server: options, ..Options::default() });
        let session = gateway.open("2025-11-25").await;
        assert_eq!(session.call(1, "tools/list", json!({})).await.status(), StatusCode::OK);
        let calls = || servers[0].saw("tools/call") + servers[1].saw("tools/call");
        session.call(2, "tools/call", json!({"name": "write"})).await;
        assert_eq!(calls(), 1);
        session.call(3, "tools/call", json!({"name": "read"})).await;
        assert_eq!(calls() > 2, repeated, "{options}");
    }
}

#[tokio::test]
async fn a_modern_safe_request_goes_elsewhere_and_an_unsafe_one_does_not() {
    let dying = |seen: &Seen| match seen.rpc() {
        "server/discover" => Act::Json(
            StatusCode::OK,
            seen.result(
                json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}}),
            ),
        ),
        _ => torn_head(seen),
    };
    let servers = [Upstream::start(dying).await, Upstream::start(named("b")).await];
    let options = Options { server: "era: modern", ..Options::default() };
    let gateway = Gateway::new(&[&servers[0], &servers[1]], options);
    for _ in 0..16 {
        let answer = gateway.modern("tools/list", json!({})).await;
        assert_eq!(answer.json().await["result"]["from"], "b");
    }
    assert!(servers[0].saw("tools/list") > 0, "the window was hit");
    let mut lost = 0;
    for _ in 0..16 {
        let message = gateway.modern("tools/call", json!({"name": "pay"})).await.message().await;
        lost += usize::from(message["error"]["data"]["reason"] == "upstream_lost");
    }
    assert_eq!(lost, servers[0].saw("tools/call"), "each was answered by an error, none was replayed");
    assert_eq!(lost + servers[1].saw("tools/call"), 16);
}

#[tokio::test]
async fn a_torn_json_answer_is_never_passed_on_as_whole() {
    let server = Upstream::start(legacy("a", named("a"))).await;
    let gateway = plain(&[&server]);
    let session = gateway.open("2025-11-25").await;
    server.script(legacy("a", |_| Act::Drop));
    let answer = session.call(1, "tools/call", json!({"name": "t"})).await;
    assert!(!answer.status().is_success());
}

#[tokio::test]
async fn with_nobody_left_the_answer_is_quick_and_typed() {
    let mut server = Upstream::start(legacy("a", named("a"))).await;
    let gateway = replayable(&[&server]);
    let session = gateway.open("2025-11-25").await;
    server.kill().await;
    let answer = session.call(3, "tools/list", json!({})).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.header("retry-after").is_some());
    let message = answer.json().await;
    assert_eq!((&message["id"], &message["error"]["data"]["retry"]), (&json!(3), &json!("safe")));
}
