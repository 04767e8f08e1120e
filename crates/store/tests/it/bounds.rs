//! What the gateway leaves in a server: bounded, named by the table, and never without an end.

use crate::body::feed::in_an_hour;
use crate::world::{
    SESSION_TTL, Watched, World, bytes, eventually, limits, redis, replica, ring, session, stream, until,
};
use holdfast_config::RedisMode;
use holdfast_store::{Append, Appended, LastUsed, Limits, Owner, Sequence, SessionId, StoreErrorKind, Touch};
use holdfast_test_servers::{Options, Server};
use std::time::Duration;

fn number(server: &Server, words: &[&str]) -> i64 {
    redis::from_redis_value(server.command(words).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_has_an_end_and_a_row_in_the_table() {
    let server = Server::start(&Options::new()).unwrap();
    let world = World::single(&server);
    crate::body::all(&world).await;
    let page = holdfast_store::reference_page();
    let known: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split(['{', '`']).next()).collect();
    let keys: Vec<String> = redis::from_redis_value(server.command(&["KEYS", "*"]).unwrap()).unwrap();
    assert!(keys.len() > 20, "{keys:?}");
    for key in keys {
        assert!(number(&server, &["PTTL", &key]) > 0, "{key} has no end");
        let name = key.strip_prefix("holdfast:").unwrap();
        assert!(known.iter().any(|row| name == *row || name.starts_with(row)), "{key} is not in the table");
    }
}

#[tokio::test]
async fn an_append_is_one_round_trip() {
    let server = Server::start(&Options::new()).unwrap();
    let world = World::single(&server);
    let (stream, owner) = (stream(), Owner::first(replica()));
    world.a.events().open(stream, owner, bytes("meta"), Duration::from_mins(1), until()).await.unwrap();
    let scripts = || -> u64 {
        let text = server.info("cmdstat_evalsha").unwrap();
        text.trim_start_matches("calls=").split(',').next().unwrap().parse().unwrap()
    };
    let append = |number: u64| {
        let follows = number.checked_sub(1).map(Sequence);
        Append { stream, owner, sequence: Sequence(number), follows, event: bytes("event") }
    };
    // The first one brings the script.
    assert_eq!(world.a.events().append(append(0), until()).await, Ok(Appended::Done));
    let before = scripts();
    for number in 1..101 {
        assert_eq!(world.a.events().append(append(number), until()).await, Ok(Appended::Done));
    }
    assert_eq!(scripts() - before, 100);
}

#[tokio::test]
async fn a_full_shard_says_that_absence_is_no_evidence() {
    let server = Server::start(&Options::new()).unwrap();
    let config = redis(vec![server.address()], RedisMode::Single);
    let limits = Limits { sessions: 16, ..limits() };
    let watched = Watched::with_limits(&config, ring(&["one"]), limits);
    let activity = watched.store.activity();
    let [first, second, third] =
        [1, 2, 3].map(|number| SessionId([vec![0], vec![number; 15]].concat().try_into().unwrap()));
    let touch = |session| Touch { session, idle: Duration::ZERO, due: Duration::from_mins(9), ending: None };
    activity.touch(&[touch(first), touch(second)], until()).await.unwrap();
    let idle = async || activity.last_used(third, until()).await == Ok(LastUsed::Idle);
    eventually("the store is old enough", idle).await;
    activity.touch(&[touch(third)], until()).await.unwrap();
    assert_eq!(activity.last_used(third, until()).await, Ok(LastUsed::Unknown), "there was no room for it");
    activity.end(first, until()).await.unwrap();
    activity.touch(&[touch(third)], until()).await.unwrap();
    assert!(matches!(activity.last_used(third, until()).await, Ok(LastUsed::Ago(ago)) if ago < SESSION_TTL));
}

#[tokio::test]
async fn the_feed_keeps_no_more_than_it_may() {
    let server = Server::start(&Options::new()).unwrap();
    let config = redis(vec![server.address()], RedisMode::Single);
    let limits = Limits { sessions: 50, ..limits() };
    let replicas: Vec<_> = (0..10).map(|_| Watched::with_limits(&config, ring(&["one"]), limits)).collect();
    for replica in &replicas {
        for _ in 0..50 {
            replica.store.revocations().revoke(session(), in_an_hour(), until()).await.unwrap();
        }
    }
    // Trimmed by whole nodes of 100 entries.
    let length = number(&server, &["XLEN", "holdfast:revoked:{changes}"]);
    assert!((200..=300).contains(&length), "{length}");
    let revocations = replicas[0].store.revocations();
    revocations.revoke(session(), in_an_hour(), until()).await.unwrap();
    server.stop().unwrap();
    let soon = std::time::Instant::now() + Duration::from_millis(300);
    let refused = revocations.revoke(session(), in_an_hour(), soon).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Full, "neither told nor remembered to be told");
    server.cont().unwrap();
}
