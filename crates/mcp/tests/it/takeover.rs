//! Streams that go on at another replica, from the log that both share.

use super::{
    gateway::{Gateway, Options, pair, plain},
    upstream::{Act, Step, Upstream, done, legacy, progress},
    wait,
};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Notify;

fn call() -> Value {
    json!({"name": "t"})
}

#[tokio::test]
async fn what_a_client_missed_comes_from_the_log_of_a_replica_that_is_gone() {
    let server = Upstream::start(legacy("a", |seen| {
        let mut steps: Vec<Step> = (1..=20).map(|n| Step::message(&progress(n))).collect();
        steps.push(Step::message(&done(seen)));
        Act::Events(steps)
    }))
    .await;
    let [one, two] = pair(&[&server]);
    let session = one.open("2025-11-25").await;
    let mut events = session.call(4, "tools/call", call()).await.follow();
    events.next().await.expect("priming");
    let seen = events.next().await.expect("progress");
    drop(events);
    // Nobody reads, so the stream runs to its end.
    let whole = session.get(seen.id.as_deref()).await.events().await;
    assert_eq!(whole.len(), 20);
    let rest = session.at(&two).get(seen.id.as_deref()).await.events().await;
    let told: Vec<_> = rest.iter().map(|event| event.message()["params"]["progress"].clone()).collect();
    assert_eq!(told[..19], (2..=20).map(Value::from).collect::<Vec<_>>(), "each once, in order");
    assert_eq!(rest[19].message()["result"]["done"], true);
    assert_eq!(rest.len(), 20, "and nothing else");
    let last = session.at(&two).get(rest[18].id.as_deref()).await.events().await;
    assert_eq!(last.len(), 1, "what was taken over can be read again");
    assert_eq!((server.saw("tools/call"), server.saw("GET")), (1, 0));
}

#[tokio::test]
async fn the_server_is_asked_for_the_rest_and_what_it_repeats_is_left_out() {
    let hold = Arc::new(Notify::new());
    let held = Arc::clone(&hold);
    let server = Upstream::start(legacy("a", move |seen| {
        if seen.method != Method::GET {
            return Act::Events(vec![
                Step::named("up-1", &progress(1)),
                Step::named("up-2", &progress(2)),
                Step::Wait(Arc::clone(&held)),
                Step::named("up-3", &progress(3)),
            ]);
        }
        let answer = json!({"jsonrpc": "2.0", "id": 4, "result": {"done": true}});
        match seen.header("last-event-id") {
            // Begins with the event it was asked to go on after, as some servers do.
            Some("up-2") => Act::Events(vec![
                Step::named("up-2", &progress(2)),
                Step::named("up-3", &progress(3)),
                Step::named("up-4", &answer),
            ]),
            _ => Act::Status(StatusCode::BAD_REQUEST),
        }
    }))
    .await;
    let [one, two] = pair(&[&server]);
    let session = one.open("2025-11-25").await;
    let mut events = session.call(4, "tools/call", call()).await.follow();
    assert_eq!(events.next().await.expect("priming or progress").data.as_deref(), Some(""));
    let first = events.next().await.expect("progress");
    // The replica has read both; this client has seen one.
    let kept = || one.service.state().sizes().stream_bytes;
    let before = kept();
    wait::until("the second event", || kept() > before || before > 600).await;
    let rest = session.at(&two).get(first.id.as_deref()).await.events().await;
    let told: Vec<_> = rest[..2].iter().map(|event| event.message()["params"]["progress"].clone()).collect();
    assert_eq!(told, [2, 3], "each once");
    assert_eq!(rest[2].message()["result"]["done"], true);
    assert_eq!(rest.len(), 3);
    // The first replica hears that the stream is another's when it has something to log.
    hold.notify_one();
    let mut left = Vec::new();
    while let Some(event) = events.next().await {
        left.push(event.message()["params"]["progress"].clone());
    }
    assert_eq!(left, [2], "a clean end, without what the other replica has logged");
}

#[tokio::test]
async fn an_answer_that_cannot_come_any_more_is_a_typed_error() {
    let server =
        Upstream::start(legacy("a", |_| Act::Events(vec![Step::message(&progress(1)), Step::Hang]))).await;
    let [one, two] = pair(&[&server]);
    let session = one.open("2025-11-25").await;
    let mut events = session.call(4, "tools/call", call()).await.follow();
    let primed = events.next().await.expect("priming");
    let seen = events.next().await.expect("progress");
    let rest = session.at(&two).get(seen.id.as_deref()).await.events().await;
    assert_eq!(rest.len(), 1, "the server names no events, so nobody can go on");
    let error = rest[0].message();
    assert_eq!((&error["id"], &error["error"]["data"]["reason"]), (&json!(4), &json!("upstream_lost")));
    // Of a stream that nobody has logged, too: the id itself says which request waits.
    let other = one.open("2025-11-25").await;
    let foreign = other.at(&two).get(primed.id.as_deref()).await;
    assert_ne!(foreign.status(), StatusCode::INTERNAL_SERVER_ERROR, "an id of another session is none");
}

#[tokio::test]
async fn without_a_log_the_event_id_itself_says_which_request_waits() {
    let server =
        Upstream::start(legacy("a", |_| Act::Events(vec![Step::message(&progress(1)), Step::Hang]))).await;
    let one = plain(&[&server]);
    let two = Gateway::new(&[&server], Options { ring: Some(Arc::clone(&one.ring)), ..Options::default() });
    let session = one.open("2025-11-25").await;
    let mut events = session.call(4, "tools/call", call()).await.follow();
    let primed = events.next().await.expect("priming");
    let rest = session.at(&two).get(primed.id.as_deref()).await.events().await;
    assert_eq!(rest.len(), 1);
    let error = rest[0].message();
    assert_eq!((&error["id"], &error["error"]["data"]["reason"]), (&json!(4), &json!("upstream_lost")));
}

#[tokio::test]
async fn a_listening_stream_goes_on_elsewhere_with_what_was_missed() {
    let server = Upstream::start(legacy("a", |seen| match seen.header("last-event-id") {
        None => {
            Act::Events(vec![Step::named("n-1", &progress(1)), Step::named("n-2", &progress(2)), Step::Hang])
        }
        Some("n-2") => Act::Events(vec![Step::named("n-3", &progress(3)), Step::Hang]),
        Some(_) => Act::Status(StatusCode::BAD_REQUEST),
    }))
    .await;
    let [one, two] = pair(&[&server]);
    let session = one.open("2025-11-25").await;
    let mut events = session.get(None).await.follow();
    assert_eq!(events.next().await.expect("priming").data.as_deref(), Some(""));
    let first = events.next().await.expect("progress");
    assert_eq!(events.next().await.expect("progress").message()["params"]["progress"], 2);
    drop(events);
    let mut events = session.at(&two).get(first.id.as_deref()).await.follow();
    for n in [2, 3] {
        assert_eq!(events.next().await.expect("progress").message()["params"]["progress"], n);
    }
    assert_eq!(server.saw("GET"), 2);
}
