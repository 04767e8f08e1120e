//! Sessions that nobody uses any more, and sessions that are too old: refused by every replica, and ended at their server exactly once.

#![allow(clippy::print_stdout, reason = "prints the figures that people read")]

use bytes::Bytes;
use holdfast_identity::Principal;
use holdfast_mcp::{
    era::Version,
    ids::Epoch,
    seal::KeyRing,
    token::{Audience, EndpointTag, SessionToken, SessionUid},
};
use holdfast_test_servers::{Options as ServerOptions, Server};
use holdfast_tests::{
    Result,
    client::Caller,
    fixture::{Fixture, Options},
    gateway::{Config, Gateway},
    mcp::{Client, Era, Failure, LEGACY},
    sharing, wait,
};
use http_body_util::Full;
use hyper::Request;
use nix::sys::signal::Signal;
use serde_json::json;
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);
/// The key that every gateway of the tests has.
const KEY: (&str, &str) = ("test", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");

fn config(server: &Fixture, sessions: &[&str], extra: &str) -> Config {
    Config::default()
        .sessions(sessions)
        .root(&format!("mcp:\n  servers:\n    - {{name: tools, endpoints: [{}]}}\n{extra}", server.mcp()))
}

/// A server, a Redis, and two replicas that share it.
async fn pair(sessions: &[&str]) -> Result<(Fixture, Server, [Gateway; 2])> {
    let server = Fixture::start(Options::named("one")).await?;
    let redis = Server::start(&ServerOptions::new()).map_err(|why| why.to_string())?;
    let config = config(&server, sessions, &format!("redis: {{url: '{}'}}\n", redis.url()));
    let (a, b) = tokio::try_join!(Gateway::start(&config), Gateway::start(&config))?;
    Ok((server, redis, [a, b]))
}

/// The sessions that the server was told to end, in this order.
async fn ended(server: &Fixture) -> Result<Vec<String>> {
    let request = Request::get("/ended").header("host", "localhost").body(Full::default())?;
    let reply = Caller::new(server.address()).send(request).await?;
    Ok(String::from_utf8_lossy(&reply.body).lines().map(str::to_owned).collect())
}

async fn until_ended(server: &Fixture, count: usize, replicas: &[Gateway]) -> Result<Vec<String>> {
    let enough = async || ended(server).await.ok().filter(|ended| ended.len() >= count);
    let what = format!("{count} sessions are ended at their server");
    wait::until(&what, PATIENCE, enough).await.map_err(|why| {
        let logs: Vec<String> = replicas.iter().map(Gateway::log).collect();
        format!("{why}\n{}", logs.join("\n")).into()
    })
}

async fn client(gateway: &Gateway) -> Result<Client> {
    let mut client = Client::new(gateway.address, "/mcp/tools", Era::Legacy);
    client.open().await?;
    Ok(client)
}

async fn sum(replicas: &[Gateway], name: &str, labels: &[&str]) -> Result<f64> {
    let mut sum = 0.0;
    for gateway in replicas {
        sum += gateway.metrics().await?.sum(name, labels);
    }
    Ok(sum)
}

fn is_refused(answer: &std::result::Result<usize, Failure>) -> bool {
    matches!(answer, Err(Failure::Status(404, body)) if body.contains("session_dead"))
}

/// A server is asked once only, also after as long again.
async fn and_no_more(server: &Fixture, replicas: &[Gateway], told: usize) -> Result {
    let _another = client(&replicas[0]).await?;
    let told = until_ended(server, told + 1, replicas).await?;
    let each: BTreeSet<&String> = told.iter().collect();
    assert_eq!(each.len(), told.len(), "a session was ended twice: {told:#?}");
    Ok(())
}

#[tokio::test]
async fn sessions_idle_at_two_replicas_end_once_each() -> Result {
    const SESSIONS: usize = 40;
    let (server, _redis, replicas) = pair(&["ttl: 2s"]).await?;
    let mut clients = Vec::new();
    for number in 0..SESSIONS {
        let mut client = client(&replicas[0]).await?;
        client.list_tools().await?;
        if number % 2 == 0 {
            // The one who opened it is not the one who used it last.
            client.go_to(replicas[1].address);
            client.list_tools().await?;
        }
        clients.push(client);
    }
    let last = Instant::now();
    let told = until_ended(&server, SESSIONS, &replicas).await?;
    println!(
        "{SESSIONS} sessions, {} ended at their server {:?} after the last use",
        told.len(),
        last.elapsed()
    );
    for client in &clients {
        for gateway in &replicas {
            let answer = client.at(gateway.address).list_tools().await;
            assert!(is_refused(&answer), "{answer:?}");
        }
    }
    and_no_more(&server, &replicas, SESSIONS).await?;
    let told = sum(&replicas, "holdfast_mcp_session_ends_total", &["result=\"told\""]).await?;
    let ends = sum(&replicas, "holdfast_mcp_session_ends_total", &[]).await?;
    println!("ends claimed by the replicas: {ends}, told: {told}");
    assert!((told - ends).abs() < 0.5 && told >= SESSIONS as f64, "{told} {ends}");
    Ok(())
}

/// Clocks of replicas may differ by so much: none ends what another still opens.
const LEEWAY: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_session_used_at_either_replica_lives_until_its_absolute_end() -> Result {
    let (server, _redis, replicas) = pair(&["ttl: 2s", "absolute_ttl: 6s"]).await?;
    let mut client = client(&replicas[0]).await?;
    let began = Instant::now();
    let mut served = 0;
    // Used now here, now there, with pauses shorter than the ttl at each.
    let refused = loop {
        client.go_to(replicas[served % 2].address);
        let answer = client.list_tools().await;
        if answer.is_err() {
            break answer;
        }
        served += 1;
        if began.elapsed() > LEEWAY + PATIENCE {
            return Err("a session that never ended".into());
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    let lived = began.elapsed();
    println!("absolute_ttl 6 s, ttl 2 s: {served} requests served over {lived:?}");
    assert!(is_refused(&refused), "{refused:?}");
    // The token counts in whole seconds, and clocks of replicas may differ; whoever has it is told at the next beat.
    let (least, most) = (LEEWAY + Duration::from_millis(4900), LEEWAY + Duration::from_secs(10));
    assert!(lived > least && lived < most, "{lived:?}");
    until_ended(&server, 1, &replicas).await?;
    and_no_more(&server, &replicas, 1).await
}

#[tokio::test]
async fn the_sessions_of_a_replica_that_died_are_ended_by_the_other() -> Result {
    let (server, _redis, [mut a, b]) = pair(&["ttl: 2s"]).await?;
    let mut client = client(&a).await?;
    client.list_tools().await?;
    let told = async || {
        let metrics = a.metrics().await.ok()?;
        (metrics.sum("holdfast_mcp_session_touches_total", &["result=\"ok\""]) > 0.5).then_some(())
    };
    wait::until("the store knows of the use", PATIENCE, told).await?;
    a.kill()?;
    let replicas = [b];
    until_ended(&server, 1, &replicas).await?;
    let answer = client.at(replicas[0].address).list_tools().await;
    assert!(is_refused(&answer), "{answer:?}");
    and_no_more(&server, &replicas, 1).await
}

#[tokio::test]
async fn a_replica_that_leaves_tells_at_once_what_was_used_last() -> Result {
    // A session becomes quiet after half a second: it is left before that.
    let (server, _redis, [mut a, b]) = pair(&["ttl: 8s"]).await?;
    client(&a).await?;
    a.signal(Signal::SIGTERM)?;
    let left = a.ended(PATIENCE).await?;
    assert!(left.success(), "{left}");
    until_ended(&server, 1, &[b]).await?;
    Ok(())
}

/// Of the session of a token made two hours ago by a replica that is gone.
fn old_token(server: &Fixture, upstream_session: &str) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let token = SessionToken {
        uid: SessionUid::random()?,
        epoch: Epoch(0),
        version: Version::parse(LEGACY).ok_or("no such version")?,
        endpoint: EndpointTag::of(&server.mcp()),
        upstream_session: Some(upstream_session.to_owned()),
        issued: now - 7200,
        expires: now + 7200,
        initialize: None,
    };
    let principal = Principal::anonymous().binding();
    let audience = Audience { server: "tools", principal: &principal };
    Ok(token.seal(&KeyRing::from_base64([KEY])?, audience)?.token)
}

/// A list of tools with this token; the status, and how long it took.
async fn list(address: SocketAddr, token: &str) -> Result<(u16, Duration)> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    let request = Request::post("/mcp/tools")
        .header("host", address.to_string())
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", LEGACY)
        .header("mcp-session-id", token)
        .body(Full::new(Bytes::from(body)))?;
    let began = Instant::now();
    let reply = Caller::new(address).send(request).await?;
    Ok((reply.status.as_u16(), began.elapsed()))
}

#[tokio::test]
async fn an_old_session_that_the_store_does_not_know_is_refused_and_without_the_store_served() -> Result {
    let (server, redis, replicas) = pair(&["ttl: 2s"]).await?;
    let a = &replicas[0];
    // One that is there at the server, though no replica has seen it.
    let mut direct = Client::new(server.address(), "/mcp", Era::Legacy);
    direct.open().await?;
    let known = direct.session().ok_or("no session")?.to_owned();
    // A store that is younger than the ttl cannot know: for so long all are alive, and this one's server says 404.
    let idle = async || {
        let (status, _) = list(a.address, &old_token(&server, "not-there").ok()?).await.ok()?;
        let metrics = a.metrics().await.ok()?;
        let refused = metrics.sum("holdfast_mcp_sessions_refused_total", &["reason=\"idle\""]);
        (status == 404 && refused > 0.5).then_some(())
    };
    wait::until("the store's silence is evidence", PATIENCE, idle).await?;
    redis.stop()?;
    let (status, took) = list(a.address, &old_token(&server, &known)?).await?;
    redis.cont()?;
    println!("the store frozen: served with {status} in {took:?}");
    assert_eq!(status, 200, "{}", a.log());
    assert!(took < Duration::from_secs(2), "{took:?}");
    let unanswered =
        a.metrics().await?.sum("holdfast_mcp_session_last_uses_total", &["result=\"unanswered\""]);
    assert!(unanswered > 0.5);
    Ok(())
}

#[tokio::test]
async fn replicas_with_a_channel_and_no_store_leave_a_session_to_the_one_that_uses_it() -> Result {
    let server = Fixture::start(Options::named("one")).await?;
    let [with_a, with_b] = &sharing::channel(2)?[..] else { unreachable!("two of them") };
    let [with_a, with_b] = [with_a, with_b].map(|channel| config(&server, &["ttl: 2s"], channel));
    let (a, b) = tokio::try_join!(Gateway::start(&with_a), Gateway::start(&with_b))?;
    let replicas = [a, b];
    sharing::meet(&[&replicas[0], &replicas[1]]).await?;
    let mut session = client(&replicas[0]).await?;
    session.list_tools().await?;
    session.go_to(replicas[1].address);
    // Two lives of another one, idle from its beginning, are longer than the ttl.
    for told in 1..=2 {
        let _idle = client(&replicas[0]).await?;
        while ended(&server).await?.len() < told {
            session.list_tools().await.map_err(|why| format!("{why}\n{}", replicas[0].log()))?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    assert_eq!(ended(&server).await?.len(), 2, "the one in use was ended as well");
    until_ended(&server, 3, &replicas).await?;
    and_no_more(&server, &replicas, 3).await?;
    for gateway in &replicas {
        let answer = session.at(gateway.address).list_tools().await;
        assert!(is_refused(&answer), "{answer:?}");
    }
    Ok(())
}
