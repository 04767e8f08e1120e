//! Event streams: order, back-pressure, resumption, clients that leave.

use super::{
    gateway::{Gateway, Options, plain, replayable},
    upstream::{Act, Gate, Seen, Step, Upstream, done, legacy, progress},
    wait,
};
use http::{Method, StatusCode};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Notify;

#[tokio::test]
async fn events_pass_in_order_with_ids_of_ours_and_a_priming_event() {
    let server = Upstream::start(legacy("a", |seen| {
        Act::Events(vec![
            Step::message(&progress(1)),
            Step::message(&progress(2)),
            Step::message(&done(seen)),
        ])
    }))
    .await;
    let gateway = plain(&[&server]);
    for (version, primed) in [("2025-11-25", true), ("2025-06-18", false)] {
        let session = gateway.open(version).await;
        let answer = session.call(4, "tools/call", json!({"name": "t"})).await;
        assert_eq!(answer.header("x-accel-buffering"), Some("no"));
        let mut events = answer.events().await;
        if primed {
            let first = events.remove(0);
            assert_eq!(first.data.as_deref(), Some(""), "the priming event");
            assert!(first.id.is_some());
        }
        let progress: Vec<_> =
            events[..2].iter().map(|event| event.message()["params"]["progress"].clone()).collect();
        assert_eq!(progress, [json!(1), json!(2)]);
        assert_eq!(events[2].message()["id"], 4);
        assert_eq!(events.len(), 3, "the answer ends the stream");
        let mut ids: Vec<_> = events.iter().map(|event| event.id.clone().expect("an id")).collect();
        ids.dedup();
        assert_eq!(ids.len(), 3);
    }
}

#[tokio::test]
async fn a_client_that_leaves_does_not_cancel_and_finds_the_answer_again() {
    let go = Arc::new(Notify::new());
    let signal = Arc::clone(&go);
    let server = Upstream::start(legacy("a", move |seen| {
        Act::Events(vec![
            Step::message(&progress(1)),
            Step::Wait(Arc::clone(&signal)),
            Step::message(&done(seen)),
        ])
    }))
    .await;
    let gateway = plain(&[&server]);
    let session = gateway.open("2025-11-25").await;
    let mut events = session.call(4, "tools/call", json!({"name": "t"})).await.follow();
    events.next().await.expect("priming");
    let seen = events.next().await.expect("progress");
    drop(events);
    go.notify_one();
    let resumed = session.get(seen.id.as_deref()).await;
    assert_eq!(resumed.status(), StatusCode::OK);
    let rest = resumed.events().await;
    assert_eq!(rest.len(), 1, "only what was missed");
    assert_eq!(rest[0].message()["result"]["done"], true);
    let again = session.get(seen.id.as_deref()).await.events().await;
    assert_eq!(again.len(), 1, "a finished stream can be read again within its retention");
    assert_eq!(server.saw("tools/call"), 1);
    assert_eq!((server.cancelled(), server.finished()), (0, 1));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_does_not_cancel_either() {
    let go = Arc::new(Notify::new());
    let signal = Arc::clone(&go);
    let server = Upstream::start(legacy("a", move |seen| {
        Act::Events(vec![Step::Wait(Arc::clone(&signal)), Step::message(&done(seen))])
    }))
    .await;
    let gateway = plain(&[&server]);
    let session = gateway.open("2025-11-25").await;
    {
        let mut call = std::pin::pin!(session.call(4, "tools/call", json!({"name": "t"})));
        tokio::select! {
            _ = &mut call => panic!("there is no answer yet"),
            () = wait::until("the call", || server.saw("tools/call") == 1) => {}
        }
    }
    go.notify_one();
    wait::until("the call's end", || server.finished() == 1).await;
    assert_eq!(server.cancelled(), 0);
}

#[tokio::test]
async fn a_modern_client_that_leaves_cancels() {
    let server = Upstream::start(|seen: &Seen| match seen.rpc() {
        "tools/call" => Act::Events(vec![Step::message(&progress(1)), Step::Hang]),
        _ => Act::Silence,
    })
    .await;
    let gateway = Gateway::new(&[&server], Options { server: "era: modern", ..Options::default() });
    let mut events = gateway.modern("tools/call", json!({"name": "t"})).await.follow();
    events.next().await.expect("progress");
    drop(events);
    wait::until("the cancellation of a stream", || server.cancelled() == 1).await;
    {
        let mut call = std::pin::pin!(gateway.modern("prompts/get", json!({"name": "p"})));
        tokio::select! {
            _ = &mut call => panic!("there is no answer"),
            () = wait::until("the request", || server.saw("prompts/get") == 1) => {}
        }
    }
    wait::until("the cancellation before a head", || server.cancelled() == 2).await;
}

#[tokio::test]
async fn a_server_that_pauses_its_stream_is_polled_by_the_client_and_goes_on() {
    let server = Upstream::start(legacy("a", |seen| match (&seen.method, seen.header("last-event-id")) {
        (&Method::GET, Some("up-1")) => {
            let answer = json!({"jsonrpc": "2.0", "id": 4, "result": {"done": true}});
            Act::Events(vec![Step::named("up-2", &answer)])
        }
        (&Method::GET, _) => Act::Status(StatusCode::METHOD_NOT_ALLOWED),
        _ => Act::Events(vec![Step::Raw("id: up-1\nretry: 300\ndata:\n\n".into())]),
    }))
    .await;
    let gateway = plain(&[&server]);
    let session = gateway.open("2025-11-25").await;
    let events = session.call(4, "tools/call", json!({"name": "t"})).await.events().await;
    assert_eq!(events.len(), 1, "a clean pause, with an id to come back by");
    assert_eq!(events[0].retry, Some(300));
    assert_ne!(events[0].id.as_deref(), Some("up-1"), "the id is ours");
    let rest = session.get(events[0].id.as_deref()).await.events().await;
    assert_eq!(rest.last().unwrap().message()["result"]["done"], true);
    // Another replica has no log of it, but knows the server's id from ours.
    let options = Options { ring: Some(Arc::clone(&gateway.ring)), ..Options::default() };
    let other = Gateway::new(&[&server], options);
    let session = session.at(&other);
    let rest = session.get(events[0].id.as_deref()).await.follow().next().await.expect("the answer");
    assert_eq!(rest.message()["result"]["done"], true);
}

#[tokio::test]
async fn a_client_that_leaves_while_the_server_is_asked_for_the_rest_finds_it_when_it_comes_back() {
    let gate = Gate::closed();
    let slow = Arc::clone(&gate);
    let server =
        Upstream::start(legacy("a", move |seen| match (&seen.method, seen.header("last-event-id")) {
            (&Method::GET, Some("up-1")) => {
                let answer = json!({"jsonrpc": "2.0", "id": 4, "result": {"done": true}});
                Act::Behind(slow.enter(), Box::new(Act::Events(vec![Step::named("up-2", &answer)])))
            }
            (&Method::GET, _) => Act::Status(StatusCode::METHOD_NOT_ALLOWED),
            _ => Act::Events(vec![Step::Raw("id: up-1\nretry: 300\ndata:\n\n".into())]),
        }))
        .await;
    let gateway = plain(&[&server]);
    let session = gateway.open("2025-11-25").await;
    let paused = session.call(4, "tools/call", json!({"name": "t"})).await.events().await;
    let place = paused[0].id.as_deref();
    {
        let reading = async { session.get(place).await.events().await };
        tokio::select! {
            events = reading => panic!("the server has said nothing yet: {events:?}"),
            () = wait::until("the server is asked", || gate.inside() == 1) => {}
        }
    }
    let back = session.get(place).await;
    gate.open();
    let rest = back.events().await;
    assert_eq!(rest.last().map(|event| event.message()["result"]["done"].clone()), Some(json!(true)));
    assert_eq!(server.saw("GET"), 1, "the server is asked once");
}

#[tokio::test]
async fn a_get_stream_is_one_per_session_and_keeps_what_nobody_read() {
    let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let signals = (Arc::clone(&first), Arc::clone(&second));
    let server = Upstream::start(legacy("a", move |_| {
        Act::Events(vec![
            Step::Wait(Arc::clone(&signals.0)),
            Step::message(&progress(1)),
            Step::Wait(Arc::clone(&signals.1)),
            Step::message(&progress(2)),
            Step::Hang,
        ])
    }))
    .await;
    let gateway = plain(&[&server]);
    let session = gateway.open("2025-11-25").await;
    let mut events = session.get(None).await.follow();
    assert_eq!(events.next().await.unwrap().data.as_deref(), Some(""));
    first.notify_one();
    assert_eq!(events.next().await.unwrap().message()["params"]["progress"], 1);
    drop(events);
    second.notify_one();
    let mut events = session.get(None).await.follow();
    assert_eq!(events.next().await.unwrap().message()["params"]["progress"], 2, "said while nobody listened");
    let mut other = session.get(None).await.follow();
    assert!(events.next().await.is_none(), "the newer stream replaces the older one");
    assert_eq!(server.saw("GET"), 1);
    drop(other.next());
}

#[tokio::test]
async fn a_server_without_a_get_stream_says_405() {
    let server = Upstream::start(legacy("a", |_| Act::Status(StatusCode::METHOD_NOT_ALLOWED))).await;
    let gateway = plain(&[&server]);
    let session = gateway.open("2025-11-25").await;
    assert_eq!(session.get(None).await.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_servers_questions_come_back_under_their_own_ids_and_stale_answers_are_dropped() {
    let go = Arc::new(Notify::new());
    let signal = Arc::clone(&go);
    let question = json!({"jsonrpc": "2.0", "id": 42, "method": "elicitation/create", "params": {}});
    let server = Upstream::start(legacy("a", move |seen| {
        if seen.rpc().is_empty() {
            return Act::Status(StatusCode::ACCEPTED);
        }
        Act::Events(vec![
            Step::message(&question),
            Step::message(
                &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 42}}),
            ),
            Step::Wait(Arc::clone(&signal)),
            Step::message(&done(seen)),
        ])
    }))
    .await;
    let gateway = replayable(&[&server]);
    let session = gateway.open("2025-06-18").await;
    let mut events = session.call(4, "tools/call", json!({"name": "t"})).await.follow();
    let asked = events.next().await.unwrap().message();
    assert_eq!(asked["method"], "elicitation/create");
    let cancelled = events.next().await.unwrap().message();
    assert_eq!(
        cancelled["params"]["requestId"], asked["id"],
        "the cancellation names the id the client knows"
    );
    let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"action": "accept"}});
    let answers =
        || server.seen().into_iter().filter(|seen| seen.message.get("result").is_some()).collect::<Vec<_>>();
    assert_eq!(session.post(&answer).await.status(), StatusCode::ACCEPTED);
    assert_eq!(answers()[0].message["id"], 42);
    let stale = json!({"jsonrpc": "2.0", "id": "hf9n.42", "result": {}});
    assert_eq!(session.post(&stale).await.status(), StatusCode::ACCEPTED);
    assert_eq!(answers().len(), 1, "nobody waits for it");
    go.notify_one();
    assert_eq!(events.next().await.unwrap().message()["result"]["done"], true);
}

#[tokio::test]
async fn a_slow_client_slows_the_server_down() {
    let server = Upstream::start(legacy("a", |seen| {
        let block = "x".repeat(64 * 1024);
        let mut steps: Vec<Step> = (0..400)
            .map(|n| Step::message(&json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"n": n, "data": block}})))
            .collect();
        steps.push(Step::message(&done(seen)));
        Act::Events(steps)
    }))
    .await;
    let gateway = Gateway::new(&[&server], Options::default());
    let session = gateway.open("2025-06-18").await;
    let mut events = session.call(4, "tools/call", json!({"name": "t"})).await.follow();
    let first = events.next().await.unwrap().message();
    assert_eq!(first["params"]["n"], 0);
    // What is kept while the client does not read is a few events, not the 25 MB the server would like to send.
    let kept = || gateway.service.state().sizes().stream_bytes;
    wait::until("the log to fill", || kept() > 64 * 1024).await;
    assert!(kept() < 1024 * 1024, "{} bytes are kept", kept());
    let mut count = 1;
    while events.next().await.is_some() {
        count += 1;
    }
    assert_eq!(count, 401, "nothing was lost");
}
