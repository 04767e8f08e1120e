//! One server, unwell: every fault has its kind, a breaker that opens, and a return that is noticed.

use super::{Command, LONG, OPERATION, SET_AND_COUNT, World, bulk, until};
use crate::StoreErrorKind;
use holdfast_test_servers::{Options, Proxy, Server};
use redis::Value;
use std::time::{Duration, Instant};

/// Works until the breaker is open; the kinds seen before that.
async fn until_refused(world: &World) -> Vec<StoreErrorKind> {
    let mut kinds = Vec::new();
    let deadline = Instant::now() + LONG;
    loop {
        match world.set_kind("a").await {
            Some(StoreErrorKind::Refused) => return kinds,
            Some(kind) => kinds.push(kind),
            None => {}
        }
        assert!(Instant::now() < deadline, "the breaker never opened: {kinds:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_connections_open_the_breaker_and_cost_the_server_nothing() {
    let server = Server::start(&Options::new()).unwrap();
    let proxy = Proxy::start(server.port()).unwrap();
    let world = World::open(&format!("addresses: '{}'", proxy.address()));
    world.writes("a").await;
    proxy.refuse(true);
    proxy.cut();
    let kinds = until_refused(&world).await;
    assert!(kinds.iter().all(|kind| *kind == StoreErrorKind::Connection), "{kinds:?}");
    let (before, began) = (proxy.accepted(), Instant::now());
    let mut refused = 0;
    while began.elapsed() < Duration::from_secs(2) {
        let asked = Instant::now();
        let kind = world.set_kind("a").await;
        assert!(kind.is_some());
        if kind == Some(StoreErrorKind::Refused) {
            refused += 1;
            assert!(asked.elapsed() < Duration::from_millis(500), "a refusal comes at once");
        }
        tokio::task::yield_now().await;
    }
    let tried = proxy.accepted() - before;
    println!("refused: {refused} operations answered at once in 2 s, {tried} connections tried");
    // 50 ms to 500 ms apart, full jitter.
    assert!((1..=40).contains(&tried) && refused > 100, "{tried} connections, {refused} refusals");
    proxy.refuse(false);
    println!("refused: first good write {:?} after the end", world.writes("a").await);
    assert!(world.metric("holdfast_store_breaker_transitions_total") >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_reset_is_made_again_and_repeatable_work_is_repeated() {
    let server = Server::start(&Options::new()).unwrap();
    let proxy = Proxy::start(server.port()).unwrap();
    let world = World::open(&format!("addresses: '{}'", proxy.address()));
    world.writes("a").await;
    for round in 2..7 {
        proxy.delay(Duration::from_millis(200));
        let value = round.to_string();
        let waiting = world.set("a", &value);
        let cut = async {
            // The server has it; its answer is on its way.
            until("the server has it", async || {
                (server.command(&["GET", "a"]).unwrap() == bulk(&value)).then_some(())
            })
            .await;
            proxy.delay(Duration::ZERO);
            proxy.cut();
        };
        assert_eq!(tokio::join!(waiting, cut).0.unwrap(), Value::Okay);
    }
    assert!(world.metric("holdfast_store_retries_total") >= 5);
    assert!(world.link.generation() >= 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_done_is_never_done_twice() {
    let server = Server::start(&Options::new()).unwrap();
    let proxy = Proxy::start(server.port()).unwrap();
    let world = World::open(&format!("addresses: '{}'", proxy.address()));
    world.writes("a").await;
    proxy.delay(Duration::from_millis(200));
    let waiting = world.run("n", Command::new("INCR").arg("n"));
    let cut = async {
        // The server has it; its answer is on its way.
        until("the server has counted", async || {
            (server.command(&["GET", "n"]).unwrap() == bulk("1")).then_some(())
        })
        .await;
        proxy.cut();
        proxy.delay(Duration::ZERO);
    };
    let error = tokio::join!(waiting, cut).0.unwrap_err();
    assert!(error.is_maybe_done() && error.kind() == StoreErrorKind::Connection, "{error}");
    world.writes("a").await;
    assert_eq!(world.get("n").await.unwrap(), bulk("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_costs_command_timeout_then_nothing_and_comes_back() {
    let server = Server::start(&Options::new()).unwrap();
    let proxy = Proxy::start(server.port()).unwrap();
    let world = World::exact(&format!("addresses: '{}', retry_delay: 10ms", proxy.address()));
    world.writes("a").await;
    proxy.delay(Duration::from_millis(200));
    let kinds = until_refused(&world).await;
    assert!(kinds.iter().all(|kind| *kind == StoreErrorKind::Timeout), "{kinds:?}");
    let generation = world.link.generation();
    let mut slowest = Duration::ZERO;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        let asked = Instant::now();
        assert!(world.link.run(b"a", Command::new("GET").arg("a"), asked + OPERATION).await.is_err());
        slowest = slowest.max(asked.elapsed());
        tokio::task::yield_now().await;
    }
    println!("slow: the slowest of all operations in 3 s took {slowest:?}");
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
    assert_eq!(world.link.generation(), generation, "a slow server keeps its connection");
    proxy.delay(Duration::ZERO);
    println!("slow: first good write {:?} after the end", world.writes("a").await);
    assert_eq!(world.link.generation(), generation);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_ends_each_operation_at_its_deadline_and_its_return_is_noticed() {
    let server = Server::start(&Options::new()).unwrap();
    let world = World::exact(&format!("url: '{}', command_timeout: 10s, max_retries: 0", server.url()));
    world.writes("a").await;
    server.stop().unwrap();
    let given = Duration::from_millis(100);
    for _ in 0..5 {
        let asked = Instant::now();
        let error = world.link.run(b"a", Command::new("GET").arg("a"), asked + given).await.unwrap_err();
        let took = asked.elapsed();
        // The heartbeat may have found out first, and closed the connection.
        let expected = [StoreErrorKind::Timeout, StoreErrorKind::Connection, StoreErrorKind::Refused];
        assert!(expected.contains(&error.kind()), "{error}");
        assert!(took < given + Duration::from_millis(400), "{took:?} for a deadline of {given:?}");
    }
    until_refused(&world).await;
    until("the connection is given up", async || (!world.link.view().servers[0].connected).then_some(()))
        .await;
    assert!(world.link.view().servers[0].last_error.is_some());
    server.cont().unwrap();
    println!("frozen: first good write {:?} after it went on", world.writes("a").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_no_place_to_write_and_is_used_once_it_is_promoted() {
    let master = Server::start(&Options::new()).unwrap();
    let of = format!("127.0.0.1 {}", master.port());
    let replica = Server::start(&Options::new().arg("--replicaof", &of)).unwrap();
    let world = World::open(&format!("url: '{}'", replica.url()));
    let first = until("the link knows", async || {
        world.set_kind("a").await.filter(|kind| *kind != StoreErrorKind::Timeout)
    })
    .await;
    assert_eq!(first, StoreErrorKind::ReadOnly);
    until_refused(&world).await;
    replica.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    println!("replica: first good write {:?} after it was promoted", world.writes("a").await);
    // And demoted under the feet of the link.
    replica.command(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]).unwrap();
    let kinds = until_refused(&world).await;
    assert!(kinds.iter().all(|kind| *kind == StoreErrorKind::ReadOnly), "{kinds:?}");
    assert!(world.metric("holdfast_store_connects_total{server=\"") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_a_missing_one_are_denied() {
    let server = Server::start(&Options::new().password("right-secret")).unwrap();
    for (auth, kind) in [
        (", auth: {password: wrong-secret}", Some(StoreErrorKind::Denied)),
        ("", Some(StoreErrorKind::Denied)),
        (", auth: {username: nobody, password: right-secret}", Some(StoreErrorKind::Denied)),
        (", auth: {password: right-secret}", None),
        (", auth: {username: default, password: right-secret}", None),
    ] {
        let world = World::open(&format!("url: '{}'{auth}", server.url()));
        assert_eq!(world.set_kind("a").await, kind, "{auth}");
        let view = format!("{:?}", world.link.view());
        assert!(!view.contains("secret"), "{view}");
        if kind.is_some() {
            assert!(view.contains("refuses the login"), "{view}");
            assert!(world.metric("holdfast_store_connects_total") > 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_rule_denies_one_command_and_leaves_the_others() {
    let rules = "limited on >pw ~allowed* +get +set +evalsha +eval +script";
    let server = Server::start(&Options::new().user(rules)).unwrap();
    let world = World::open(&format!("url: 'redis://limited:pw@{}'", server.address()));
    world.set("allowed", "1").await.unwrap();
    assert_eq!(world.set_kind("other").await, Some(StoreErrorKind::Denied));
    let forbidden = world.run("allowed", Command::new("INCR").arg("allowed")).await.unwrap_err();
    assert_eq!(forbidden.kind(), StoreErrorKind::Denied);
    let keys = vec![b"allowed1".to_vec(), b"allowed2".to_vec()];
    let script =
        world.run("a", Command::script(&SET_AND_COUNT, keys, vec![b"x".to_vec()])).await.unwrap_err();
    assert_eq!(script.kind(), StoreErrorKind::Denied, "INCR inside the script");
    // Without PING, ROLE, INFO and CONFIG the link works all the same.
    assert_eq!((world.breaker(), world.link.view().servers[0].role), ("closed", "unknown"));
    until("the advice says that it knows nothing", async || {
        world.link.view().advice.iter().any(|advice| advice.contains("not checked")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_refuses_writes_reads_on_and_stays_admitted() {
    let server = Server::start(&Options::new().memory("3mb", "noeviction")).unwrap();
    let world = World::open(&format!("url: '{}'", server.url()));
    world.set("small", "1").await.unwrap();
    let big = "x".repeat(256 << 10);
    let mut full = None;
    for n in 0..100 {
        full = world.set(&format!("big{n}"), &big).await.err();
        if full.is_some() {
            break;
        }
    }
    assert_eq!(full.map(|error| error.kind()), Some(StoreErrorKind::Full));
    let keys = vec![b"b".to_vec(), b"n".to_vec()];
    let fill = Command::script(&SET_AND_COUNT, keys, vec![big.clone().into_bytes()]);
    let script = world.run("b", fill).await.unwrap_err();
    assert_eq!(script.kind(), StoreErrorKind::Full, "in a script too");
    for _ in 0..10 {
        assert!(world.set("more", &big).await.is_err());
    }
    assert_eq!(world.get("small").await.unwrap(), bulk("1"));
    assert_eq!(world.breaker(), "closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_server_learns_its_scripts_again() {
    let server = Server::start(&Options::new()).unwrap();
    let world = World::open(&format!("url: '{}'", server.url()));
    let script = || Command::script(&SET_AND_COUNT, vec![b"b".to_vec(), b"n".to_vec()], vec![b"x".to_vec()]);
    assert_eq!(world.run("b", script()).await.unwrap(), Value::Int(1));
    server.flush().unwrap();
    assert_eq!(world.run("b", script()).await.unwrap(), Value::Int(1));
    server.flush().unwrap();
    let both = vec![(b"b".to_vec(), script()), (b"b".to_vec(), script())];
    let results = world.link.run_all(both, Instant::now() + LONG).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert!(world.metric("holdfast_store_detours_total{answer=\"no_script\"}") >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_reads_its_data_is_waited_for() {
    let server = Server::start(
        &Options::new()
            .arg("--key-load-delay", "2000")
            .arg("--loading-process-events-interval-bytes", "1024"),
    )
    .unwrap();
    let world = World::open(&format!("url: '{}'", server.url()));
    world.writes("a").await;
    server.command(&["DEBUG", "POPULATE", "1000", "filler", "100"]).unwrap();
    let port = server.port();
    // It reads a thousand keys with 2 ms for each, and answers LOADING meanwhile.
    let reload = std::thread::spawn(move || {
        let _ = server.command(&["DEBUG", "RELOAD"]);
        server
    });
    let seen = until("it says LOADING, or is back", async || {
        let loading = world.metric("holdfast_store_detours_total{answer=\"loading\"}") > 0;
        let failed = world.set_kind("a").await.is_some();
        (loading || failed || reload.is_finished()).then_some(loading || failed)
    })
    .await;
    assert!(seen, "the load was too short on port {port}");
    let server = reload.join().unwrap();
    println!("loading: first good write {:?} later", world.writes("a").await);
    drop(server);
}
