//! Sessions whose time is over: refused here, and ended at their server, once.

use super::{
    gateway::{Gateway, Options, request},
    upstream::{Seen, Upstream, legacy, named},
    wait::until,
};
use holdfast_mcp::{
    Expiry,
    era::Version,
    ids::Epoch,
    token::{Audience, EndpointTag, SessionToken, SessionUid},
};
use holdfast_telemetry::{
    Registry,
    metrics::{ExpiryMetrics, SessionEnd},
};
use http::{Method, StatusCode};
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::runtime::Handle;

const SHORT: &str = "ttl: 1s";
const VERSION: &str = "2025-11-25";
/// For the last word of the task: it waits for nothing here.
const LAST: Duration = Duration::from_secs(5);

/// A replica whose sessions end, and the task that ends them.
fn expiring(servers: &[&Upstream], server: &'static str, sessions: &'static str) -> (Arc<Gateway>, Expiry) {
    let gateway = Arc::new(Gateway::new(servers, Options { server, sessions, ..Options::default() }));
    let expiry = expire(&gateway);
    (gateway, expiry)
}

fn expire(gateway: &Arc<Gateway>) -> Expiry {
    let metrics = ExpiryMetrics::new(&Registry::new(&BTreeMap::new()).unwrap());
    let weak = Arc::downgrade(gateway);
    let reach = move |name: &str| weak.upgrade()?.service.reach(name);
    Expiry::start(&Handle::current(), gateway.service.state(), metrics, reach)
}

fn deletes(server: &Upstream) -> Vec<Seen> {
    server.seen().into_iter().filter(|seen| seen.method == Method::DELETE).collect()
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn an_idle_session_is_refused_and_its_server_hears_of_it_once() {
    let server = Upstream::start(legacy("a", named("a"))).await;
    let (gateway, expiry) = expiring(&[&server], "", SHORT);
    let used = gateway.open(VERSION).await;
    let opened = gateway.open(VERSION).await;
    assert_eq!(used.call(1, "tools/list", json!({})).await.status(), StatusCode::OK);
    until("both ended", || deletes(&server).len() == 2).await;
    for session in [&used, &opened] {
        let refused = session.call(2, "tools/list", json!({})).await;
        assert_eq!(refused.status(), StatusCode::NOT_FOUND);
        assert_eq!(refused.json().await["error"]["data"]["reason"], "session_dead");
    }
    expiry.finish(LAST).await;
    let mut told: Vec<String> =
        deletes(&server).iter().map(|seen| seen.header("mcp-session-id").unwrap().to_owned()).collect();
    told.sort_unstable();
    assert_eq!(told, ["a-1", "a-2"], "each by the server's own id, once");
    assert!(deletes(&server).iter().all(|seen| seen.header("mcp-protocol-version") == Some(VERSION)));
    assert_eq!(server.saw("tools/list"), 1, "a session that has ended is not served");
}

#[tokio::test]
async fn a_session_with_an_open_stream_or_a_use_now_and_then_is_not_idle() {
    let server = Upstream::start(listening).await;
    let (gateway, expiry) = expiring(&[&server], "", SHORT);
    let listening = gateway.open(VERSION).await;
    let stream = listening.get(None).await;
    assert_eq!(stream.status(), StatusCode::OK);
    let busy = gateway.open(VERSION).await;
    // Two lives of an idle session, one after the other, are longer than the ttl.
    for id in 1..3 {
        let idle = gateway.open(VERSION).await;
        let last = idle.call(id, "ping", json!({})).await;
        assert_eq!(last.status(), StatusCode::OK);
        for part in 0_u64.. {
            assert_eq!(busy.call(10 + part, "ping", json!({})).await.status(), StatusCode::OK);
            if deletes(&server).len() == usize::try_from(id).unwrap() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    assert_eq!(listening.call(3, "ping", json!({})).await.status(), StatusCode::OK);
    drop(stream);
    let told = deletes(&server);
    let others = [&listening, &busy].map(|session| session.token.clone());
    assert_eq!(told.len(), 2, "{others:?}");
    expiry.finish(LAST).await;
}

/// A server without ids of its own making: every session is `s-<number>`, and a GET stays open.
fn listening(seen: &Seen) -> super::upstream::Act {
    use super::upstream::{Act, Step};
    match (seen.method.as_str(), seen.rpc()) {
        ("POST", "initialize") => {
            let result = json!({"protocolVersion": VERSION, "capabilities": {}, "serverInfo": {"name": "a", "version": "1"}});
            Act::Opened(format!("s-{}", fastrand::u32(..)), seen.result(result))
        }
        ("GET", _) => Act::Events(vec![Step::Hang]),
        ("POST", "notifications/initialized") => Act::Status(StatusCode::ACCEPTED),
        ("DELETE", _) => Act::Status(StatusCode::OK),
        _ => Act::Json(StatusCode::OK, seen.result(json!({}))),
    }
}

#[tokio::test]
async fn a_session_that_moved_is_ended_where_it_lives_now() {
    let mut servers =
        [Upstream::start(legacy("a", named("a"))).await, Upstream::start(legacy("b", named("b"))).await];
    let (gateway, expiry) = expiring(&[&servers[0], &servers[1]], "session: replayable", SHORT);
    let session = gateway.open(VERSION).await;
    let home = session.call(1, "ping", json!({})).await.json().await["result"]["from"].clone();
    let (dead, living) = if home == "a" { (0, 1) } else { (1, 0) };
    servers[dead].kill().await;
    assert_eq!(session.call(2, "tools/list", json!({})).await.status(), StatusCode::OK);
    until("it ended", || deletes(&servers[living]).len() == 1).await;
    let id = deletes(&servers[living])[0].header("mcp-session-id").unwrap().to_owned();
    assert_eq!(id, if living == 0 { "a-1" } else { "b-1" });
    expiry.finish(LAST).await;
    assert_eq!(deletes(&servers[living]).len(), 1);
}

#[tokio::test]
async fn a_busy_session_ends_at_its_absolute_end() {
    let server = Upstream::start(legacy("a", named("a"))).await;
    let (gateway, expiry) = expiring(&[&server], "", "ttl: 2s\nabsolute_ttl: 3s");
    let session = gateway.open(VERSION).await;
    let begin = tokio::time::Instant::now();
    let mut served = 0_u64;
    while session.call(served, "ping", json!({})).await.status() == StatusCode::OK {
        served += 1;
        assert!(begin.elapsed() < super::wait::PATIENCE, "it never ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The token counts in whole seconds.
    assert!(begin.elapsed() > Duration::from_millis(1900), "after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(5), "within the minute that a token is forgiven");
    until("its server heard of it", || deletes(&server).len() == 1).await;
    expiry.finish(LAST).await;
    assert_eq!(deletes(&server).len(), 1);
}

#[tokio::test]
async fn an_open_stream_ends_with_its_session_at_the_absolute_end() {
    // This server goes on with the stream whatever it is told.
    let server = Upstream::start(listening).await;
    let (gateway, expiry) = expiring(&[&server], "", "ttl: 1s\nabsolute_ttl: 2s");
    let session = gateway.open(VERSION).await;
    let mut events = session.get(None).await.follow();
    while events.next().await.is_some() {}
    assert_eq!(session.get(None).await.status(), StatusCode::NOT_FOUND);
    expiry.finish(LAST).await;
    assert_eq!(deletes(&server).len(), 1);
}

#[tokio::test]
async fn a_session_that_another_region_may_use_does_not_end_for_being_idle() {
    let server = Upstream::start(legacy("a", named("a"))).await;
    let gateway = Arc::new(Gateway::new(&[&server], Options { sessions: SHORT, ..Options::default() }));
    gateway.service.state().span_regions();
    let metrics = ExpiryMetrics::new(&Registry::new(&BTreeMap::new()).unwrap());
    let left = metrics.ends.get(SessionEnd::Left).clone();
    let weak = Arc::downgrade(&gateway);
    let reach = move |name: &str| weak.upgrade()?.service.reach(name);
    let expiry = Expiry::start(&Handle::current(), gateway.service.state(), metrics, reach);
    let session = gateway.open(VERSION).await;
    until("it is idle here", || left.get() == 1).await;
    assert_eq!(session.call(1, "tools/list", json!({})).await.status(), StatusCode::OK);
    expiry.finish(LAST).await;
    assert!(deletes(&server).is_empty());
}

#[tokio::test]
async fn a_session_ended_by_its_client_is_not_ended_again() {
    let server = Upstream::start(legacy("a", named("a"))).await;
    let (gateway, expiry) = expiring(&[&server], "", SHORT);
    let ended = gateway.open(VERSION).await;
    let idle = gateway.open(VERSION).await;
    assert!(ended.delete().await.status().is_success());
    until("the other one ended by itself", || deletes(&server).len() == 2).await;
    expiry.finish(LAST).await;
    let told: Vec<_> =
        deletes(&server).iter().map(|seen| seen.header("mcp-session-id").unwrap().to_owned()).collect();
    assert_eq!(told, ["a-1", "a-2"]);
    assert_eq!(idle.delete().await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_old_session_that_a_lone_replica_does_not_know_is_served() {
    let server = Upstream::start(legacy("a", named("a"))).await;
    let (gateway, _expiry) = expiring(&[&server], "", SHORT);
    let mut session = gateway.open(VERSION).await;
    // As another replica made it two hours ago, from which it was used since: this one cannot know.
    let now = unix_now();
    let token = SessionToken {
        uid: SessionUid::random().unwrap(),
        epoch: Epoch(0),
        version: Version::parse(VERSION).unwrap(),
        endpoint: EndpointTag::of(&server.url()),
        upstream_session: Some("a-1".into()),
        issued: now - 7200,
        expires: now + 7200,
        initialize: None,
    };
    let principal = gateway.principal.binding();
    let sealed = token.seal(&gateway.ring, Audience { server: "it", principal: &principal }).unwrap();
    session.token = sealed.token;
    assert_eq!(session.call(1, "tools/list", json!({})).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_server_that_is_gone_from_the_configuration_hears_nothing_and_the_session_ends_all_the_same() {
    let server = Upstream::start(legacy("a", named("a"))).await;
    let gateway = Gateway::new(&[&server], Options { sessions: SHORT, ..Options::default() });
    let metrics = ExpiryMetrics::new(&Registry::new(&BTreeMap::new()).unwrap());
    let expiry = Expiry::start(&Handle::current(), gateway.service.state(), metrics, |_: &str| None);
    let session = gateway.open(VERSION).await;
    until("it ended", || gateway.service.state().sizes().revoked == 1).await;
    expiry.finish(LAST).await;
    assert_eq!(session.call(1, "ping", json!({})).await.status(), StatusCode::NOT_FOUND);
    let headers = [("mcp-session-id", &*session.token), ("mcp-protocol-version", VERSION)];
    let get = gateway.send(request("GET", String::new(), &headers)).await;
    assert_eq!((get.status(), deletes(&server).len()), (StatusCode::NOT_FOUND, 0));
}
