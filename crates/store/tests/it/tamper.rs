//! Somebody who can write to the store changes what is in it. Nobody gets an error, nothing false is believed.

use crate::body::feed::{Heard, in_an_hour};
use crate::world::{Watched, bytes, epoch, eventually, redis, replica, ring, session, stream, until};
use holdfast_config::RedisMode;
use holdfast_store::{
    Append, Appended, Change, Due, Entry, Name, Opened, Owner, PageLimit, Sequence, SessionId, Store, Stream,
    Swapped, Touch,
};
use holdfast_test_servers::{Options, Server};
use redis::{Commands as _, Connection};
use std::time::Duration;

/// Id, and fields with their values.
type StreamEntry = (String, Vec<(String, Vec<u8>)>);

const MINUTE: Duration = Duration::from_mins(1);

struct Scene {
    _server: Server,
    raw: Connection,
    watched: Watched,
}

impl Scene {
    fn new() -> Self {
        let server = Server::start(&Options::new()).unwrap();
        let raw = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
        let watched = Watched::open(&redis(vec![server.address()], RedisMode::Single), ring(&["one"]));
        Self { _server: server, raw, watched }
    }

    fn store(&self) -> &Store {
        &self.watched.store
    }

    /// The one key that matches.
    fn key(&mut self, pattern: &str) -> String {
        let keys: Vec<String> = self.raw.keys(format!("holdfast:{pattern}")).unwrap();
        assert_eq!(keys.len(), 1, "{pattern}: {keys:?}");
        keys[0].clone()
    }

    fn bad_seals(&self, value: &str) -> u64 {
        self.watched.counter(&format!("holdfast_store_bad_seals_total{{value=\"{value}\"}}"))
    }
}

fn hex(session: SessionId) -> String {
    format!("{:032x}", u128::from_be_bytes(session.0))
}

fn flip_last(value: &mut [u8]) {
    *value.last_mut().unwrap() ^= 1;
}

async fn stored(store: &Store, session: SessionId, number: u64) {
    let entry = Entry { epoch: epoch(number), value: bytes("here") };
    assert_eq!(store.journal().swap(session, entry, MINUTE, until()).await, Ok(Swapped::Stored));
}

#[tokio::test]
async fn a_journal_entry_that_was_changed_is_none_and_is_replaced() {
    let mut scene = Scene::new();
    let id = session();
    stored(scene.store(), id, 7).await;
    let key = scene.key("journal:*");
    let good: Vec<u8> = scene.raw.get(&key).unwrap();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut value = good.clone();
        change(&mut value);
        value
    };
    let renumbered = |number: &str| [number.as_bytes(), &good[1..]].concat();
    let forged = [
        changed(&|value| flip_last(value)),
        changed(&|value| value.truncate(20)),
        changed(&Vec::clear),
        renumbered("8"),
        renumbered("99999999999999999999999"),
        renumbered("x"),
    ];
    for value in &forged {
        let _: () = scene.raw.set(&key, value).unwrap();
        let bad = scene.bad_seals("journal");
        assert_eq!(scene.store().journal().read(id, until()).await, Ok(None));
        assert_eq!(scene.bad_seals("journal"), bad + 1);
        // Whatever epoch the forged one claims: what does not open is none.
        stored(scene.store(), id, 3).await;
    }
    let other = session();
    let _: () = scene.raw.set(key.replace(&hex(id), &hex(other)), &good).unwrap();
    assert_eq!(
        scene.store().journal().read(other, until()).await,
        Ok(None),
        "it opens under its own key only"
    );
    let _: () = scene.raw.set(&key, &good).unwrap();
    let entry = scene.store().journal().read(id, until()).await.unwrap().unwrap();
    assert_eq!(
        entry,
        Entry { epoch: epoch(7), value: bytes("here") },
        "the old value, whole, is the old value"
    );
}

async fn open_stream(store: &Store, stream: Stream, owner: Owner) {
    let opened = store.events().open(stream, owner, bytes("meta"), MINUTE, until()).await;
    assert_eq!(opened, Ok(Opened::Yours));
    for number in 0..3 {
        let follows = u64::checked_sub(number, 1).map(Sequence);
        let event = bytes(&number.to_string());
        let append = Append { stream, owner, sequence: Sequence(number), follows, event };
        assert_eq!(store.events().append(append, until()).await, Ok(Appended::Done));
    }
}

#[tokio::test]
async fn events_that_were_changed_or_moved_are_left_out() {
    let mut scene = Scene::new();
    let (stream, owner) = (stream(), Owner::first(replica()));
    open_stream(scene.store(), stream, owner).await;
    let key = scene.key("events:*");
    let (_, second): (String, Vec<u8>) = {
        let entries: Vec<StreamEntry> =
            redis::cmd("XRANGE").arg(&key).arg("1-1").arg("1-1").query(&mut scene.raw).unwrap();
        entries.into_iter().next().map(|(id, fields)| (id, fields[0].1.clone())).unwrap()
    };
    // The second event once more, under another number; and a third that somebody changed.
    let _: () = redis::cmd("XADD").arg(&key).arg("5-1").arg("v").arg(&second).query(&mut scene.raw).unwrap();
    let mut changed = second.clone();
    flip_last(&mut changed);
    let _: () = redis::cmd("XADD").arg(&key).arg("6-1").arg("v").arg(&changed).query(&mut scene.raw).unwrap();
    let _: () = redis::cmd("XADD").arg(&key).arg("7-9").arg("v").arg(&changed).query(&mut scene.raw).unwrap();
    let limit = PageLimit { events: 100, bytes: 100_000 };
    let page = scene.store().events().read(stream, Sequence(0), limit, until()).await.unwrap().unwrap();
    let read: Vec<_> = page.events.iter().map(|(sequence, event)| (sequence.0, event.clone())).collect();
    assert_eq!(read, [(0, bytes("0")), (1, bytes("1")), (2, bytes("2"))]);
    assert_eq!(scene.bad_seals("event"), 3);
}

#[tokio::test]
async fn a_forged_owner_is_none_and_the_stream_is_opened_anew() {
    let mut scene = Scene::new();
    let limit = PageLimit { events: 100, bytes: 100_000 };
    for (field, forged) in [("r", "00000000000000ff"), ("e", "9"), ("e", "none"), ("o", "x"), ("m", "x")] {
        let (stream, owner) = (stream(), Owner::first(replica()));
        let _: () = redis::cmd("FLUSHALL").query(&mut scene.raw).unwrap();
        open_stream(scene.store(), stream, owner).await;
        let key = scene.key("stream:*");
        let _: () = scene.raw.hset(&key, field, forged).unwrap();
        let bad = scene.bad_seals("stream");
        let page = scene.store().events().read(stream, Sequence(0), limit, until()).await;
        assert_eq!(page, Ok(None), "{field}");
        assert_eq!(scene.bad_seals("stream"), bad + 1);
        let event = bytes("3");
        let append = Append { stream, owner, sequence: Sequence(3), follows: Some(Sequence(2)), event };
        let appended = scene.store().events().append(append.clone(), until()).await.unwrap();
        // As far as the owner can tell by the numbers in clear, the stream is its own or unknown; never somebody else's.
        assert!(matches!(appended, Appended::Done | Appended::Unknown), "{field}: {appended:?}");
        let opened = scene.store().events().open(stream, owner, bytes("meta"), MINUTE, until()).await;
        assert_eq!(opened, Ok(Opened::Yours), "{field}");
        let append = Append { sequence: Sequence(4), ..append };
        assert_eq!(scene.store().events().append(append, until()).await, Ok(Appended::Done), "{field}");
        let page = scene.store().events().read(stream, Sequence(0), limit, until()).await.unwrap().unwrap();
        assert_eq!((page.owner, page.events.last().unwrap().0), (owner, Sequence(4)), "{field}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_changes_are_not_heard() {
    let mut scene = Scene::new();
    let (heard, _feed) = Heard::listen(scene.store());
    heard.wait_for(Change::Resync).await;
    let (victim, ended) = (session(), session());
    let forged = [victim.0.as_slice(), &in_an_hour().to_be_bytes()].concat();
    let add = |raw: &mut Connection, key: &str, value: &[u8]| {
        let _: () = redis::cmd("XADD").arg(key).arg("*").arg("v").arg(value).query(raw).unwrap();
    };
    add(&mut scene.raw, "holdfast:revoked:{changes}", &forged);
    stored(scene.store(), victim, 1).await;
    heard.wait_for(Change::Rebound { session: victim, epoch: epoch(1) }).await;
    // A re-binding, sealed by the gateway itself, copied to where revocations stand.
    let entries: Vec<StreamEntry> = redis::cmd("XRANGE")
        .arg("holdfast:rebound:{changes}")
        .arg("-")
        .arg("+")
        .query(&mut scene.raw)
        .unwrap();
    add(&mut scene.raw, "holdfast:revoked:{changes}", &entries[0].1[0].1);
    let real = Change::Revoked { session: ended, expires: in_an_hour() };
    let Change::Revoked { expires, .. } = real else { unreachable!() };
    scene.store().revocations().revoke(ended, expires, until()).await.unwrap();
    heard.wait_for(real).await;
    let revoked = |change: &Change| matches!(change, Change::Revoked { session, .. } if *session == victim);
    assert!(!heard.list().iter().any(revoked));
    assert!(scene.bad_seals("change") >= 2);
}

#[tokio::test]
async fn other_values_that_were_changed_are_absent() {
    let mut scene = Scene::new();
    let name = Name([3; 16]);
    scene.store().cache().put(name, bytes("value"), MINUTE, until()).await.unwrap();
    let key = scene.key("cached:*");
    let mut value: Vec<u8> = scene.raw.get(&key).unwrap();
    flip_last(&mut value);
    let _: () = scene.raw.set(&key, value).unwrap();
    assert_eq!(scene.store().cache().get(name, until()).await, Ok(None));

    let (honest, forged) = (replica(), replica());
    scene.store().registry().announce(honest, bytes("record"), MINUTE, until()).await.unwrap();
    let record: Vec<u8> = scene.raw.hget("holdfast:peers", honest.to_string()).unwrap();
    let _: () = scene.raw.hset("holdfast:peers", forged.to_string(), record).unwrap();
    let _: () = scene.raw.hset("holdfast:peers", "nobody", "x").unwrap();
    assert_eq!(scene.store().registry().list(until()).await, Ok(vec![(honest, bytes("record"))]));

    let id = session();
    let touch =
        Touch { session: id, idle: Duration::ZERO, due: Duration::ZERO, ending: Some(bytes("ending")) };
    scene.store().activity().touch(&[touch], until()).await.unwrap();
    let uses = scene.key("uses:*");
    let mut value: Vec<u8> = scene.raw.hget(&uses, &id.0).unwrap();
    flip_last(&mut value);
    let _: () = scene.raw.hset(&uses, &id.0, value).unwrap();
    let mut ended = Vec::new();
    eventually("its end", async || {
        ended.extend(scene.store().activity().due(16, until()).await.unwrap());
        !ended.is_empty()
    })
    .await;
    assert_eq!(ended, [Due { session: id, ending: None }]);
    let bad = ["cached", "peer", "ending"].map(|value| scene.bad_seals(value));
    assert_eq!(bad, [1, 1, 1]);
}
