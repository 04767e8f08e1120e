//! One server, well.

use super::{Command, LONG, SET_AND_COUNT, World, bulk, until};
use crate::StoreErrorKind;
use holdfast_test_servers::{Options, Server};
use redis::Value;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn commands_scripts_and_batches_work() {
    let server = Server::start(&Options::new()).unwrap();
    let world = World::open(&format!("url: '{}'", server.url()));
    assert_eq!(world.set("a", "1").await.unwrap(), Value::Okay);
    assert_eq!(world.get("a").await.unwrap(), bulk("1"));
    assert_eq!(world.get("nothing").await.unwrap(), Value::Nil);
    let script = || Command::script(&SET_AND_COUNT, vec![b"b".to_vec(), b"n".to_vec()], vec![b"x".to_vec()]);
    assert_eq!(world.run("b", script()).await.unwrap(), Value::Int(1), "the server learns the script");
    assert_eq!(world.run("b", script()).await.unwrap(), Value::Int(2));
    assert_eq!(world.metric("holdfast_store_detours_total{answer=\"no_script\"}"), 1);

    let many: Vec<_> = (0..1000).map(|n| (vec![n as u8], Command::new("INCR").arg("count"))).collect();
    let results = world.link.run_all(many, Instant::now() + LONG).await;
    let counted: Vec<Value> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(counted, (1..=1000).map(Value::Int).collect::<Vec<_>>(), "in their order");
    assert_eq!(world.link.run_all(Vec::new(), Instant::now() + LONG).await, Vec::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_socket_serves_five_hundred_operations_at_once() {
    let server = Server::start(&Options::new()).unwrap();
    let world = World::open(&format!("url: '{}', pool_size: 50", server.url()));
    world.writes("a").await;
    let connections = || server.info("total_connections_received").unwrap().parse::<u64>().unwrap();
    let before = connections();
    let all = (0..500).map(|n| {
        let key = format!("k{n}");
        let world = &world;
        async move { world.set(&key, "v").await }
    });
    let results = futures_util::future::join_all(all).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    // The two looks are connections of their own.
    assert_eq!(connections() - before, 1, "no further socket");
    let view = world.link.view();
    assert_eq!((view.sockets, view.pool_size), (1, 50));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_one_command_is_its_own() {
    let server = Server::start(&Options::new()).unwrap();
    let world = World::open(&format!("url: '{}'", server.url()));
    world.set("text", "x").await.unwrap();
    let commands = vec![
        (b"a".to_vec(), Command::new("SET").arg("a").arg("1")),
        (b"text".to_vec(), Command::new("LPUSH").arg("text").arg("secret-value")),
        (b"a".to_vec(), Command::new("GET").arg("a")),
    ];
    let results = world.link.run_all(commands, Instant::now() + LONG).await;
    assert_eq!((&results[0], &results[2]), (&Ok(Value::Okay), &Ok(bulk("1"))));
    let error = results[1].as_ref().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Protocol);
    assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    assert_eq!(world.breaker(), "closed", "a server that answers works");
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_waiting_future_loses_nothing() {
    let server = Server::start(&Options::new()).unwrap();
    let world = World::open(&format!("url: '{}'", server.url()));
    world.writes("a").await;
    server.stop().unwrap();
    for n in 0..20 {
        let key = format!("dropped{n}");
        // Long enough to be under way, not long enough to be answered.
        let _ = tokio::time::timeout(Duration::from_millis(2), world.set(&key, "1")).await;
    }
    server.cont().unwrap();
    world.writes("a").await;
    until("the first of them was done all the same", async || {
        (world.get("dropped0").await.ok()? == bulk("1")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_absent_at_the_start_is_found_when_it_comes() {
    let mut server = Server::start(&Options::new()).unwrap();
    server.kill().unwrap();
    let world = World::open(&format!("url: '{}'", server.url()));
    assert_eq!(world.set_kind("a").await, Some(StoreErrorKind::Connection));
    assert_eq!(world.link.generation(), 0);
    let link = world.link.clone();
    let reconnected = tokio::spawn(async move { link.reconnected().await });
    server.restart().unwrap();
    let took = world.writes("a").await;
    println!("absent at start: first good write {took:?} after it came");
    reconnected.await.unwrap();
    assert_eq!(world.link.generation(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reconnection_is_a_generation() {
    let mut server = Server::start(&Options::new()).unwrap();
    let world = World::open(&format!("url: '{}'", server.url()));
    world.writes("a").await;
    for generation in 1..=3 {
        assert_eq!(world.link.generation(), generation);
        server.restart().unwrap();
        until("the link is new", async || (world.link.generation() > generation).then_some(())).await;
    }
    assert_eq!(world.link.view().generation, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_clone_closes_every_socket() {
    let server = Server::start(&Options::new()).unwrap();
    let world = World::open(&format!("url: '{}'", server.url()));
    world.writes("a").await;
    let clients = || server.info("connected_clients").unwrap().parse::<u64>().unwrap();
    assert_eq!(clients(), 2, "the link and this question");
    drop(world);
    until("the socket is closed", async || (clients() == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_view_says_what_the_server_is_and_should_be() {
    let server = Server::start(&Options::new().memory("8mb", "volatile-lru")).unwrap();
    let world = World::open(&format!("url: '{}'", server.url()));
    world.writes("a").await;
    let view = until("the server was asked", async || {
        Some(world.link.view()).filter(|view| view.servers[0].version.is_some())
    })
    .await;
    assert_eq!((view.mode, view.servers.len(), view.servers[0].role), ("single", 1, "master"));
    assert_eq!(view.servers[0].address, server.address());
    assert!(view.servers[0].version.as_ref().unwrap().contains('.'));
    let advice = view.advice.join("\n");
    for part in ["noeviction", "8 MiB", "appendonly yes", &server.address()] {
        assert!(advice.contains(part), "{part}: {advice}");
    }
}
