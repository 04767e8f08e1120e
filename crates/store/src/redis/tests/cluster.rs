//! A cluster: its map, its redirections, its losses.

use super::{Command, LONG, OPERATION, Script, World, bulk, until};
use crate::{StoreErrorKind, redis::slots::slot};
use holdfast_test_servers::Cluster;
use redis::Value;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

fn open(all: &Cluster) -> World {
    // One seed is enough.
    World::open(&format!("mode: cluster, addresses: ['{}']", all.nodes[0].address()))
}

/// A key of each master, with its index.
fn keys(all: &Cluster) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for n in 0.. {
        let key = format!("key{n}");
        let master = all.master(slot(key.as_bytes())).unwrap();
        if found.iter().all(|(known, _)| *known != master) {
            found.push((master, key));
        }
        if found.len() == 3 {
            break;
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_go_to_their_masters_and_batches_to_all_of_them() {
    let all = Cluster::start().unwrap();
    let world = open(&all);
    world.writes("a").await;
    let commands = (0..300).map(|n| {
        let key = format!("k{n}");
        (key.clone().into_bytes(), Command::new("SET").arg(&key).arg(n))
    });
    let results = world.link.run_all(commands.collect(), Instant::now() + LONG).await;
    assert!(results.iter().all(|result| *result == Ok(Value::Okay)), "{results:?}");
    let reads = (0..300).map(|n| (format!("k{n}").into_bytes(), Command::new("GET").arg(format!("k{n}"))));
    let values = world.link.run_all(reads.collect(), Instant::now() + LONG).await;
    for (n, value) in values.into_iter().enumerate() {
        assert_eq!(value.unwrap(), bulk(&n.to_string()));
    }
    for key in ["foo", "{tag}x", "a{b}c{d}", "{}"] {
        let answer = all.nodes[0].command(&["CLUSTER", "KEYSLOT", key]).unwrap();
        assert_eq!(answer, Value::Int(i64::from(slot(key.as_bytes()))), "{key}");
    }
    assert_eq!(world.metric("holdfast_store_detours_total{answer=\"moved\"}"), 0, "the map is known");
    let view = world.link.view();
    let roles: BTreeSet<_> = view.servers.iter().map(|server| server.role).collect();
    assert_eq!((view.servers.len(), roles), (3, BTreeSet::from(["master"])), "{view:?}");
    assert_eq!(view.sockets, 3, "one to each master");
    assert_eq!(world.run("", Command::new("PING")).await.unwrap(), Value::SimpleString("PONG".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_is_killed_under_load_and_its_replica_is_found() {
    let mut all = Cluster::start().unwrap();
    let world = Arc::new(open(&all));
    let keys = keys(&all);
    for (_, key) in &keys {
        world.writes(key).await;
    }
    let (victim, lost_key) = keys[0].clone();
    let stop = Arc::new(AtomicBool::new(false));
    let others = keys[1..].iter().map(|(_, key)| {
        let (world, stop, key) = (Arc::clone(&world), Arc::clone(&stop), key.clone());
        tokio::spawn(async move {
            let (mut good, mut bad) = (0, Vec::new());
            while !stop.load(Ordering::Relaxed) {
                match world.set(&key, "1").await {
                    Ok(_) => good += 1,
                    Err(error) => bad.push(error),
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            (good, bad)
        })
    });
    let others: Vec<_> = others.collect();
    let generation = world.link.generation();
    all.nodes[victim].kill().unwrap();
    let took = world.writes(&lost_key).await;
    println!("cluster: primary killed; first good write to its slots after {took:?}");
    assert!(took < Duration::from_secs(15), "{took:?}");
    stop.store(true, Ordering::Relaxed);
    for other in others {
        let (good, bad) = other.await.unwrap();
        println!("cluster: meanwhile on another shard: {good} good, {} failed", bad.len());
        assert!(good > 100 && bad.is_empty(), "{bad:?}");
    }
    assert!(world.metric("holdfast_store_failovers_total") >= 1);
    assert!(world.link.generation() > generation);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_shard_takes_only_its_own_keys_away_and_comes_back() {
    let mut all = Cluster::start().unwrap();
    let world = open(&all);
    let keys = keys(&all);
    for (_, key) in &keys {
        world.writes(key).await;
    }
    let (_, lost_key) = keys[0].clone();
    let shard = all.shard(slot(lost_key.as_bytes())).unwrap();
    assert_eq!(shard.len(), 2);
    for index in &shard {
        all.nodes[*index].kill().unwrap();
    }
    let (mut lost, mut fastest) = (0, Duration::MAX);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        let asked = Instant::now();
        assert!(world.set_kind(&lost_key).await.is_some(), "nobody has that slot");
        lost += 1;
        fastest = fastest.min(asked.elapsed());
        for (_, key) in &keys[1..] {
            assert_eq!(world.set_kind(key).await, None, "{key} is on another shard");
        }
    }
    println!(
        "cluster: shard lost; {lost} operations on it refused, the fastest in {fastest:?}, none elsewhere"
    );
    assert!(fastest < Duration::from_millis(20), "the breaker answers");
    for index in &shard {
        all.nodes[*index].restart().unwrap();
    }
    println!("cluster: shard back; first good write after {:?}", world.writes(&lost_key).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_migrates_under_load_and_nothing_fails() {
    static BOTH: Script = Script::new("return {redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])}");
    const KEYS: usize = 200;
    let all = Cluster::start().unwrap();
    let world = Arc::new(open(&all));
    let key = |n: usize| format!("{{moving}}{n}");
    let slot = slot(b"{moving}");
    let from = all.master(slot).unwrap();
    let to = keys(&all).into_iter().map(|(index, _)| index).find(|index| *index != from).unwrap();
    for n in 0..KEYS {
        world.set(&key(n), &n.to_string()).await.unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let readers = (0..8).map(|reader| {
        let (world, stop, done) = (Arc::clone(&world), Arc::clone(&stop), Arc::clone(&done));
        tokio::spawn(async move {
            let mut rng = fastrand::Rng::with_seed(reader);
            while !stop.load(Ordering::Relaxed) {
                let (a, b) = (rng.usize(..KEYS), rng.usize(..KEYS));
                if reader % 2 == 0 {
                    assert_eq!(world.get(&key(a)).await.unwrap(), bulk(&a.to_string()));
                } else {
                    // Two keys of which one has moved: TRYAGAIN until the other has, too.
                    let keys = vec![key(a).into_bytes(), key(b).into_bytes()];
                    let command = Command::script(&BOTH, keys, Vec::new()).repeatable();
                    let until = Instant::now() + LONG;
                    let pair = world.link.run(key(a).as_bytes(), command, until).await.unwrap();
                    assert_eq!(pair, Value::Array(vec![bulk(&a.to_string()), bulk(&b.to_string())]));
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    all.begin_move(slot, from, to).unwrap();
    let detours =
        |answer: &str| world.metric(&format!("holdfast_store_detours_total{{answer=\"{answer}\"}}"));
    // One key at a time, so that the load meets the state between.
    let mut moved = 0;
    while all.move_keys(slot, from, to, 1).unwrap() == 1 {
        moved += 1;
        if moved == KEYS / 2 {
            until("ASK and TRYAGAIN were met half way", async || {
                (detours("ask") > 20 && detours("try_again") > 20).then_some(())
            })
            .await;
        }
    }
    all.end_move(slot, from, to).unwrap();
    until("MOVED was met", async || (detours("moved") > 0).then_some(())).await;
    let after = done.load(Ordering::Relaxed);
    until("the load goes on", async || (done.load(Ordering::Relaxed) > after + 500).then_some(())).await;
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    println!(
        "cluster: {moved} keys of a slot moved; {} operations, 0 failed; MOVED {}, ASK {}, TRYAGAIN {}",
        done.load(Ordering::Relaxed),
        detours("moved"),
        detours("ask"),
        detours("try_again")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_down_is_waited_for_within_the_deadline() {
    let all = Cluster::start().unwrap();
    let world = open(&all);
    world.writes("a").await;
    let master = all.master(slot(b"a")).unwrap();
    // The slot is taken from everybody, and given back.
    let number = slot(b"a").to_string();
    for node in &all.nodes {
        let _ = node.command(&["CLUSTER", "DELSLOTS", &number]);
    }
    let began = Instant::now();
    let kind = world.set_kind("a").await.unwrap();
    assert!(matches!(kind, StoreErrorKind::Connection | StoreErrorKind::Refused), "{kind:?}");
    assert!(began.elapsed() < OPERATION + Duration::from_millis(500));
    let given = all.nodes[master].command(&["CLUSTER", "ADDSLOTS", &number]);
    assert!(given.is_ok(), "{given:?}");
    world.writes("a").await;
}
