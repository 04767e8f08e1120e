//! One server, and everything that can happen to it.

use crate::{
    hold,
    relay::Relay,
    scene::{Scene, Shows},
};
use holdfast_test_servers::{Options, Proxy, Server, Value};
use holdfast_tests::Result;
use std::time::Duration;

/// The gateways log in as this one, so that its password can be changed while the test still has access.
const USER: &str = "gateway on >right ~* &* +@all";
/// What the issue calls slow.
const SLOW: Duration = Duration::from_millis(200);

fn server() -> Result<Server> {
    Server::start(&Options::new().user(USER))
}

fn at(address: &str) -> String {
    format!("redis: {{url: 'redis://gateway:right@{address}'}}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_a_single_server_stops_and_comes_back_empty() -> Result {
    let mut redis = server()?;
    let mut scene = Scene::start("single Redis, stopped", &at(&redis.address())).await?;
    let mut fault = scene.strike("SIGTERM", Shows::Yes, || redis.terminate()).await?;
    scene.move_a_session(&mut fault).await?;
    let ended = scene.lift(fault, hold(8000, 60), || redis.restart()).await?;
    scene.newcomer_refuses(&ended).await?;
    let fault = scene.strike("SIGKILL", Shows::Yes, || redis.kill()).await?;
    scene.lift(fault, hold(1000, 60), || redis.restart()).await?;
    let mut fault = scene.strike("SIGSTOP", Shows::Yes, || redis.stop()).await?;
    scene.move_a_session(&mut fault).await?;
    scene.lift(fault, hold(2000, 60), || redis.cont()).await?;
    scene.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_a_single_server_refuses_what_it_is_asked() -> Result {
    let redis = server()?;
    let mut scene = Scene::start("single Redis, refusing", &at(&redis.address())).await?;
    let replica = ["REPLICAOF", "127.0.0.1", "1"];
    let fault = scene.strike("read-only replica", Shows::Yes, || commands(&redis, &[&replica])).await?;
    scene.lift(fault, hold(1000, 30), || commands(&redis, &[&["REPLICAOF", "NO", "ONE"]])).await?;
    let hang_up = ["CLIENT", "KILL", "USER", "gateway"];
    let login = |password| ["ACL", "SETUSER", "gateway", "resetpass", password];
    let fault = scene
        .strike("wrong password", Shows::Yes, || commands(&redis, &[&login(">wrong"), &hang_up]))
        .await?;
    scene.lift(fault, hold(1000, 30), || commands(&redis, &[&login(">right")])).await?;
    let memory = |most| ["CONFIG", "SET", "maxmemory", most];
    // What it has keeps working; an end that it has no room for waits at its replica, and that shows.
    let fault = scene.strike("full memory", Shows::No, || commands(&redis, &[&memory("1")])).await?;
    scene.lift(fault, hold(1000, 30), || commands(&redis, &[&memory("0")])).await?;
    scene.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_a_single_server_loses_values_or_returns_other_ones() -> Result {
    let redis = server()?;
    let mut scene = Scene::start("single Redis, wrong values", &at(&redis.address())).await?;
    let fault = scene.strike("flushed", Shows::No, || Ok(())).await?;
    scene.lift(fault, Duration::ZERO, || redis.flush()).await?;

    let mut fault = scene.strike("every journal entry altered", Shows::No, || Ok(())).await?;
    let mut altered = 0;
    let alter = || {
        altered = alter_journal(&redis)?;
        Ok(())
    };
    scene.move_a_session_and(&mut fault, alter).await?;
    assert!(altered > 0, "no session had moved");
    let forged = ["XADD", "holdfast:revoked:{changes}", "*", "v", "no seal of anybody opens this"];
    scene.lift(fault, hold(500, 30), || commands(&redis, &[&forged])).await?;
    let bad = bad_seals(&scene).await?;
    println!("{altered} journal entries altered, {bad} values taken for absent");
    assert!(bad >= 1.0, "somebody read the forged change");
    scene.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_the_way_to_a_single_server_is_slow_or_broken() -> Result {
    let redis = server()?;
    let proxy = Proxy::start(redis.port())?;
    let relay = Relay::start(proxy.address().parse()?).await?;
    let mut scene = Scene::start("single Redis, far away", &at(&relay.address().to_string())).await?;
    let mut fault = scene
        .strike("200 ms slow", Shows::Yes, || {
            proxy.delay(SLOW);
            Ok(())
        })
        .await?;
    scene.move_a_session(&mut fault).await?;
    scene
        .lift(fault, hold(2000, 60), || {
            proxy.delay(Duration::ZERO);
            Ok(())
        })
        .await?;
    let fault = scene
        .strike("connections closed at once", Shows::Yes, || {
            proxy.refuse(true);
            proxy.cut();
            Ok(())
        })
        .await?;
    scene
        .lift(fault, hold(1000, 30), || {
            proxy.refuse(false);
            Ok(())
        })
        .await?;
    hit(&mut scene, "closed ten times a second", || proxy.cut()).await?;
    let before = relay.done();
    hit(&mut scene, "reset ten times a second", || relay.reset()).await?;
    println!("{} connections were reset", relay.done() - before);
    assert!(relay.done() > before, "no connection was reset");
    scene.finish().await
}

/// A fault that hits ten times a second.
async fn hit(scene: &mut Scene, name: &str, blow: impl Fn()) -> Result {
    let fault = scene.strike(name, Shows::No, || Ok(())).await?;
    let mut beat = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..hold(1500, 30).as_millis() / 100 {
        beat.tick().await;
        blow();
    }
    scene.lift(fault, Duration::ZERO, || Ok(())).await?;
    Ok(())
}

fn commands(redis: &Server, all: &[&[&str]]) -> Result {
    for words in all {
        redis.command(words)?;
    }
    Ok(())
}

/// Alters the last byte of every journal entry; how many there were.
fn alter_journal(redis: &Server) -> Result<usize> {
    let Value::Array(keys) = redis.command(&["KEYS", "holdfast:journal:*"])? else {
        return Err("KEYS gave no list".into());
    };
    for key in &keys {
        let Value::BulkString(key) = key else { return Err("a key that is no text".into()) };
        let key = std::str::from_utf8(key)?;
        let Value::Int(length) = redis.command(&["STRLEN", key])? else { return Err("no length".into()) };
        let last = (length - 1).max(0).to_string();
        let is = redis.command(&["GETRANGE", key, &last, &last])?;
        let other = if is == Value::BulkString(b"a".to_vec()) { "b" } else { "a" };
        redis.command(&["SETRANGE", key, &last, other])?;
    }
    Ok(keys.len())
}

async fn bad_seals(scene: &Scene) -> Result<f64> {
    let mut sum = 0.0;
    for gateway in scene.trio.replicas.gateways() {
        sum += gateway.metrics().await?.sum("holdfast_store_bad_seals_total", &[]);
    }
    Ok(sum)
}
