//! The contracts of quota ledger, cache and peer registry.

use crate::world::{World, bytes, eventually, replica, until};
use holdfast_store::{LEASE_TTL, Lease, Name, ReplicaId, Store, StoreErrorKind, Want};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

fn name() -> Name {
    Name::of(&[&fastrand::u128(..).to_be_bytes()])
}

/// Shares that are live by their holders' own clocks.
type Held = Arc<Mutex<HashMap<ReplicaId, Lease>>>;

async fn renew(store: Store, quota: Name, replica: ReplicaId, total: u64, rounds: usize, held: Held) {
    for round in 0..rounds {
        let held_now = held.lock().unwrap().get(&replica).map_or(0, |lease| lease.share);
        let want = Want { demand: fastrand::u64(0..1000), held: held_now, total };
        let lease = store.quotas().lease(quota, replica, want, until()).await.unwrap();
        assert!(lease.until <= Instant::now() + LEASE_TTL);
        held.lock().unwrap().insert(replica, lease);
        if round % 17 == 16 {
            held.lock().unwrap().remove(&replica);
            store.quotas().release(quota, replica, until()).await.unwrap();
        }
    }
}

pub(crate) async fn five_replicas_share_a_quota_and_never_exceed_it(world: &World) {
    let (quota, total) = (name(), 1000);
    let replicas: Vec<_> = (0..5).map(|_| replica()).collect();
    let held = Held::default();
    let tasks = replicas.iter().enumerate().map(|(number, replica)| {
        let store = if number % 2 == 0 { &world.a } else { &world.b }.clone();
        tokio::spawn(renew(store, quota, *replica, total, 100, Arc::clone(&held)))
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    // Nobody asks any more: what everybody was told last is what all hold.
    let sum = |held: &HashMap<ReplicaId, Lease>| held.values().map(|lease| lease.share).sum::<u64>();
    assert!(sum(&held.lock().unwrap()) <= total);
    for round in 0..10 {
        for (number, replica) in replicas.iter().enumerate() {
            let demand = [400, 300, 200, 100, 0][number];
            let want = Want { demand, held: held.lock().unwrap()[replica].share, total };
            let lease = world.b.quotas().lease(quota, *replica, want, until()).await.unwrap();
            held.lock().unwrap().insert(*replica, lease);
            assert!(sum(&held.lock().unwrap()) <= total, "round {round}");
        }
    }
    let shares: Vec<_> = replicas.iter().map(|replica| held.lock().unwrap()[replica].share).collect();
    for (share, fair) in shares.iter().zip([360, 270, 180, 90, 0]) {
        assert!(*share >= fair && *share <= fair + 20, "{shares:?}");
    }
    for replica in &replicas[1..] {
        world.a.quotas().release(quota, *replica, until()).await.unwrap();
    }
    let want = Want { demand: 1, held: 0, total };
    let alone = world.a.quotas().lease(quota, replicas[0], want, until()).await.unwrap();
    assert_eq!(alone.share, 950, "all but what is left for a newcomer");
    let newcomer = world.b.quotas().lease(quota, replica(), want, until()).await.unwrap();
    assert_eq!(newcomer.share, 50);
}

pub(crate) async fn the_cache_keeps_what_fits_for_a_while(world: &World) {
    let (a, b, key) = (world.a.cache(), world.b.cache(), name());
    assert_eq!(a.get(key, until()).await, Ok(None));
    let longest: bytes::Bytes = vec![5; world.limits.cache_value_bytes].into();
    a.put(key, longest.clone(), Duration::from_mins(1), until()).await.unwrap();
    assert_eq!(b.get(key, until()).await, Ok(Some(longest)));
    b.put(key, bytes("short"), Duration::from_millis(150), until()).await.unwrap();
    eventually("a value ends", async || a.get(key, until()).await.unwrap().is_none()).await;
    b.put(key, bytes("again"), Duration::from_mins(1), until()).await.unwrap();
    a.remove(key, until()).await.unwrap();
    assert_eq!(b.get(key, until()).await, Ok(None));
    let too_long = vec![5; world.limits.cache_value_bytes + 1].into();
    let refused = a.put(key, too_long, Duration::from_mins(1), until()).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::TooLarge);
}

pub(crate) async fn replicas_come_and_go(world: &World) {
    let (a, b) = (world.a.registry(), world.b.registry());
    let (first, second) = (replica(), replica());
    a.announce(first, bytes("one"), Duration::from_mins(1), until()).await.unwrap();
    b.announce(second, bytes("two"), Duration::from_millis(200), until()).await.unwrap();
    a.announce(first, bytes("one again"), Duration::from_mins(1), until()).await.unwrap();
    assert!(b.list(until()).await.unwrap().contains(&(first, bytes("one again"))));
    let gone = async || a.list(until()).await.unwrap().iter().all(|(replica, _)| *replica != second);
    eventually("a silent replica leaves the list", gone).await;
    let others: Vec<_> = (1..world.limits.peers).map(|_| replica()).collect();
    for other in &others {
        a.announce(*other, bytes("x"), Duration::from_mins(1), until()).await.unwrap();
    }
    let refused = b.announce(replica(), bytes("x"), Duration::from_mins(1), until()).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Full);
    for replica in others.iter().chain([&first]) {
        b.leave(*replica, until()).await.unwrap();
    }
    assert_eq!(a.list(until()).await, Ok(Vec::new()));
}
