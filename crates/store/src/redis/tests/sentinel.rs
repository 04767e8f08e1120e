//! A master behind sentinels.

use super::{World, bulk, until};
use crate::StoreErrorKind;
use holdfast_test_servers::{Options, Sentinel};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

fn block(all: &Sentinel) -> String {
    format!("sentinel: {{addresses: ['{}']}}", all.addresses().join("', '"))
}

/// Writes all the time, ten at once; when each write succeeded, and the kinds of those that did not.
async fn load(
    world: Arc<World>,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
) -> (Vec<Instant>, Vec<StoreErrorKind>) {
    let writers = (0..10).map(|n| {
        let (world, stop, count) = (Arc::clone(&world), Arc::clone(&stop), Arc::clone(&count));
        tokio::spawn(async move {
            let (mut good, mut bad) = (Vec::new(), Vec::new());
            while !stop.load(Ordering::Relaxed) {
                match world.set(&format!("load{n}"), "1").await {
                    Ok(_) => {
                        count.fetch_add(1, Ordering::Relaxed);
                        good.push(Instant::now());
                    }
                    Err(error) => bad.push(error.kind()),
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            (good, bad)
        })
    });
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for writer in futures_util::future::join_all(writers).await {
        let (g, b) = writer.unwrap();
        good.extend(g);
        bad.extend(b);
    }
    good.sort_unstable();
    (good, bad)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_is_killed_under_load_and_the_new_one_is_found() {
    let mut all = Sentinel::start().unwrap();
    let world = Arc::new(World::open(&block(&all)));
    world.writes("a").await;
    let first = world.link.view().servers[0].address.clone();
    let stop = Arc::new(AtomicBool::new(false));
    let good = Arc::new(AtomicUsize::new(0));
    let loading = tokio::spawn(load(Arc::clone(&world), Arc::clone(&stop), Arc::clone(&good)));
    until("the load is on", async || (good.load(Ordering::Relaxed) > 500).then_some(())).await;
    let killed = Instant::now();
    let old = all.kill_master().unwrap();
    until("the link has another master", async || {
        (world.metric("holdfast_store_failovers_total") > 0).then_some(())
    })
    .await;
    let took = world.writes("a").await;
    let back = killed.elapsed();
    let before = good.load(Ordering::Relaxed);
    until("the load goes on", async || (good.load(Ordering::Relaxed) > before + 500).then_some(())).await;
    stop.store(true, Ordering::Relaxed);
    let (good, bad) = loading.await.unwrap();
    let first_good = good.iter().find(|at| **at > killed + Duration::from_millis(50)).map(|at| *at - killed);
    println!(
        "sentinel: master killed; first good operation after {first_good:?} (all well after {back:?}, last wait {took:?}); \
         {} good, {} failed: {:?}",
        good.len(),
        bad.len(),
        count(&bad)
    );
    let view = world.link.view();
    assert_ne!(view.servers[0].address, first);
    assert_eq!((view.servers[0].role, view.servers.len()), ("master", 1));
    assert!(bad.iter().all(|kind| {
        matches!(
            kind,
            StoreErrorKind::Connection
                | StoreErrorKind::Refused
                | StoreErrorKind::ReadOnly
                | StoreErrorKind::Timeout
        )
    }));
    assert!(back < Duration::from_secs(10), "{back:?}");
    // The old one comes back as a replica, and nobody goes there.
    all.servers[old].restart().unwrap();
    assert_eq!(world.set_kind("a").await, None);
}

fn count(kinds: &[StoreErrorKind]) -> Vec<(&'static str, usize)> {
    let all = StoreErrorKind::ALL.into_iter();
    let counts = all.map(|kind| (kind.name(), kinds.iter().filter(|other| **other == kind).count()));
    counts.filter(|(_, count)| *count > 0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_master_is_left_for_the_new_one_and_not_returned_to() {
    let all = Sentinel::start().unwrap();
    let world = World::open(&block(&all));
    world.writes("a").await;
    let old = all.master().unwrap();
    let frozen = Instant::now();
    all.servers[old].stop().unwrap();
    until("the link has another master", async || {
        (world.metric("holdfast_store_failovers_total") > 0).then_some(())
    })
    .await;
    world.writes("a").await;
    println!("sentinel: master frozen; first good write after {:?}", frozen.elapsed());
    all.servers[old].cont().unwrap();
    for _ in 0..50 {
        assert_eq!(world.set_kind("a").await, None);
    }
    assert_ne!(world.link.view().servers[0].address, all.servers[old].address());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_sentinel_and_one_that_lies_are_passed_over() {
    let mut all = Sentinel::start().unwrap();
    let replica = all.servers[1].port().to_string();
    // It watches a replica under the name of the master: what it says is not what `ROLE` says.
    let liar = &all.sentinels[0];
    liar.command(&["SENTINEL", "REMOVE", "mymaster"]).unwrap();
    let world = World::open(&format!(
        "sentinel: {{addresses: ['127.0.0.1:1', '{}', '{}', '{}']}}",
        all.sentinels[0].address(),
        all.sentinels[1].address(),
        all.sentinels[2].address(),
    ));
    world.set("a", "1").await.unwrap();
    assert_eq!(world.link.view().servers[0].address, all.servers[0].address());
    assert_ne!(all.servers[0].port().to_string(), replica);
    all.sentinels[1].kill().unwrap();
    all.sentinels[2].kill().unwrap();
    // Nobody can be asked any more; the master works on.
    for _ in 0..20 {
        assert_eq!(world.get("a").await.unwrap(), bulk("1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_servers_have_passwords_of_their_own() {
    let all = Sentinel::start_with(&Options::new(), Some(("of-servers", "of-sentinels"))).unwrap();
    let addresses = all.addresses().join("', '");
    let with = |password: &str| {
        World::open(&format!(
            "sentinel: {{addresses: ['{addresses}'], password: {password}}}, auth: {{password: of-servers}}"
        ))
    };
    with("of-sentinels").set("a", "1").await.unwrap();
    let wrong = with("of-servers");
    until("it is denied", async || wrong.set_kind("a").await.filter(|kind| *kind == StoreErrorKind::Denied))
        .await;
    assert!(!format!("{:?}", wrong.link.view()).contains("of-"));
}
