//! What a client sees of a program that does not behave.

use crate::support::{YOU, call, crashing, next, read, request, server, soon, with};
use holdfast_links::LinkCall;
use holdfast_resilience::Sent;
use holdfast_upstream::CallError;
use http::StatusCode;
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_program_that_dies_in_a_request_tears_it_and_is_started_anew_for_the_next() {
    let server = server(&[]);
    let died = server.send(call(None, &request(1, "die", &json!({})))).await.unwrap_err();
    assert!(matches!(died, CallError::Reset { sent: Sent::Maybe, .. }), "{died}");
    assert_eq!(server.ask(None, &request(2, "echo", &json!({}))).await.status, StatusCode::OK);
    let session = server.session().await;
    server.send(call(Some(&session), &request(1, "die", &json!({})))).await.unwrap_err();
    let after = server.ask(Some(&session), &request(2, "echo", &json!({}))).await;
    assert_eq!(after.status, StatusCode::NOT_FOUND, "the session died with it");
}

#[tokio::test]
async fn a_program_that_dies_between_requests_is_started_anew() {
    let server = server(&[]);
    let world = server.ask(None, &request(1, "world", &json!({}))).await;
    let pid = i32::try_from(world.result()["pid"].as_i64().unwrap()).unwrap();
    let session = server.session().await;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    soon("the link is gone", || server.links.view().links.iter().all(|link| link.session)).await;
    let anew = server.ask(None, &request(1, "world", &json!({}))).await;
    assert_ne!(anew.result()["pid"], pid);
    assert_eq!(server.ask(Some(&session), &request(2, "echo", &json!({}))).await.status, StatusCode::OK);
}

#[tokio::test]
async fn half_a_line_tears_the_request() {
    let server = server(&[]);
    let torn = server.send(call(None, &request(1, "half", &json!({})))).await.unwrap_err();
    assert!(matches!(torn, CallError::Reset { sent: Sent::Maybe, .. }), "{torn}");
}

#[tokio::test]
async fn a_stream_that_has_begun_breaks_off_visibly() {
    let server = server(&[]);
    let session = server.session().await;
    let reply = server.send(call(Some(&session), &request(1, "ask", &json!({})))).await.unwrap();
    let mut body = reply.response.into_body();
    next(&mut body).await.unwrap().unwrap();
    server.send(call(Some(&session), &request(2, "die", &json!({})))).await.unwrap_err();
    assert_eq!(next(&mut body).await, Some(Err(())), "never as if it were complete");
}

#[tokio::test]
async fn wrong_and_second_answers_and_banners_disturb_nobody() {
    let server = server(&[]);
    let session = server.session().await;
    let dropped = |reason| {
        server.metric(&format!("holdfast_link_messages_dropped_total{{server=\"s\",reason=\"{reason}\"}}"))
    };
    for session in [None, Some(&*session)] {
        let answer = server.ask(session, &request(5, "wrong", &json!({}))).await;
        assert_eq!(answer.messages, [json!({"jsonrpc": "2.0", "id": 5, "result": {"n": 1}})]);
        // What came behind it is here when the next answer is.
        server.ask(session, &request(6, "echo", &json!({}))).await;
    }
    assert_eq!((dropped("unknown"), dropped("duplicate"), dropped("late"), dropped("noise")), (2, 1, 1, 4));
}

#[tokio::test]
async fn a_message_above_the_limit_ends_the_link_and_is_never_held() {
    let server = with(&["python3", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/server.py")], &[], 8 << 20);
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    let before = resident();
    let torn = server.send(call(None, &request(1, "big", &json!({"mib": 200})))).await.unwrap_err();
    assert!(matches!(torn, CallError::Reset { .. }), "{torn}");
    let grown = resident() - before;
    assert!(grown < 64 << 10, "{grown} KiB more for a line of 200 MiB, of which 8 MiB are allowed");
    assert_eq!(server.metric("holdfast_link_ends_total{server=\"s\",cause=\"too_large\"}"), 1);
    let fits = server.ask(None, &request(1, "big", &json!({"mib": 4}))).await;
    assert_eq!(fits.result().as_str().map(str::len), Some(4 << 20));
}

#[tokio::test]
async fn a_flood_on_standard_error_keeps_no_answer_back() {
    let server = server(&[]);
    let answer = server.ask(None, &request(1, "flood", &json!({"mib": 5}))).await;
    assert_eq!(answer.status, StatusCode::OK);
    let lines = || server.metric("holdfast_link_lines_suppressed_total{server=\"s\"}");
    soon("the flood is counted", || lines() > 80_000).await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_loses_its_own_stream_and_no_others() {
    let server = server(&["queue_messages: 4"]);
    let params = json!({"steps": 50, "_meta": {"progressToken": 1}});
    let lazy = server.send(call(None, &request(1, "progress", &params))).await.unwrap();
    let quick = server.ask(None, &request(2, "echo", &json!({}))).await;
    assert_eq!(quick.status, StatusCode::OK);
    let lazy = read(lazy).await;
    assert!(lazy.torn && lazy.messages.len() <= 6, "{lazy:?}");
    assert_eq!(server.metric("holdfast_link_streams_torn_total{server=\"s\",reason=\"queue\"}"), 1);
    let told = server.ask(None, &request(3, "cancelled", &json!({}))).await;
    assert_eq!(told.result(), &json!([1]), "its server heard that nobody reads");
}

#[tokio::test]
async fn a_program_that_answers_nothing_meets_the_deadline_and_the_link_goes_on() {
    let server = server(&[]);
    let message = request(1, "never", &json!({}));
    let call = LinkCall { until: Instant::now() + Duration::from_millis(500), ..call(None, &message) };
    let late = server.send(call).await.unwrap_err();
    assert!(matches!(late, CallError::Deadline { sent: Sent::Maybe, .. }), "{late}");
    assert_eq!(server.ask(None, &request(2, "echo", &json!({}))).await.status, StatusCode::OK);
    assert_eq!(server.links.view().opened, 1);
}

#[tokio::test]
async fn a_program_that_crashes_at_its_start_is_refused_cheaply_by_the_breaker() {
    let server = crashing(&["circuit_breaker: {failure_threshold: 3}"]);
    let message = request(1, "echo", &json!({}));
    let mut refused = None;
    for _ in 0..20 {
        match server.send(call(None, &message)).await.unwrap_err() {
            CallError::Reset { .. } => {}
            CallError::Refused { retry_after, .. } => {
                refused = retry_after;
                break;
            }
            error => panic!("{error}"),
        }
        soon("its end is judged", || server.links.view().links.is_empty()).await;
    }
    assert!(refused.is_some_and(|after| after > Duration::ZERO), "the breaker opened");
    let opened = server.links.view().opened;
    let started = server.metric("holdfast_link_openings_total{server=\"s\",result=\"failed\"}");
    let begun = Instant::now();
    for _ in 0..100 {
        let theirs = LinkCall { principal: Some(YOU), ..call(None, &message) };
        assert!(matches!(server.send(theirs).await, Err(CallError::Refused { .. })));
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?} for 100 refusals", begun.elapsed());
    assert_eq!(server.metric("holdfast_link_openings_total{server=\"s\",result=\"failed\"}"), started);
    assert!(server.links.view().opened >= opened);
    assert_eq!(server.metric("holdfast_link_breaker_state{server=\"s\"}"), 2);
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_typed_error_that_names_it() {
    let server = with(&["/no/such/program"], &[], 1 << 20);
    let error = server.send(call(None, &request(1, "echo", &json!({})))).await.unwrap_err();
    assert!(
        matches!(error, CallError::Connect { .. }) && error.to_string().contains("/no/such/program"),
        "{error}"
    );
}
