//! The driver, against a service that plays a script.

use super::{
    Conversation,
    carry::carry,
    listening::listen,
    talk::Step,
    testing::{MODERN, begin, event, events, id_of, json, legacy, now, opening, result},
};
use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use holdfast_edge::Body;
use holdfast_telemetry::metrics::{Carrier, ConversationEnd, MessageRefusal};
use http::{Method, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use parking_lot::Mutex;
use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t"}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

#[tokio::test(start_paused = true)]
async fn messages_that_are_said_all_at_once_reach_the_server_in_their_order_and_within_the_session() {
    let mut scene = begin(|seen| {
        let id = id_of(&seen.body);
        let answer = legacy(seen, || now(json(result(&id))));
        async move {
            // The server takes its time, and more for what comes first.
            tokio::time::sleep(Duration::from_millis(500)).await;
            answer.await
        }
        .boxed()
    });
    scene.say(r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#).await;
    scene.say(INITIALIZED).await;
    scene.say(CALL).await;
    assert_eq!(scene.told().await["id"], 0);
    assert_eq!(scene.told().await["id"], 7);
    let posts: Vec<_> = scene.seen().into_iter().filter(|seen| seen.method == Method::POST).collect();
    let sessions: Vec<_> = posts.iter().map(|seen| seen.session.as_deref()).collect();
    assert_eq!(sessions, [None, Some("s1"), Some("s1")]);
    assert!(posts[0].body.contains("initialize") && posts[1].body == INITIALIZED && posts[2].body == CALL);
}

#[tokio::test(start_paused = true)]
async fn the_stream_of_a_session_is_held_open_and_taken_up_again() {
    let streams = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&streams);
    let mut scene = begin(move |seen| {
        if seen.method == Method::GET {
            let (send, response) = events();
            kept.lock().push(send);
            return now(response);
        }
        legacy(seen, || now(json(result("7"))))
    });
    scene.open_session().await;
    scene.say(INITIALIZED).await;
    scene.until_seen(3).await;
    let note = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    streams.lock()[0].send(event("e1", note)).unwrap();
    assert_eq!(scene.told().await["method"], "notifications/tools/list_changed");
    streams.lock().remove(0);
    scene.until_seen(4).await;
    assert_eq!(scene.seen()[3].last_event.as_deref(), Some("e1"));
    streams.lock()[0].send(event("e2", note)).unwrap();
    scene.told().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_is_asked_for_again_and_the_client_does_not_notice() {
    let mut scene = begin(|seen| {
        if seen.last_event.as_deref() == Some("e1") {
            let (send, response) = events();
            send.send(event("e2", &result("7"))).unwrap();
            return now(response);
        }
        legacy(seen, || {
            let (send, response) = events();
            send.send(event("e1", r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#))
                .unwrap();
            now(response)
        })
    });
    scene.open_session().await;
    scene.say(CALL).await;
    assert_eq!(scene.told().await["method"], "notifications/progress");
    assert_eq!(scene.told().await["id"], 7);
    assert_eq!(scene.metrics.resumed.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_back_is_an_error_with_its_id() {
    let mut scene = begin(|seen| {
        if seen.last_event.is_some() {
            return now(Response::builder().status(503).body(Body::Empty).unwrap());
        }
        let modern = seen.session.is_none();
        legacy(seen, || {
            let (send, response) = events();
            if !modern {
                send.send(event("e1", r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#))
                    .unwrap();
            }
            now(response)
        })
    });
    scene.open_session().await;
    scene.say(CALL).await;
    scene.told().await;
    let error = scene.told().await;
    assert_eq!((&error["id"], &error["error"]["data"]["reason"]), (&7.into(), &"upstream_lost".into()));
    scene.say(MODERN).await;
    let error = scene.told().await;
    assert_eq!((&error["id"], &error["error"]["code"]), (&8.into(), &(-31000).into()));
}

#[tokio::test(start_paused = true)]
async fn the_errors_are_those_that_any_client_gets() {
    let mut scene = begin(|_| {
        let error = r#"{"jsonrpc":"2.0","error":{"code":-31011,"message":"A session is needed"}}"#;
        let mut response = json(error.to_owned());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        now(response)
    });
    scene.say(CALL).await;
    let error = scene.told().await;
    assert_eq!((&error["id"], &error["error"]["code"]), (&7.into(), &(-31011).into()));
    scene.say("nonsense").await;
    let error = scene.told().await;
    assert_eq!((&error["id"], &error["error"]["code"]), (&serde_json::Value::Null, &(-31011).into()));
    // Nobody waits for an answer to these.
    scene.say(INITIALIZED).await;
    scene.say(r#"{"jsonrpc":"2.0","id":3,"result":{}}"#).await;
    scene.say(CALL).await;
    assert_eq!(scene.told().await["id"], 7);
}

#[tokio::test(start_paused = true)]
async fn cancelling_a_modern_request_drops_it_and_nothing_else() {
    let mut scene = begin(|_| pending().boxed());
    scene.say(MODERN).await;
    scene.say(&MODERN.replace("\"id\":8", "\"id\":9")).await;
    scene.until_seen(2).await;
    assert_eq!(scene.script.open.load(Relaxed), 2);
    scene.say(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":8}}"#).await;
    while scene.script.open.load(Relaxed) == 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    scene.say(r#"{"jsonrpc":"2.0","id":"x","method":"bad id"#).await;
    scene.until_seen(3).await;
    assert_eq!(scene.script.open.load(Relaxed), 2, "one request and the unreadable one");
    assert!(scene.told.next().now_or_never().is_none(), "no answer to what was cancelled");
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_are_refused_by_their_ids_and_ids_that_are_in_use_too() {
    let mut scene = begin(|_| pending().boxed());
    for id in 0..4 {
        scene.say(&MODERN.replace("\"id\":8", &format!("\"id\":{id}"))).await;
    }
    scene.say(MODERN).await;
    let error = scene.told().await;
    assert_eq!((&error["id"], &error["error"]["data"]["reason"]), (&8.into(), &"overloaded".into()));
    scene.say(&MODERN.replace("\"id\":8", "\"id\":3")).await;
    let error = scene.told().await;
    assert_eq!((&error["id"], &error["error"]["code"]), (&3.into(), &(-32600).into()));
    let refused = scene.metrics.refused.get(Carrier::Sse);
    assert_eq!(refused.get(MessageRefusal::InFlight).get(), 1);
    assert_eq!(refused.get(MessageRefusal::IdInUse).get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_closed_in_time_and_its_session_ends() {
    let mut scene = begin(|seen| legacy(seen, || now(json(result("7")))));
    scene.open_session().await;
    scene.say(CALL).await;
    let began = tokio::time::Instant::now();
    assert_eq!(scene.run.await.unwrap(), ConversationEnd::Stuck);
    let took = began.elapsed();
    assert!(took >= Duration::from_mins(1) && took <= Duration::from_secs(75), "{took:?}");
    let last = scene.script.seen.lock().last().unwrap().clone();
    assert_eq!((last.method, last.session.as_deref()), (Method::DELETE, Some("s1")));
    assert_eq!(scene.metrics.open.get(Carrier::Sse).get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_stops_the_reading_of_its_own_answers() {
    let pulled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&pulled);
    let mut scene = begin(move |_| {
        let count = Arc::clone(&count);
        let note = format!(r#"{{"jsonrpc":"2.0","method":"x","params":{{"a":"{}"}}}}"#, "a".repeat(500));
        let events = stream::repeat_with(move || {
            count.fetch_add(1, Relaxed);
            Ok::<_, Infallible>(Frame::data(event("e", &note)))
        });
        now(Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::boxed(StreamBody::new(events)))
            .unwrap())
    });
    scene.say(MODERN).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let before = pulled.load(Relaxed);
    assert!((1..8).contains(&before), "{before}");
    for _ in 0..20 {
        scene.told().await;
    }
    assert!(pulled.load(Relaxed) > before);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_cancels_what_is_modern_and_ends_its_session() {
    let mut scene = begin(|seen| {
        if seen.body.contains("2026-07-28") { pending().boxed() } else { legacy(seen, || pending().boxed()) }
    });
    scene.open_session().await;
    scene.say(MODERN).await;
    scene.until_seen(2).await;
    drop(scene.told);
    assert_eq!(scene.run.await.unwrap(), ConversationEnd::Gone);
    assert_eq!(scene.script.open.load(Relaxed), 0);
    assert_eq!(scene.script.seen.lock().last().unwrap().method, Method::DELETE);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_is_answered_before_the_end() {
    for politely in [true, false] {
        let mut scene = begin(|seen| {
            let id = id_of(&seen.body);
            async move {
                tokio::time::sleep(Duration::from_secs(5)).await;
                json(result(&id))
            }
            .boxed()
        });
        scene.say(MODERN).await;
        scene.until_seen(1).await;
        let expected = if politely {
            scene.leave.send(()).unwrap();
            ConversationEnd::Drained
        } else {
            scene.say.finish();
            ConversationEnd::Whole
        };
        let message = scene.told.next().await.unwrap();
        assert!(message.starts_with(br#"{"jsonrpc":"2.0","id":8"#));
        assert_eq!(scene.told.next().await, None);
        assert_eq!(scene.run.await.unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_is_worth_nothing_any_more_ends_the_conversation() {
    let scene = begin(|_| pending().boxed());
    scene.script.welcome.store(false, Relaxed);
    assert_eq!(scene.run.await.unwrap(), ConversationEnd::Unwelcome);
}

#[tokio::test]
async fn what_is_open_for_hours_holds_little_in_its_futures() {
    let (opening, _script) = opening(|_| pending().boxed());
    let (mut conversation, _say, _told) = Conversation::new(opening);
    let shared = Arc::clone(&conversation.shared);
    let message = Bytes::from_static(MODERN.as_bytes());
    let Step::Post { call, sort, headers } = shared.talk.lock().take(&message) else { panic!("refused") };
    let (accept, _accepted) = tokio::sync::oneshot::channel();
    let posted = carry(Arc::clone(&shared), call, sort, headers, message, accept);
    assert!(size_of_val(&posted) <= 1024, "{}", size_of_val(&posted));
    let listening = listen(Arc::clone(&shared));
    assert!(size_of_val(&listening) <= 768, "{}", size_of_val(&listening));
    let run = conversation.run(pending(), Duration::ZERO);
    assert!(size_of_val(&run) <= 640, "{}", size_of_val(&run));
}
