//! Values are lost: by a flush, by a restart, by a failover that had not copied them yet.

use crate::body::feed::{Heard, in_an_hour};
use crate::world::{
    SESSION_TTL, Watched, behind, bytes, epoch, eventually, redis, replica, ring, session, stream, until,
};
use holdfast_config::RedisMode;
use holdfast_store::{
    Append, Appended, Change, Claimed, Entry, Epoch, LastUsed, Opened, Owner, Page, PageLimit, Sequence,
    Store, Stream, Swapped, Touch,
};
use holdfast_test_servers::{Options, Sentinel, Server};
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_mins(1);

fn entry(number: u64) -> Entry {
    Entry { epoch: epoch(number), value: bytes(&format!("place {number}")) }
}

fn append(stream: Stream, owner: Owner, number: u64) -> Append {
    let follows = number.checked_sub(1).map(Sequence);
    Append { stream, owner, sequence: Sequence(number), follows, event: bytes(&format!("event {number}")) }
}

async fn page(store: &Store, stream: Stream) -> Page {
    let limit = PageLimit { events: 100, bytes: 100_000 };
    store.events().read(stream, Sequence(0), limit, until()).await.unwrap().unwrap()
}

fn sequences(page: &Page) -> Vec<u64> {
    page.events.iter().map(|(sequence, _)| sequence.0).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_flush_revocations_come_back_and_absence_is_no_evidence() {
    let server = Server::start(&Options::new()).unwrap();
    let config = redis(vec![server.address()], RedisMode::Single);
    let [a, b] = [0, 1].map(|_| Watched::open(&config, ring(&["one"])));
    let (heard, _feed) = Heard::listen(&b.store);
    let (_, _own) = Heard::listen(&a.store);
    let revoked = Change::Revoked { session: session(), expires: in_an_hour() };
    let Change::Revoked { session: ended, expires } = revoked else { unreachable!() };
    a.store.revocations().revoke(ended, expires, until()).await.unwrap();
    heard.wait_for(revoked).await;
    let (id, stream, owner) = (session(), stream(), Owner::first(replica()));
    let idle = async || a.store.activity().last_used(id, until()).await == Ok(LastUsed::Idle);
    eventually("the store is old enough", idle).await;
    assert_eq!(a.store.events().open(stream, owner, bytes("meta"), MINUTE, until()).await, Ok(Opened::Yours));
    assert_eq!(a.store.events().append(append(stream, owner, 0), until()).await, Ok(Appended::Done));
    assert_eq!(a.store.events().append(append(stream, owner, 1), until()).await, Ok(Appended::Done));
    let resyncs = heard.times(Change::Resync);

    server.flush().unwrap();
    eventually("the feed begins again", async || heard.times(Change::Resync) > resyncs).await;
    let late = Watched::open(&config, ring(&["one"]));
    let (late_heard, _late_feed) = Heard::listen(&late.store);
    late_heard.wait_for(revoked).await;
    let asked = Instant::now();
    assert_eq!(a.store.activity().last_used(id, until()).await, Ok(LastUsed::Unknown));
    eventually("until the store is old enough again", idle).await;
    assert!(asked.elapsed() + Duration::from_millis(50) >= SESSION_TTL);

    assert_eq!(a.store.events().append(append(stream, owner, 2), until()).await, Ok(Appended::Unknown));
    assert_eq!(a.store.events().open(stream, owner, bytes("meta"), MINUTE, until()).await, Ok(Opened::Yours));
    assert_eq!(a.store.events().append(append(stream, owner, 2), until()).await, Ok(Appended::Done));
    let page = page(&b.store, stream).await;
    assert_eq!((page.first, sequences(&page)), (Sequence(2), vec![2]), "the log says what it has lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_told_is_told_when_the_server_is_back() {
    let mut server = Server::start(&Options::new()).unwrap();
    let config = redis(vec![server.address()], RedisMode::Single);
    let [a, b] = [0, 1].map(|_| Watched::open(&config, ring(&["one"])));
    let (heard, _feed) = Heard::listen(&b.store);
    heard.wait_for(Change::Resync).await;
    let resyncs = heard.times(Change::Resync);
    server.kill().unwrap();
    let revoked = Change::Revoked { session: session(), expires: in_an_hour() };
    let Change::Revoked { session: ended, expires } = revoked else { unreachable!() };
    let soon = Instant::now() + Duration::from_millis(200);
    a.store.revocations().revoke(ended, expires, soon).await.unwrap_err();
    eventually("the operator sees it", async || a.counter("holdfast_store_changes_pending") == 1).await;
    server.restart().unwrap();
    heard.wait_for(revoked).await;
    eventually("everything is read again", async || heard.times(Change::Resync) > resyncs).await;
    eventually("nothing is pending", async || a.counter("holdfast_store_changes_pending") == 0).await;
}

/// Replicas that no longer copy, and one of which becomes the master without the last writes.
struct Rollback {
    sentinel: Sentinel,
}

impl Rollback {
    /// What is written from here on will be lost. The sentinels would put the replicas back in order after some ten seconds.
    fn detach(&self) {
        let master = self.sentinel.master().unwrap();
        eventually_synced(&self.sentinel, master);
        for (index, server) in self.sentinel.servers.iter().enumerate() {
            if index != master {
                server.command(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
            }
        }
    }

    fn fail_over(&mut self) {
        self.sentinel.kill_master().unwrap();
    }
}

/// The replicas have what the master has.
fn eventually_synced(sentinel: &Sentinel, master: usize) {
    let offset = |server: &Server| server.info("master_repl_offset").unwrap();
    holdfast_test_servers::until("the replicas have everything", MINUTE, || {
        let head = offset(&sentinel.servers[master]);
        sentinel.servers.iter().all(|server| offset(server) == head).then_some(())
    })
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_value_that_a_failover_brings_back_loses_against_the_next_write() {
    let mut scene = Rollback { sentinel: Sentinel::start().unwrap() };
    let config = behind(&scene.sentinel);
    let [a, b] = [0, 1].map(|_| Watched::open(&config, ring(&["one"])));
    let (heard, _feed) = Heard::listen(&b.store);
    heard.wait_for(Change::Resync).await;
    let (id, stream, first) = (session(), stream(), Owner::first(replica()));
    let heir = replica();
    assert_eq!(a.store.journal().swap(id, entry(4), MINUTE, until()).await, Ok(Swapped::Stored));
    assert_eq!(a.store.events().open(stream, first, bytes("meta"), MINUTE, until()).await, Ok(Opened::Yours));
    for number in 0..3 {
        assert_eq!(a.store.events().append(append(stream, first, number), until()).await, Ok(Appended::Done));
    }
    scene.detach();
    assert_eq!(a.store.journal().swap(id, entry(5), MINUTE, until()).await, Ok(Swapped::Stored));
    let claimed = Owner { replica: heir, epoch: Epoch(2) };
    assert_eq!(b.store.events().claim(stream, first, heir, until()).await, Ok(Claimed::Yours(claimed)));
    assert_eq!(b.store.events().append(append(stream, claimed, 3), until()).await, Ok(Appended::Done));
    let revoked = Change::Revoked { session: session(), expires: in_an_hour() };
    let Change::Revoked { session: ended, expires } = revoked else { unreachable!() };
    a.store.revocations().revoke(ended, expires, until()).await.unwrap();
    let touched = session();
    let touch = Touch { session: touched, idle: Duration::ZERO, due: MINUTE, ending: None };
    a.store.activity().touch(&[touch], until()).await.unwrap();

    scene.fail_over();
    for replica in [&a, &b] {
        let read = async || replica.store.journal().read(id, until()).await == Ok(Some(entry(4)));
        eventually("the older value is back", read).await;
    }
    assert_eq!(b.store.journal().swap(id, entry(3), MINUTE, until()).await, Ok(Swapped::Newer(entry(4))));
    assert_eq!(b.store.journal().swap(id, entry(6), MINUTE, until()).await, Ok(Swapped::Stored));
    assert_eq!(a.store.journal().swap(id, entry(5), MINUTE, until()).await, Ok(Swapped::Newer(entry(6))));

    // The store thinks that the first owner has the stream. Whoever claimed it goes on all the same, and fences the first off.
    assert_eq!(page(&a.store, stream).await.owner, first);
    assert_eq!(b.store.events().append(append(stream, claimed, 4), until()).await, Ok(Appended::Done));
    assert_eq!(
        a.store.events().append(append(stream, first, 3), until()).await,
        Ok(Appended::Fenced(claimed))
    );
    let page = page(&a.store, stream).await;
    assert_eq!(
        (page.first, sequences(&page)),
        (Sequence(4), vec![4]),
        "event 3 is lost, and the log says so"
    );

    let late = Watched::open(&config, ring(&["one"]));
    let (late_heard, _late_feed) = Heard::listen(&late.store);
    late_heard.wait_for(revoked).await;
    heard.wait_for(revoked).await;
}
