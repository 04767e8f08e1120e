//! What a drain means for streams: those that wait for whatever comes end politely, those that owe an answer go on.

use super::{
    gateway::{Gateway, Options, plain},
    upstream::{Act, Seen, Step, Upstream, legacy},
    wait,
};
use http::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Notify;

fn changed() -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
}

fn progress() -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": "p", "progress": 1}})
}

/// A legacy server whose GET streams stay open, and whose calls are answered when `go` fires.
async fn patient(go: &Arc<Notify>) -> Upstream {
    let go = Arc::clone(go);
    Upstream::start(legacy("a", move |seen| {
        if seen.method == Method::GET {
            return Act::Events(vec![Step::message(&changed()), Step::Hang]);
        }
        Act::Events(vec![
            Step::message(&progress()),
            Step::Wait(Arc::clone(&go)),
            Step::message(&seen.result(json!({"done": true}))),
        ])
    }))
    .await
}

#[tokio::test]
async fn a_get_stream_ends_with_a_pause_to_come_back_after() {
    let server = patient(&Arc::new(Notify::new())).await;
    let gateway = plain(&[&server]);
    let session = gateway.open("2025-06-18").await;
    let mut events = session.get(None).await.follow();
    let last = events.next().await.expect("the change");
    assert_eq!(last.message(), changed());
    gateway.begin_drain();
    let goodbye = events.next().await.expect("a last word");
    let pause = goodbye.retry.expect("how long to wait");
    assert!((1_000..10_000).contains(&pause), "{pause}");
    assert_eq!((goodbye.id, goodbye.data), (None, None), "nothing else is said");
    assert!(events.next().await.is_none(), "a clean end");

    // The stream went on behind the client: it can be resumed where it was left.
    let resumed = session.get(last.id.as_deref()).await;
    assert_eq!(resumed.status(), 200);
}

#[tokio::test]
async fn a_stream_that_owes_an_answer_goes_on_until_it_is_given() {
    let go = Arc::new(Notify::new());
    let server = patient(&go).await;
    let gateway = plain(&[&server]);
    let session = gateway.open("2025-06-18").await;
    let mut unasked = session.get(None).await.follow();
    unasked.next().await.expect("the change");
    let mut call = session.call(4, "tools/call", json!({"name": "t"})).await.follow();
    assert_eq!(call.next().await.expect("progress").message(), progress());
    gateway.begin_drain();
    // When the GET stream has gone, the drain has reached the streams.
    while unasked.next().await.is_some() {}
    go.notify_one();
    let answer = call.next().await.expect("the answer").message();
    assert_eq!((&answer["id"], &answer["result"]["done"]), (&json!(4), &json!(true)));
    assert!(call.next().await.is_none());
}

#[tokio::test]
async fn a_subscription_is_completed_and_cancelled_at_its_endpoints() {
    let listener = |seen: &Seen| {
        let mut params = json!({"notifications": {"toolsListChanged": true}});
        params["_meta"] = json!({"io.modelcontextprotocol/subscriptionId": seen.message["id"]});
        let method = "notifications/subscriptions/acknowledged";
        let acknowledged = json!({"jsonrpc": "2.0", "method": method, "params": params});
        Act::Events(vec![Step::message(&acknowledged), Step::Hang])
    };
    let server = Upstream::start(listener).await;
    let gateway = Gateway::new(&[&server], Options { server: "era: modern", ..Options::default() });
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let mut events = gateway.modern("subscriptions/listen", filter).await.follow();
    events.next().await.expect("the acknowledgement");
    gateway.begin_drain();
    let result = events.next().await.expect("the completion").message();
    assert_eq!((&result["id"], &result["result"]["resultType"]), (&json!(7), &json!("complete")));
    assert!(events.next().await.is_none(), "a clean end");
    wait::until("the cancellation", || server.cancelled() == 1).await;
}

#[tokio::test]
async fn a_modern_call_that_streams_is_answered() {
    let go = Arc::new(Notify::new());
    let signal = Arc::clone(&go);
    let server = Upstream::start(move |seen| {
        Act::Events(vec![
            Step::message(&progress()),
            Step::Wait(Arc::clone(&signal)),
            Step::message(&seen.result(json!({"resultType": "complete"}))),
        ])
    })
    .await;
    let gateway = Gateway::new(&[&server], Options { server: "era: modern", ..Options::default() });
    let mut events = gateway.modern("tools/call", json!({"name": "t"})).await.follow();
    assert_eq!(events.next().await.expect("progress").message(), progress());
    gateway.begin_drain();
    go.notify_one();
    assert_eq!(events.next().await.expect("the answer").message()["result"]["resultType"], "complete");
    assert!(events.next().await.is_none());
}
