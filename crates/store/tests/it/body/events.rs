//! The contract of event logs.

use crate::world::{World, bytes, eventually, replica, sequences, stream, until};
use holdfast_store::{
    Append, Appended, Claimed, Epoch, Opened, Owner, Page, PageLimit, Sequence, Store, StoreErrorKind, Stream,
};
use std::time::Duration;

const KEEP: Duration = Duration::from_mins(1);
const ALL: PageLimit = PageLimit { events: 100, bytes: 100_000 };

async fn open(store: &Store, stream: Stream, owner: Owner) -> Opened {
    store.events().open(stream, owner, bytes("meta"), KEEP, until()).await.unwrap()
}

async fn append(store: &Store, stream: Stream, owner: Owner, follows: Option<u64>, number: u64) -> Appended {
    let event = bytes(&format!("event {number}"));
    append_bytes(store, stream, owner, (follows, number), event).await
}

async fn append_bytes(
    store: &Store,
    stream: Stream,
    owner: Owner,
    (follows, number): (Option<u64>, u64),
    event: bytes::Bytes,
) -> Appended {
    let (follows, sequence) = (follows.map(Sequence), Sequence(number));
    store.events().append(Append { stream, owner, sequence, follows, event }, until()).await.unwrap()
}

/// Appends the events of `numbers`, each behind the one before.
async fn fill(store: &Store, stream: Stream, owner: Owner, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let follows = number.checked_sub(1);
        assert_eq!(append(store, stream, owner, follows, number).await, Appended::Done, "{number}");
    }
}

async fn read(store: &Store, stream: Stream, from: u64) -> Page {
    store.events().read(stream, Sequence(from), ALL, until()).await.unwrap().unwrap()
}

fn numbers(page: &Page) -> Vec<Sequence> {
    page.events.iter().map(|(sequence, _)| *sequence).collect()
}

pub(crate) async fn a_log_is_read_in_pages_by_any_replica(world: &World) {
    let (stream, owner) = (stream(), Owner::first(replica()));
    assert_eq!(world.b.events().read(stream, Sequence(0), ALL, until()).await, Ok(None));
    assert_eq!(append(&world.a, stream, owner, None, 0).await, Appended::Unknown);
    assert_eq!(open(&world.a, stream, owner).await, Opened::Yours);
    let empty = read(&world.b, stream, 0).await;
    assert_eq!((empty.last, empty.first, empty.more), (None, Sequence(0), false));
    fill(&world.a, stream, owner, 0..6).await;
    assert_eq!(open(&world.a, stream, owner).await, Opened::Yours, "a quiet owner opens it again");

    let page = read(&world.b, stream, 0).await;
    assert_eq!((page.owner, page.meta.clone(), page.last), (owner, bytes("meta"), Some(Sequence(5))));
    assert_eq!(numbers(&page), sequences(0..6));
    assert_eq!(page.events[3].1, bytes("event 3"));
    let limit = PageLimit { events: 2, bytes: 100_000 };
    let part = world.b.events().read(stream, Sequence(2), limit, until()).await.unwrap().unwrap();
    assert_eq!((numbers(&part), part.more), (sequences([2, 3]), true));
    let limit = PageLimit { events: 100, bytes: 1 };
    let part = world.b.events().read(stream, Sequence(4), limit, until()).await.unwrap().unwrap();
    assert_eq!((numbers(&part), part.more), (sequences([4]), true), "one event however long");
    let part = world.b.events().read(stream, Sequence(5), limit, until()).await.unwrap().unwrap();
    assert_eq!((numbers(&part), part.more), (sequences([5]), false));
    let none = PageLimit { events: 0, bytes: 0 };
    let head = world.b.events().read(stream, Sequence(0), none, until()).await.unwrap().unwrap();
    assert_eq!((head.owner, head.last, head.events.len()), (owner, Some(Sequence(5)), 0));

    world.b.events().remove(stream, until()).await.unwrap();
    assert_eq!(world.a.events().read(stream, Sequence(0), ALL, until()).await, Ok(None));
}

pub(crate) async fn a_claim_fences_the_owner_off(world: &World) {
    let (stream, owner) = (stream(), Owner::first(replica()));
    let heirs = [replica(), replica()];
    assert_eq!(world.a.events().claim(stream, owner, heirs[0], until()).await, Ok(Claimed::Unknown));
    open(&world.a, stream, owner).await;
    fill(&world.a, stream, owner, 0..2).await;
    let (first, second) = tokio::join!(
        world.a.events().claim(stream, owner, heirs[0], until()),
        world.b.events().claim(stream, owner, heirs[1], until())
    );
    let new = match (first.unwrap(), second.unwrap()) {
        (Claimed::Yours(new), Claimed::Lost(told)) | (Claimed::Lost(told), Claimed::Yours(new)) => {
            assert_eq!(new, told);
            new
        }
        other => panic!("not exactly one claimed it: {other:?}"),
    };
    assert_eq!(new.epoch, Epoch(2));
    let again = world.b.events().claim(stream, owner, new.replica, until()).await;
    assert_eq!(again, Ok(Claimed::Yours(new)), "asked again");

    assert_eq!(append(&world.a, stream, owner, Some(1), 2).await, Appended::Fenced(new));
    assert_eq!(open(&world.a, stream, owner).await, Opened::Fenced(new));
    assert_eq!(append(&world.b, stream, new, Some(1), 2).await, Appended::Done);
    assert_eq!(numbers(&read(&world.a, stream, 0).await), sequences(0..3));
    assert_eq!(read(&world.a, stream, 0).await.owner, new);

    // A store that was rolled back knows the owner before: a later epoch is right all the same, and of equal ones who came first.
    let later = Owner { replica: replica(), epoch: Epoch(5) };
    assert_eq!(append(&world.a, stream, later, Some(2), 3).await, Appended::Done);
    assert_eq!(append(&world.b, stream, new, Some(2), 4).await, Appended::Fenced(later));
    let rival = Owner { replica: replica(), epoch: Epoch(5) };
    assert_eq!(append(&world.b, stream, rival, Some(3), 4).await, Appended::Fenced(later));
    assert_eq!(read(&world.b, stream, 0).await.owner, later);
    assert_eq!(open(&world.b, stream, Owner { epoch: Epoch(6), ..rival }).await, Opened::Yours);
    assert_eq!(numbers(&read(&world.b, stream, 0).await), sequences(0..4), "its events are kept");
}

pub(crate) async fn the_oldest_events_make_room(world: &World) {
    let (many, owner) = (stream(), Owner::first(replica()));
    open(&world.a, many, owner).await;
    let last = world.limits.stream_events as u64 + 4;
    fill(&world.a, many, owner, 0..last).await;
    let page = read(&world.b, many, 0).await;
    assert_eq!(page.first, Sequence(4));
    assert_eq!(numbers(&page), sequences(4..last));

    let big = stream();
    open(&world.a, big, owner).await;
    for number in 0..4 {
        let event = vec![number as u8; 400].into();
        let done = append_bytes(&world.a, big, owner, (u64::checked_sub(number, 1), number), event).await;
        assert_eq!(done, Appended::Done);
    }
    let page = read(&world.b, big, 0).await;
    assert_eq!((page.first, numbers(&page)), (Sequence(2), sequences([2, 3])), "800 of 1000 bytes");
    let longest = vec![9; world.limits.stream_bytes];
    append_bytes(&world.a, big, owner, (Some(3), 4), longest.clone().into()).await;
    let page = read(&world.b, big, 0).await;
    assert_eq!((page.first, page.events.clone()), (Sequence(4), vec![(Sequence(4), longest.into())]));
    let too_long = vec![9; world.limits.stream_bytes + 1].into();
    let append =
        Append { stream: big, owner, sequence: Sequence(5), follows: Some(Sequence(4)), event: too_long };
    let refused = world.a.events().append(append, until()).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::TooLarge);
}

pub(crate) async fn what_was_given_up_or_lost_is_not_read(world: &World) {
    let (stream, owner) = (stream(), Owner::first(replica()));
    open(&world.a, stream, owner).await;
    fill(&world.a, stream, owner, 0..3).await;
    assert_eq!(append(&world.a, stream, owner, Some(1), 2).await, Appended::Done, "asked again");
    assert_eq!(append(&world.a, stream, owner, Some(0), 1).await, Appended::Stale(Sequence(2)));
    let later = Owner { epoch: Epoch(2), ..owner };
    assert_eq!(
        append(&world.a, stream, later, Some(1), 2).await,
        Appended::Stale(Sequence(2)),
        "another wrote it"
    );
    // The appends of 1 and 2 were not acknowledged in time, so their events went out without ids.
    assert_eq!(append(&world.a, stream, owner, Some(0), 7).await, Appended::Done);
    let page = read(&world.b, stream, 0).await;
    assert_eq!((page.first, numbers(&page)), (Sequence(0), sequences([0, 7])));
    // 9 was acknowledged and is not there: a failover lost it, and whatever was logged with it.
    assert_eq!(append(&world.a, stream, owner, Some(9), 10).await, Appended::Done);
    let page = read(&world.b, stream, 0).await;
    assert_eq!((page.first, numbers(&page)), (Sequence(10), sequences([10])));
    assert_eq!(append(&world.a, stream, owner, None, 11).await, Appended::Done);
    assert_eq!(numbers(&read(&world.b, stream, 0).await), sequences([11]));
}

pub(crate) async fn a_stream_that_nobody_writes_is_forgotten(world: &World) {
    let (stream, owner) = (stream(), Owner::first(replica()));
    open(&world.a, stream, owner).await;
    fill(&world.a, stream, owner, 0..2).await;
    let keep = Duration::from_millis(300);
    let opened = world.a.events().open(stream, owner, bytes("meta"), keep, until()).await;
    assert_eq!(opened, Ok(Opened::Yours));
    assert_eq!(append(&world.a, stream, owner, Some(1), 2).await, Appended::Done);
    assert_eq!(numbers(&read(&world.b, stream, 1).await), sequences([1, 2]));
    let gone = async || world.b.events().read(stream, Sequence(0), ALL, until()).await.unwrap().is_none();
    eventually("a quiet stream is forgotten", gone).await;
    assert_eq!(append(&world.a, stream, owner, Some(2), 3).await, Appended::Unknown);
}
