use crate::{
    server::{Act, Server},
    support::{Setup, at_rest, call, fails, get, ok, until},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use holdfast_resilience::Deadline;
use holdfast_upstream::{BoxError, Call, CallBody, CallError, Target, clock};
use http::{Method, header, uri::PathAndQuery};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

#[tokio::test]
async fn a_truncated_body_is_an_error_and_its_connection_is_not_used_again() {
    for act in [Act::HalfBody, Act::CutChunks] {
        let server = Server::always(act).await;
        let upstream = Setup::of(&[&server]).no_breaker().build();
        for calls in 1..=3 {
            let reply = upstream.send(get()).await.unwrap();
            assert_eq!(reply.response.status(), 200);
            assert!(reply.response.into_body().collect().await.is_err());
            assert_eq!(server.accepted(), calls);
        }
        at_rest(&upstream).await;
    }
}

#[tokio::test]
async fn truncated_bodies_count_against_the_endpoint() {
    let server = Server::always(Act::HalfBody).await;
    let setup = Setup::of(&[&server]);
    let upstream = setup.build();
    for _ in 0..5 {
        let reply = upstream.send(get()).await.unwrap();
        assert!(reply.response.into_body().collect().await.is_err());
    }
    assert!(upstream.send(get()).await.is_err(), "five in a row open the breaker");
    assert_eq!(setup.metric(&["attempts", "outcome=\"reset\""]), 5.0);
}

#[tokio::test]
async fn a_body_that_pauses_too_long_ends_in_an_error() {
    let server = Server::always(Act::HangInBody).await;
    let mut setup = Setup::of(&[&server]);
    setup.upstream.policy.body_idle_timeout = Duration::from_millis(100);
    let upstream = setup.build();
    let start = Instant::now();
    let reply = upstream.send(get()).await.unwrap();
    let error = reply.response.into_body().collect().await.unwrap_err();
    assert!(error.to_string().contains("paused"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(2));
    until("the connection is closed", || server.open() == 0).await;
}

#[tokio::test]
async fn an_event_stream_may_pause_as_long_as_streams_may() {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n";
    let server = Server::always(Act::Raw(head)).await;
    let mut setup = Setup::of(&[&server]);
    setup.upstream.policy.body_idle_timeout = Duration::from_millis(30);
    let upstream = setup.build();
    let mut body = upstream.send(get()).await.unwrap().response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ok");
    let more = tokio::time::timeout(Duration::from_millis(200), body.frame()).await;
    assert!(more.is_err(), "the short limit of plain bodies was applied");
}

#[tokio::test]
async fn a_dropped_body_closes_the_connection_and_judges_nothing() {
    let server = Server::always(Act::HangInBody).await;
    let setup = Setup::of(&[&server]);
    let upstream = setup.build();
    for _ in 0..10 {
        drop(upstream.send(get()).await.unwrap());
    }
    until("all closed", || server.open() == 0).await;
    at_rest(&upstream).await;
    assert_eq!(setup.metric(&["attempts", "outcome=\"cancelled\""]), 10.0);
    assert!(upstream.send(get()).await.is_ok(), "the breaker knows nothing of it");
}

#[tokio::test]
async fn trailers_pass() {
    let server = Server::always(Act::Trailers).await;
    let upstream = Setup::of(&[&server]).build();
    let body = upstream.send(get()).await.unwrap().response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-sum"], "7");
    assert_eq!(body.to_bytes(), "ok");
}

#[tokio::test]
async fn the_request_goes_out_in_origin_form_with_base_path_and_host() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let server = Server::start(move |_, request| {
        seen.lock().unwrap().push(request.head.clone());
        Act::Answer(200, "", "")
    })
    .await;
    let upstream = Setup::new([format!("{}/v1/mcp", server.url())]).build();
    let mut base = get();
    base.target = Target::Base;
    ok(&upstream, base).await;
    let mut below = get();
    below.target = Target::Path(PathAndQuery::from_static("/tools?x=%20"));
    below.headers.insert(header::HOST, "client.example".parse().unwrap());
    ok(&upstream, below).await;
    let heads = heads.lock().unwrap();
    assert!(heads[0].starts_with("GET /v1/mcp HTTP/1.1\r\n"), "{}", heads[0]);
    assert!(heads[0].contains(&format!("host: {}\r\n", server.address)), "{}", heads[0]);
    assert!(heads[1].starts_with("GET /v1/mcp/tools?x=%20 HTTP/1.1\r\n"), "{}", heads[1]);
    assert!(heads[1].contains("host: client.example\r\n"), "{}", heads[1]);
}

fn expecting(extra: Option<&'static str>) -> Call {
    let mut call = call(Method::PUT, "/");
    call.headers.insert(header::EXPECT, "100-continue".parse().unwrap());
    if let Some(name) = extra {
        call.headers.insert(name, "1".parse().unwrap());
    }
    call.headers.insert(header::CONTENT_LENGTH, "4".parse().unwrap());
    call.body = CallBody::Stream(Full::new(Bytes::from_static(b"body")).map_err(Into::into).boxed_unsync());
    call
}

#[tokio::test]
async fn a_body_waits_for_100_continue() {
    let server = Server::start(|_, seen| {
        assert_eq!(seen.body, b"body");
        Act::Answer(200, "", "got it")
    })
    .await;
    let upstream = Setup::of(&[&server]).build();
    let start = Instant::now();
    assert_eq!(ok(&upstream, expecting(None)).await.1, "got it");
    assert!(start.elapsed() < Duration::from_millis(900), "the server said 100 at once");
    // A server that never says 100 gets the body after the wait.
    assert_eq!(ok(&upstream, expecting(Some("x-no-continue"))).await.1, "got it");
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_refusal_before_100_leaves_the_body_unsent() {
    let server = Server::always(Act::Answer(417, "", "no")).await;
    let upstream = Setup::of(&[&server]).build();
    let mut call = expecting(Some("x-no-continue"));
    call.headers.insert("x-early-answer", "1".parse().unwrap());
    let polled = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = Arc::clone(&polled);
    let stream = stream::poll_fn(move |_| {
        flag.store(true, std::sync::atomic::Ordering::SeqCst);
        std::task::Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"body")))))
    });
    call.body = CallBody::Stream(StreamBody::new(stream).boxed_unsync());
    let start = Instant::now();
    assert_eq!(ok(&upstream, call).await, (http::StatusCode::EXPECTATION_FAILED, "no".to_owned()));
    assert!(start.elapsed() < Duration::from_millis(900));
    assert!(!polled.load(std::sync::atomic::Ordering::SeqCst));
}

#[tokio::test]
async fn an_interim_response_is_not_the_answer() {
    let server = Server::always(Act::Raw(
        "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ))
    .await;
    let upstream = Setup::of(&[&server]).build();
    for _ in 0..2 {
        assert_eq!(ok(&upstream, get()).await.1, "ok");
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn redirects_are_passed_on_and_not_followed() {
    let elsewhere = Server::always(Act::Answer(200, "", "followed")).await;
    let location = format!("location: {}\r\n", elsewhere.url());
    let server = Server::always(Act::Answer(302, location.leak(), "")).await;
    let upstream = Setup::of(&[&server]).build();
    assert_eq!(ok(&upstream, get()).await.0, 302);
    assert_eq!(elsewhere.accepted(), 0);
}

/// A request body of one piece that never ends.
fn unfinished() -> CallBody {
    let first = stream::once(async { Ok::<_, BoxError>(Frame::data("begun".into())) });
    CallBody::Stream(StreamBody::new(first.chain(stream::pending())).boxed_unsync())
}

fn soon(body: CallBody) -> Call {
    let mut call = call(Method::POST, "/");
    call.deadline = Deadline::after(clock::now(), Duration::from_millis(100));
    call.body = body;
    call
}

#[tokio::test]
async fn clients_that_do_not_finish_their_bodies_never_open_a_breaker() {
    let server =
        Server::start(|number, _| if number < 10 { Act::Hang } else { Act::Answer(200, "", "well") }).await;
    let setup = Setup::of(&[&server]);
    let upstream = setup.build();
    for _ in 0..10 {
        let error = fails(&upstream, soon(unfinished())).await;
        assert!(matches!(error, CallError::Deadline { .. }), "{error}");
    }
    assert_eq!(setup.metric(&["attempts", "outcome=\"timeout\""]), 0.0);
    assert_eq!(ok(&upstream, get()).await.1, "well");
}

#[tokio::test]
async fn silence_after_the_whole_body_is_the_endpoints_fault() {
    let server = Server::always(Act::Hang).await;
    let setup = Setup::of(&[&server]);
    let upstream = setup.build();
    let whole =
        || CallBody::Stream(Full::new(Bytes::from_static(b"whole")).map_err(Into::into).boxed_unsync());
    for _ in 0..5 {
        let error = fails(&upstream, soon(whole())).await;
        assert!(matches!(error, CallError::Deadline { .. }), "{error}");
    }
    assert_eq!(setup.metric(&["attempts", "outcome=\"timeout\""]), 5.0);
    assert!(
        matches!(fails(&upstream, get()).await, CallError::Refused { .. }),
        "five in a row open the breaker"
    );
}
