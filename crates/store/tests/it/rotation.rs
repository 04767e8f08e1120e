//! Keys come and go while values stay.

use crate::world::{Watched, World, bytes, epoch, eventually, redis, replica, ring, session, stream, until};
use holdfast_config::RedisMode;
use holdfast_store::{Append, Change, Entry, LastUsed, Name, Owner, PageLimit, Sequence, Touch};
use holdfast_test_servers::{Options, Server};
use std::time::Duration;

use crate::body::feed::{Heard, in_an_hour};

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_older_key_sealed_is_read_until_the_key_leaves_the_ring() {
    let server = Server::start(&Options::new()).unwrap();
    let config = redis(vec![server.address()], RedisMode::Single);
    let [old, both, new] =
        [["old"].as_slice(), &["new", "old"], &["new"]].map(|ids| Watched::open(&config, ring(ids)));
    let (id, ended, name, peer, stream) = (session(), session(), Name([1; 16]), replica(), stream());
    let entry = Entry { epoch: epoch(1), value: bytes("there") };
    let owner = Owner::first(peer);
    old.store.journal().swap(id, entry.clone(), MINUTE, until()).await.unwrap();
    old.store.cache().put(name, bytes("cached"), MINUTE, until()).await.unwrap();
    old.store.registry().announce(peer, bytes("record"), MINUTE, until()).await.unwrap();
    old.store.events().open(stream, owner, bytes("meta"), MINUTE, until()).await.unwrap();
    let append = Append { stream, owner, sequence: Sequence(0), follows: None, event: bytes("event") };
    old.store.events().append(append.clone(), until()).await.unwrap();
    let expires = in_an_hour();
    old.store.revocations().revoke(ended, expires, until()).await.unwrap();

    assert_eq!(both.store.journal().read(id, until()).await, Ok(Some(entry.clone())));
    assert_eq!(both.store.cache().get(name, until()).await, Ok(Some(bytes("cached"))));
    assert_eq!(both.store.registry().list(until()).await, Ok(vec![(peer, bytes("record"))]));
    let limit = PageLimit { events: 10, bytes: 1000 };
    let page = both.store.events().read(stream, Sequence(0), limit, until()).await.unwrap().unwrap();
    assert_eq!((page.meta, page.events), (bytes("meta"), vec![(Sequence(0), bytes("event"))]));
    let (heard, _feed) = Heard::listen(&both.store);
    heard.wait_for(Change::Revoked { session: ended, expires }).await;

    // A replica that still seals with the old key alone is told to use both, the new one first.
    old.store.rekey(ring(&["new", "old"]));
    let next = Entry { epoch: epoch(2), value: bytes("elsewhere") };
    old.store.journal().swap(id, next.clone(), MINUTE, until()).await.unwrap();
    assert_eq!(new.store.journal().read(id, until()).await, Ok(Some(next)));
    assert_eq!(new.store.cache().get(name, until()).await, Ok(None), "sealed by a key that is gone");
    assert_eq!(new.counter("holdfast_store_bad_seals_total{value=\"cached\"}"), 1);
    new.store.rekey(ring(&["new", "old"]));
    assert_eq!(new.store.cache().get(name, until()).await, Ok(Some(bytes("cached"))));
}

/// `faketime` shifts the server's wall clock; the replicas keep theirs.
async fn all_with_a_server_that_is_off_by(shift: &str) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("redis-server");
    // With the server's own allocator, it and faketime would initialise each other for ever; libc's comes before it.
    let script = format!(
        "#!/bin/sh\nexport FAKETIME_DONT_FAKE_MONOTONIC=1\nexec faketime -f '{shift}' \
         sh -c 'LD_PRELOAD=$LD_PRELOAD:libc.so.6 exec redis-server \"$@\"' redis-server \"$@\"\n"
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let server = Server::start(&Options::new().program(&program)).unwrap();
    let off = || {
        let time: Vec<u64> = redis::from_redis_value(server.command(&["TIME"]).unwrap()).unwrap();
        time[0].abs_diff(in_an_hour() - 3600)
    };
    assert!(off() > 50, "the server's clock is off by {}s", off());
    let world = World::single(&server);
    crate::body::all(&world).await;
    let id = session();
    let touch = Touch { session: id, idle: Duration::from_secs(5), due: MINUTE, ending: None };
    world.a.activity().touch(&[touch], until()).await.unwrap();
    eventually("the span that was told, by whatever clock", async || {
        matches!(world.b.activity().last_used(id, until()).await, Ok(LastUsed::Ago(ago)) if ago.as_secs() == 5)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_clock_is_a_minute_ahead_changes_nothing() {
    all_with_a_server_that_is_off_by("+60s").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_clock_is_a_minute_behind_changes_nothing() {
    all_with_a_server_that_is_off_by("-60s").await;
}
