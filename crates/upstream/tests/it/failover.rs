use crate::{
    server::{Act, Server},
    support::{Setup, at_rest, call, fails, get, ok, post},
};
use bytes::Bytes;
use holdfast_resilience::{Deadline, Sent};
use holdfast_upstream::{CallBody, CallError, Limit, clock};
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full};
use std::time::Duration;

const GOOD: Act = Act::Answer(200, "", "good");

/// Every safe call is answered by the good one, whatever the other does.
async fn survives(bad: Act) {
    let (bad, good) = (Server::always(bad).await, Server::always(GOOD).await);
    let mut setup = Setup::of(&[&bad, &good]).no_breaker();
    setup.upstream.policy.retry.per_try_timeout = Some(Duration::from_millis(100));
    let upstream = setup.build();
    for _ in 0..12 {
        assert_eq!(ok(&upstream, get()).await, (StatusCode::OK, "good".to_owned()));
    }
    assert!(bad.requests() > 0, "the bad one was never picked: the test shows nothing");
    at_rest(&upstream).await;
}

#[tokio::test]
async fn a_safe_call_survives_a_reset() {
    survives(Act::Reset).await;
}

#[tokio::test]
async fn a_safe_call_survives_half_a_head() {
    survives(Act::HalfHead).await;
}

#[tokio::test]
async fn a_safe_call_survives_a_hang() {
    survives(Act::Hang).await;
}

#[tokio::test]
async fn a_safe_call_survives_502_503_and_504() {
    for status in [502, 503, 504] {
        survives(Act::Answer(status, "", "bad")).await;
    }
}

#[tokio::test]
async fn a_safe_call_survives_a_503_that_asks_for_a_long_pause() {
    survives(Act::Answer(503, "retry-after: 60\r\n", "bad")).await;
}

#[tokio::test]
async fn a_safe_call_survives_429_with_retry_after() {
    survives(Act::Answer(429, "retry-after: 60\r\n", "bad")).await;
}

#[tokio::test]
async fn an_unsafe_call_survives_a_refused_connection() {
    let good = Server::always(GOOD).await;
    let dead = Server::refused().await;
    let upstream = Setup::new([format!("http://{dead}"), good.url()]).no_breaker().build();
    for _ in 0..10 {
        assert_eq!(ok(&upstream, post("once")).await.1, "good");
    }
    assert_eq!(good.requests(), 10);
}

#[tokio::test]
async fn an_unsafe_call_that_was_sent_is_never_repeated() {
    for act in [Act::Reset, Act::HalfHead, Act::Answer(503, "", "no"), Act::Hang] {
        let (first, second) = (Server::always(act.clone()).await, Server::always(act).await);
        let mut setup = Setup::of(&[&first, &second]).no_breaker();
        setup.upstream.policy.retry.per_try_timeout = Some(Duration::from_millis(50));
        let upstream = setup.build();
        for calls in 1..=5 {
            match upstream.send(post("once")).await {
                Ok(reply) => assert_eq!(reply.response.status(), 503),
                Err(error) => assert_eq!(error.sent(), Sent::Maybe, "{error}"),
            }
            assert_eq!(first.requests() + second.requests(), calls);
        }
    }
}

#[tokio::test]
async fn a_stream_body_is_moved_only_while_nobody_asked_for_it() {
    let good = Server::always(GOOD).await;
    let dead = Server::refused().await;
    let upstream = Setup::new([format!("http://{dead}"), good.url()]).no_breaker().build();
    for _ in 0..6 {
        let mut call = call(Method::PUT, "/");
        call.body =
            CallBody::Stream(Full::new(Bytes::from_static(b"stream")).map_err(Into::into).boxed_unsync());
        assert_eq!(ok(&upstream, call).await.1, "good");
    }
    let reset = Server::always(Act::Reset).await;
    let upstream = Setup::twice(&reset).no_breaker().build();
    let mut call = call(Method::PUT, "/");
    call.body = CallBody::Stream(Full::new(Bytes::from_static(b"stream")).map_err(Into::into).boxed_unsync());
    assert!(matches!(fails(&upstream, call).await, CallError::Reset { sent: Sent::Maybe, .. }));
    assert_eq!(reset.requests(), 1);
}

#[tokio::test]
async fn one_dead_of_three_fails_no_safe_call_of_ten_thousand() {
    let servers = [Server::always(GOOD).await, Server::always(GOOD).await];
    let dead = Server::refused().await;
    let urls = [servers[0].url(), format!("http://{dead}"), servers[1].url()];
    let mut setup = Setup::new(urls);
    setup.config.connection_pool.max_size = 128;
    setup.config.connection_pool.max_waiting = 10_000;
    let upstream = setup.build();
    // All at once: not even the breaker has had time to learn.
    let calls = (0..10_000).map(|_| {
        let upstream = std::sync::Arc::clone(&upstream);
        tokio::spawn(async move { ok(&upstream, get()).await.0 })
    });
    for done in futures_util::future::join_all(calls).await {
        assert_eq!(done.unwrap(), StatusCode::OK);
    }
    assert_eq!(servers[0].requests() + servers[1].requests(), 10_000);
    at_rest(&upstream).await;
}

#[tokio::test]
async fn the_last_attempts_own_response_is_passed_through() {
    let server = Server::always(Act::Answer(503, "x-own: yes\r\nretry-after: 0\r\n", "its own words")).await;
    let upstream = Setup::of(&[&server]).no_breaker().build();
    let reply = upstream.send(get()).await.unwrap();
    assert_eq!(reply.attempts, 3);
    assert_eq!(reply.response.headers()["x-own"], "yes");
    assert_eq!(crate::support::text(reply).await, "its own words");
    assert_eq!(server.requests(), 3, "an endpoint that answers may be asked again when it is the only one");
}

#[tokio::test]
async fn never_a_second_connect_to_an_endpoint_that_refused_one() {
    let dead = Server::refused().await;
    let setup = Setup::new([format!("http://{dead}")]).no_breaker();
    let upstream = setup.build();
    assert!(matches!(fails(&upstream, get()).await, CallError::Connect { .. }));
    assert_eq!(setup.metric(&["_connects_total", "failed"]), 1.0, "{}", setup.registry.render());
}

#[tokio::test]
async fn all_breakers_open_is_a_typed_503_and_reaches_nobody() {
    let server = Server::always(Act::Answer(500, "", "")).await;
    let upstream = Setup::of(&[&server]).build();
    for _ in 0..5 {
        assert_eq!(ok(&upstream, get()).await.0, 500);
    }
    let error = fails(&upstream, get()).await;
    assert!(matches!(error, CallError::Refused { .. }), "{error}");
    let (status, retry_after) = error.wire();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(retry_after.is_some_and(|wait| wait <= Duration::from_secs(20)));
    assert_eq!(server.requests(), 5);
}

#[tokio::test]
async fn client_errors_never_open_a_breaker() {
    let server = Server::always(Act::Answer(404, "", "")).await;
    let upstream = Setup::of(&[&server]).build();
    for _ in 0..50 {
        assert_eq!(ok(&upstream, get()).await.0, 404);
    }
}

#[tokio::test]
async fn a_pinned_call_reaches_its_endpoint_or_fails() {
    let (first, second) = (Server::always(GOOD).await, Server::always(Act::Reset).await);
    let upstream = Setup::of(&[&first, &second]).no_breaker().build();
    let keys: Vec<_> = upstream.endpoints().into_iter().map(|view| view.key).collect();
    let pinned = |key: &holdfast_upstream::EndpointKey| {
        let mut call = get();
        call.pin = Some(key.clone());
        call
    };
    for _ in 0..5 {
        let reply = upstream.send(pinned(&keys[0])).await.unwrap();
        assert_eq!(reply.endpoint, keys[0]);
        drop(reply);
        assert!(matches!(fails(&upstream, pinned(&keys[1])).await, CallError::Reset { .. }));
    }
    assert_eq!((first.requests(), second.requests()), (5, 5));
    let gone = fails(&upstream, pinned(&"http://127.0.0.1:1".into())).await;
    assert!(matches!(gone, CallError::PinnedGone { .. }) && gone.sent() == Sent::Nothing);
}

#[tokio::test]
async fn endpoints_to_avoid_are_used_when_no_other_is_left() {
    let (first, second) = (Server::always(GOOD).await, Server::always(GOOD).await);
    let upstream = Setup::of(&[&first, &second]).build();
    let keys: Vec<_> = upstream.endpoints().into_iter().map(|view| view.key).collect();
    for _ in 0..10 {
        let mut call = get();
        call.avoid = vec![keys[0].clone()];
        assert_eq!(upstream.send(call).await.unwrap().endpoint, keys[1]);
    }
    let mut call = get();
    call.avoid = keys;
    assert_eq!(ok(&upstream, call).await.1, "good");
}

#[tokio::test]
async fn endpoints_to_avoid_are_used_when_the_breakers_of_all_others_refuse() {
    let (first, second) = (Server::always(GOOD).await, Server::always(Act::Answer(500, "", "")).await);
    let upstream = Setup::of(&[&first, &second]).build();
    let keys: Vec<_> = upstream.endpoints().into_iter().map(|view| view.key).collect();
    let pinned = || {
        let mut call = get();
        call.pin = Some(keys[1].clone());
        call
    };
    while upstream.send(pinned()).await.is_ok() {}
    assert!(matches!(fails(&upstream, pinned()).await, CallError::Refused { .. }));
    let mut call = get();
    call.avoid = vec![keys[0].clone()];
    assert_eq!(ok(&upstream, call).await.1, "good");
}

#[tokio::test]
async fn the_retry_budget_bounds_what_retries_add() {
    let server = Server::always(Act::Answer(503, "", "")).await;
    let mut setup = Setup::twice(&server).no_breaker();
    setup.upstream.policy.retry.budget.min_per_second = 0;
    setup.upstream.policy.retry.initial_delay = Duration::from_micros(1);
    let upstream = setup.build();
    for _ in 0..200 {
        assert_eq!(ok(&upstream, get()).await.0, 503);
    }
    let retries = server.requests() - 200;
    assert!((20..=41).contains(&retries), "20 % of 200 requests, not {retries}");
    assert!(setup.metric(&["retries_refused", "budget=\"upstream\""]) > 0.0);
}

#[tokio::test]
async fn beyond_max_requests_a_call_fails_at_once() {
    let server = Server::always(Act::Hang).await;
    let mut setup = Setup::of(&[&server]);
    setup.upstream.policy.max_requests = 2;
    let upstream = setup.build();
    let hanging: Vec<_> = (0..2)
        .map(|_| {
            let upstream = std::sync::Arc::clone(&upstream);
            tokio::spawn(async move { drop(upstream.send(get()).await) })
        })
        .collect();
    crate::support::until("both in flight", || server.requests() == 2).await;
    let error = fails(&upstream, get()).await;
    assert!(matches!(error, CallError::Overloaded { limit: Limit::Requests, .. }));
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
    at_rest(&upstream).await;
}

#[tokio::test]
async fn the_deadline_holds_over_all_attempts() {
    let servers = [Server::always(Act::Hang).await, Server::always(Act::Hang).await];
    let mut setup = Setup::of(&[&servers[0], &servers[1]]).no_breaker();
    setup.upstream.policy.retry.per_try_timeout = Some(Duration::from_millis(60));
    setup.upstream.policy.retry.max_attempts = 10;
    let upstream = setup.build();
    let start = clock::now();
    let mut call = get();
    call.deadline = Deadline::after(start, Duration::from_millis(150));
    let error = fails(&upstream, call).await;
    assert!(matches!(error, CallError::Deadline { .. } | CallError::Timeout { .. }), "{error}");
    assert_eq!(error.wire().0, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(error.sent(), Sent::Maybe);
    assert!(clock::now() - start < Duration::from_millis(300), "{:?}", clock::now() - start);
    at_rest(&upstream).await;
}
