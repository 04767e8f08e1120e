//! What a Streamable HTTP client sees of a program that behaves.

use crate::support::{ME, YOU, call, next, read, request, server};
use futures_util::future::join_all;
use holdfast_links::LinkCall;
use holdfast_upstream::{CallError, EndpointKey, Limit};
use http::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn a_session_is_opened_used_and_closed() {
    let server = server(&[]);
    let session = server.session().await;
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(server.ask(Some(&session), &initialized).await.status, StatusCode::ACCEPTED);
    let answer = server.ask(Some(&session), &request("a", "echo", &json!({"x": [1, 2]}))).await;
    assert_eq!((answer.status, answer.streamed), (StatusCode::OK, false));
    assert_eq!(answer.messages, [json!({"jsonrpc": "2.0", "id": "a", "result": {"x": [1, 2]}})]);
    assert_eq!(server.bare(Method::DELETE, &session).await.response.status(), StatusCode::NO_CONTENT);
    let late = server.ask(Some(&session), &request(2, "echo", &json!({}))).await;
    assert_eq!(late.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_session_is_nobody_elses_and_no_other_replicas() {
    let server = server(&[]);
    let session = server.session().await;
    let message = request(1, "echo", &json!({}));
    let theirs = LinkCall { principal: Some(YOU), ..call(Some(&session), &message) };
    assert_eq!(server.send(theirs).await.unwrap().response.status(), StatusCode::NOT_FOUND);
    let elsewhere = session.replacen("0000000000000007", "0000000000000008", 1);
    assert_ne!(elsewhere, session);
    assert_eq!(server.ask(Some(&elsewhere), &message).await.status, StatusCode::NOT_FOUND);
    assert_eq!(server.ask(Some("nonsense"), &message).await.status, StatusCode::NOT_FOUND);
    let pin = EndpointKey::from("stdio:s@0000000000000008");
    let pinned = LinkCall { pin: Some(&pin), ..call(None, &message) };
    assert!(matches!(server.send(pinned).await.unwrap_err(), CallError::PinnedGone { .. }));
}

#[tokio::test]
async fn an_initialize_that_is_refused_leaves_no_process() {
    let server = server(&[]);
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": 1});
    let session = server.session().await;
    assert_eq!(server.metric("holdfast_links_open{server=\"s\"}"), 1);
    drop(server.send(call(None, &message)));
    let opened = server.send(call(None, &message)).await.unwrap();
    drop(opened);
    server.bare(Method::DELETE, &session).await;
    assert!(server.links.finish(std::time::Duration::from_secs(10)).await);
    assert_eq!(server.metric("holdfast_links_open{server=\"s\"}"), 0);
}

#[tokio::test]
async fn progress_comes_before_its_answer_with_the_token_of_its_client() {
    let server = server(&[]);
    let session = server.session().await;
    for session in [Some(&*session), None] {
        let params = json!({"_meta": {"progressToken": "my token"}});
        let answer = server.ask(session, &request("id", "progress", &params)).await;
        assert!(answer.streamed && !answer.torn);
        assert_eq!(answer.messages.len(), 4, "{answer:?}");
        assert!(answer.messages[..3].iter().all(|note| note["params"]["progressToken"] == "my token"));
        assert_eq!(answer.messages[3], json!({"jsonrpc": "2.0", "id": "id", "result": {"done": true}}));
    }
}

#[tokio::test]
async fn a_question_of_the_server_goes_to_the_request_and_its_answer_back() {
    let server = server(&[]);
    let session = server.session().await;
    let reply = server.send(call(Some(&session), &request(1, "ask", &json!({})))).await.unwrap();
    let mut body = reply.response.into_body();
    let question = next(&mut body).await.unwrap().unwrap();
    assert!(question.contains("sampling/createMessage") && question.contains("\"id\":\"q\""), "{question}");
    let heard = json!({"jsonrpc": "2.0", "id": "q", "result": {"text": "hello"}});
    assert_eq!(server.ask(Some(&session), &heard).await.status, StatusCode::ACCEPTED);
    let answer = next(&mut body).await.unwrap().unwrap();
    assert!(answer.contains(r#""heard":{"text":"hello"}"#), "{answer}");
    assert!(next(&mut body).await.is_none());
}

#[tokio::test]
async fn what_nobody_asked_for_is_heard_by_who_listens_and_the_newest_listener_alone() {
    let server = server(&[]);
    let session = server.session().await;
    server.ask(Some(&session), &request(1, "unasked", &json!({}))).await;
    let mut first = server.bare(Method::GET, &session).await.response.into_body();
    assert!(next(&mut first).await.unwrap().unwrap().contains("list_changed"), "it waited");
    let mut second = server.bare(Method::GET, &session).await.response.into_body();
    assert!(next(&mut first).await.is_none(), "the first ends, and cleanly");
    drop(first);
    server.ask(Some(&session), &request(2, "unasked", &json!({}))).await;
    assert!(next(&mut second).await.unwrap().unwrap().contains("list_changed"));
    let alone = LinkCall { method: Method::GET, ..call(None, &Value::Null) };
    assert_eq!(server.send(alone).await.unwrap().response.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn requests_without_a_session_have_one_process_for_each_principal() {
    let server = server(&[]);
    let world = request(1, "world", &json!({}));
    let mine = server.ask(None, &world).await;
    let again = server.ask(None, &world).await;
    let yours = LinkCall { principal: Some(YOU), ..call(None, &world) };
    let yours = read(server.send(yours).await.unwrap()).await;
    assert_eq!(mine.result()["pid"], again.result()["pid"]);
    assert_ne!(mine.result()["pid"], yours.result()["pid"]);
}

#[tokio::test]
async fn a_shared_server_has_a_pool_for_everybody() {
    let server = server(&["shared: true", "pool: 2"]);
    let world = request(1, "world", &json!({}));
    let mut pids = Vec::new();
    for principal in [ME, YOU] {
        let call = LinkCall { principal: Some(principal), ..call(None, &world) };
        pids.push(read(server.send(call).await.unwrap()).await.result()["pid"].clone());
    }
    assert_eq!(pids[0], pids[1], "the first process rests");
    let waiting = server.send(call(None, &request(1, "never", &json!({}))));
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(200), waiting);
    let other = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        server.ask(None, &world).await.result()["pid"].clone()
    };
    let (_, other) = tokio::join!(waiting, other);
    assert_ne!(other, pids[0], "the first one is busy");
}

#[tokio::test]
async fn two_principals_with_equal_ids_never_see_each_others_answers() {
    for keys in [&["shared: true", "pool: 1"][..], &[]] {
        let server = server(keys);
        let ask = async |principal: u8, n: u32| {
            let params = json!({"secret": format!("{principal}/{n}"), "_meta": {"progressToken": 1}});
            let method = if n.is_multiple_of(4) { "progress" } else { "echo" };
            let message = request(n % 8, method, &params);
            let call = LinkCall { principal: Some([principal; 32]), ..call(None, &message) };
            let answer = read(server.send(call).await.unwrap()).await;
            assert!(!answer.torn);
            let last = answer.messages.last().unwrap();
            assert_eq!(last["id"], n % 8);
            if method == "echo" {
                assert_eq!((answer.messages.len(), &last["result"]["secret"]), (1, &params["secret"]));
            } else {
                assert_eq!(answer.messages.len(), 4, "{answer:?}");
            }
        };
        for round in 0..20 {
            join_all((0..160u32).map(|n| ask((n % 2) as u8 + 1, round * 160 + n))).await;
        }
        assert_eq!(
            server.metric("holdfast_link_messages_dropped_total{server=\"s\",reason=\"unmatched\"}"),
            0
        );
        assert_eq!(server.links.view().links.len(), if keys.is_empty() { 2 } else { 1 });
    }
}

#[tokio::test]
async fn a_request_without_a_session_is_cancelled_when_its_reader_leaves_and_one_of_a_session_is_not() {
    let server = server(&[]);
    let session = server.session().await;
    for session in [None, Some(&*session)] {
        let left = server.send(call(session, &request("gone", "never", &json!({}))));
        assert!(tokio::time::timeout(std::time::Duration::from_millis(100), left).await.is_err());
        let told = server.ask(session, &request(2, "cancelled", &json!({}))).await;
        let expected = if session.is_some() { json!([]) } else { json!([1]) };
        assert_eq!(told.result(), &expected);
    }
}

#[tokio::test]
async fn an_error_without_a_session_has_the_status_that_http_gives_it() {
    let server = server(&[]);
    let session = server.session().await;
    let message = request(1, "unknown", &json!({}));
    assert_eq!(server.ask(None, &message).await.status, StatusCode::NOT_FOUND);
    assert_eq!(server.ask(Some(&session), &message).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_id_that_is_in_flight_is_refused_in_a_session() {
    let server = server(&[]);
    let session = server.session().await;
    let waiting = server.send(call(Some(&session), &request(1, "ask", &json!({})))).await.unwrap();
    let refused = server.ask(Some(&session), &request(1, "echo", &json!({}))).await;
    assert_eq!(
        (refused.status, &refused.messages[0]["error"]["code"]),
        (StatusCode::BAD_REQUEST, &json!(-32600))
    );
    drop(waiting);
}

#[tokio::test]
async fn processes_are_limited_in_all_and_for_each_principal() {
    let server = server(&["max_processes: 2", "max_processes_per_principal: 1"]);
    server.session().await;
    let limit = async |principal: [u8; 32]| {
        let message = request(0, "initialize", &json!({}));
        let call = LinkCall { principal: Some(principal), ..call(None, &message) };
        match server.send(call).await {
            Err(CallError::Overloaded { limit, .. }) => Some(limit),
            Ok(_) => None,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(limit(ME).await, Some(Limit::ProcessesPerPrincipal));
    assert_eq!(limit(YOU).await, None);
    assert_eq!(limit([3; 32]).await, Some(Limit::Processes));
    assert_eq!(server.metric("holdfast_link_openings_total{server=\"s\",result=\"full\"}"), 2);
}
