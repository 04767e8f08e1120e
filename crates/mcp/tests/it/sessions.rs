//! Sealed sessions: opening, moving, ending, refusing.

use super::{
    gateway::{Gateway, Options, plain, replayable},
    upstream::{Act, Upstream, legacy, named},
};
use holdfast_identity::Principal;
use http::StatusCode;
use serde_json::json;
use std::sync::Arc;

const VERSIONS: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];

#[tokio::test]
async fn a_session_goes_to_the_endpoint_that_opened_it_with_its_own_id() {
    let servers =
        [Upstream::start(legacy("a", named("a"))).await, Upstream::start(legacy("b", named("b"))).await];
    let gateway = plain(&[&servers[0], &servers[1]]);
    for version in VERSIONS {
        let session = gateway.open(version).await;
        let home = session.call(1, "tools/call", json!({"name": "t"})).await.json().await;
        for id in 2..12 {
            let answer = session.call(id, "tools/list", json!({})).await.json().await;
            assert_eq!(answer["result"], home["result"]);
            assert_eq!(answer["id"], id);
        }
    }
    for server in &servers {
        for seen in server.seen().iter().filter(|seen| seen.rpc() != "initialize") {
            assert!(seen.header("mcp-session-id").is_some_and(|id| id.len() < 8), "the server's own id");
            assert!(seen.header("authorization").is_none() && seen.header("cookie").is_none());
        }
    }
}

#[tokio::test]
async fn another_replica_with_the_same_ring_goes_on_with_the_session() {
    let server = Upstream::start(legacy("a", named("a"))).await;
    let first = plain(&[&server]);
    let mut session = first.open("2025-11-25").await;
    let second =
        Gateway::new(&[&server], Options { ring: Some(Arc::clone(&first.ring)), ..Options::default() });
    session.gateway = &second;
    assert_eq!(session.call(1, "tools/list", json!({})).await.json().await["result"]["from"], "a");
    assert_eq!(server.saw("initialize"), 1);
    let stranger = plain(&[&server]);
    session.gateway = &stranger;
    assert_eq!(session.call(2, "tools/list", json!({})).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn missing_forged_foreign_and_ended_sessions_are_told_apart_only_as_400_and_404() {
    let server = Upstream::start(legacy("a", named("a"))).await;
    let mut gateway = plain(&[&server]);
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let missing = gateway.post(&list, &[]).await;
    assert_eq!(missing.status(), StatusCode::BAD_REQUEST);
    assert_eq!(missing.json().await["error"]["data"]["reason"], "session_missing");
    let token = gateway.open("2025-11-25").await.token;
    let mut forged = token.clone();
    forged.replace_range(token.len() - 4.., "AAAA");
    let before = server.seen().len();
    let mut texts = Vec::new();
    for bad in [&*forged, "x", "v1.ephemeral.", "../../etc", &"a".repeat(9000)] {
        let answer = gateway.post(&list, &[("mcp-session-id", bad)]).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{bad}");
        texts.push(answer.text().await);
    }
    let twice = gateway.post(&list, &[("mcp-session-id", &token), ("Mcp-Session-Id", &forged)]).await;
    assert_eq!(twice.status(), StatusCode::NOT_FOUND);
    gateway.principal = Arc::new(Principal::new("i", "somebody else", None, Vec::new()).unwrap());
    let foreign = gateway.post(&list, &[("mcp-session-id", &token)]).await;
    assert_eq!(foreign.status(), StatusCode::NOT_FOUND);
    texts.push(foreign.text().await);
    texts.dedup();
    assert_eq!(texts.len(), 1, "a prober learns nothing");
    assert_eq!(server.seen().len(), before, "nothing reached the server");
}

#[tokio::test]
async fn delete_reaches_the_server_and_ends_the_session_here() {
    let server = Upstream::start(legacy("a", named("a"))).await;
    let gateway = replayable(&[&server]);
    let session = gateway.open("2025-11-25").await;
    assert!(session.delete().await.status().is_success());
    assert_eq!(server.saw("DELETE"), 1);
    for _ in 0..2 {
        assert_eq!(session.call(1, "tools/list", json!({})).await.status(), StatusCode::NOT_FOUND);
    }
    assert_eq!(session.delete().await.status(), StatusCode::NOT_FOUND);
    assert_eq!(session.get(None).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(server.saw("initialize"), 1, "an ended session is never replayed");
}

#[tokio::test]
async fn a_session_whose_server_is_unreachable_can_still_be_ended() {
    let mut server = Upstream::start(legacy("a", named("a"))).await;
    let gateway = plain(&[&server]);
    let session = gateway.open("2025-11-25").await;
    server.kill().await;
    assert!(session.delete().await.status().is_success());
    server.restart().await;
    assert_eq!(session.call(1, "ping", json!({})).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_replayable_session_survives_its_endpoint_and_stays_on_the_new_one() {
    let mut servers =
        [Upstream::start(legacy("a", named("a"))).await, Upstream::start(legacy("b", named("b"))).await];
    let gateway = replayable(&[&servers[0], &servers[1]]);
    let session = gateway.open("2025-11-25").await;
    let home = session.call(1, "tools/list", json!({})).await.json().await["result"]["from"].clone();
    let (dead, other) = if home == "a" { (0, "b") } else { (1, "a") };
    servers[dead].kill().await;
    for id in 2..6 {
        let answer = session.call(id, "tools/call", json!({"name": "t"})).await;
        assert_eq!(answer.status(), StatusCode::OK, "nothing was sent, so even a tool call goes on");
        assert_eq!(answer.json().await["result"]["from"], other);
    }
    let survivor = &servers[1 - dead];
    let replayed: Vec<_> = survivor.seen().into_iter().filter(|seen| seen.rpc() == "initialize").collect();
    assert_eq!(replayed.len(), 1, "one re-binding, then the journal");
    assert_eq!(replayed[0].message["params"]["clientInfo"]["name"], "test");
    assert_eq!(survivor.saw("notifications/initialized"), 1);
}

#[tokio::test]
async fn many_requests_of_one_session_cause_one_rebinding() {
    let mut servers =
        [Upstream::start(legacy("a", named("a"))).await, Upstream::start(legacy("b", named("b"))).await];
    let gateway = replayable(&[&servers[0], &servers[1]]);
    let session = gateway.open("2025-06-18").await;
    let home = session.call(1, "ping", json!({})).await.json().await["result"]["from"].clone();
    let dead = usize::from(home != "a");
    servers[dead].kill().await;
    let answers =
        futures_util::future::join_all((10..40).map(|id| session.call(id, "tools/list", json!({})))).await;
    for answer in answers {
        assert_eq!(answer.status(), StatusCode::OK);
    }
    assert_eq!(servers[1 - dead].saw("initialize"), 1);
}

#[tokio::test]
async fn a_restarted_endpoint_that_forgot_the_session_gets_it_again() {
    let mut server = Upstream::start(legacy("a", named("a"))).await;
    let gateway = replayable(&[&server]);
    let session = gateway.open("2025-11-25").await;
    server.script(legacy("again", named("again")));
    server.restart().await;
    let answer = session.call(1, "tools/call", json!({"name": "t"})).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.json().await["result"]["from"], "again");
}

#[tokio::test]
async fn a_pinned_session_gets_404_when_its_endpoint_is_gone_or_forgot_it() {
    let mut servers =
        [Upstream::start(legacy("a", named("a"))).await, Upstream::start(legacy("b", named("b"))).await];
    let gateway = plain(&[&servers[0], &servers[1]]);
    let session = gateway.open("2025-11-25").await;
    let home = session.call(1, "ping", json!({})).await.json().await["result"]["from"].clone();
    let dead = usize::from(home != "a");
    servers[dead].kill().await;
    assert_eq!(session.call(2, "tools/list", json!({})).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(servers[1 - dead].saw("initialize"), 0);
    servers[dead].script(legacy("c", named("c")));
    servers[dead].restart().await;
    assert_eq!(session.call(3, "tools/list", json!({})).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_session_never_moves_to_an_endpoint_that_speaks_another_version() {
    let mut first = Upstream::start(legacy("a", named("a"))).await;
    let second = Upstream::start(|seen| {
        let result = json!({"protocolVersion": "2025-03-26", "capabilities": {}, "serverInfo": {"name": "b", "version": "1"}});
        Act::Opened("b-1".into(), seen.result(result))
    })
    .await;
    let only_first = replayable(&[&first]);
    let mut session = only_first.open("2025-11-25").await;
    let options = Options {
        server: "session: replayable",
        ring: Some(Arc::clone(&only_first.ring)),
        ..Options::default()
    };
    let both = Gateway::new(&[&first, &second], options);
    session.gateway = &both;
    first.kill().await;
    assert_eq!(session.call(1, "tools/list", json!({})).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(second.saw("tools/list"), 0);
}

#[tokio::test]
async fn a_server_without_session_ids_is_not_pinned() {
    let stateless = |name: &'static str| {
        move |seen: &super::upstream::Seen| match seen.rpc() {
            "initialize" => {
                let result = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": name, "version": "1"}});
                Act::Json(StatusCode::OK, seen.result(result))
            }
            "notifications/initialized" => Act::Status(StatusCode::ACCEPTED),
            _ => Act::Json(StatusCode::OK, seen.result(json!({"from": name}))),
        }
    };
    let mut servers = [Upstream::start(stateless("a")).await, Upstream::start(stateless("b")).await];
    let gateway = plain(&[&servers[0], &servers[1]]);
    let session = gateway.open("2025-11-25").await;
    servers[0].kill().await;
    for id in 1..5 {
        assert_eq!(session.call(id, "tools/list", json!({})).await.json().await["result"]["from"], "b");
    }
}

#[tokio::test]
async fn an_unknown_version_is_negotiated_by_the_server_and_kept() {
    let server = Upstream::start(|seen| match seen.rpc() {
        "initialize" => {
            let result = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "a", "version": "1"}});
            Act::Opened("s".into(), seen.result(result))
        }
        "notifications/initialized" => Act::Status(StatusCode::ACCEPTED),
        _ => Act::Json(StatusCode::OK, seen.result(json!({}))),
    })
    .await;
    let gateway = plain(&[&server]);
    let mut session = gateway.open("2025-06-18").await;
    assert_eq!(session.call(1, "ping", json!({})).await.status(), StatusCode::OK);
    session.version = "2025-11-25".into();
    assert_eq!(session.call(2, "ping", json!({})).await.status(), StatusCode::BAD_REQUEST);
    session.version = "1999-01-01".into();
    assert_eq!(session.call(3, "ping", json!({})).await.status(), StatusCode::BAD_REQUEST);
}
