//! The journal's contract.

use crate::world::{World, bytes, epoch, session, until};
use holdfast_store::{ENTRY_BYTES_MAX, Entry, NUMBER_MAX, StoreErrorKind, Swapped};
use std::{collections::HashMap, time::Duration};

const TTL: Duration = Duration::from_mins(1);
/// Sessions raced for, and epochs of each.
const SESSIONS: usize = 200;
const EPOCHS: u64 = 10;

fn entry(number: u64, value: &str) -> Entry {
    Entry { epoch: epoch(number), value: bytes(value) }
}

pub(crate) async fn the_highest_epoch_stays_and_the_first_of_equal_ones(world: &World) {
    let id = session();
    let (a, b) = (world.a.journal(), world.b.journal());
    assert_eq!(a.read(id, until()).await, Ok(None));
    assert_eq!(a.swap(id, entry(3, "three"), TTL, until()).await, Ok(Swapped::Stored));
    assert_eq!(b.read(id, until()).await, Ok(Some(entry(3, "three"))));
    assert_eq!(b.swap(id, entry(2, "two"), TTL, until()).await, Ok(Swapped::Newer(entry(3, "three"))));
    assert_eq!(b.swap(id, entry(3, "other"), TTL, until()).await, Ok(Swapped::Newer(entry(3, "three"))));
    assert_eq!(a.swap(id, entry(3, "three"), TTL, until()).await, Ok(Swapped::Stored), "asked again");
    assert_eq!(b.swap(id, entry(10, ""), TTL, until()).await, Ok(Swapped::Stored), "ten is more than three");
    assert_eq!(a.read(id, until()).await, Ok(Some(entry(10, ""))));
    a.forget(id, until()).await.unwrap();
    assert_eq!(b.read(id, until()).await, Ok(None));

    let short = session();
    a.swap(short, entry(1, "short"), Duration::from_millis(150), until()).await.unwrap();
    crate::world::eventually("an entry ends with its session", async || {
        b.read(short, until()).await.unwrap().is_none()
    })
    .await;
}

pub(crate) async fn exactly_one_of_two_replicas_wins_each_epoch(world: &World) {
    let sessions: Vec<_> = (0..SESSIONS).map(|_| session()).collect();
    for number in 1..=EPOCHS {
        let race = |store: holdfast_store::Store, name: &'static str| {
            let mut order = sessions.clone();
            fastrand::shuffle(&mut order);
            async move {
                let mut answers = HashMap::new();
                for session in order {
                    let own = entry(number, &format!("{name} {number}"));
                    let swapped = store.journal().swap(session, own.clone(), TTL, until()).await.unwrap();
                    answers.insert(session, if swapped == Swapped::Stored { None } else { Some(swapped) });
                }
                answers
            }
        };
        let (a, b) =
            tokio::join!(tokio::spawn(race(world.a.clone(), "a")), tokio::spawn(race(world.b.clone(), "b")));
        let (a, b) = (a.unwrap(), b.unwrap());
        for session in &sessions {
            let kept = world.a.journal().read(*session, until()).await.unwrap().unwrap();
            let expected = match (&a[session], &b[session]) {
                (None, Some(Swapped::Newer(told))) => (entry(number, &format!("a {number}")), told),
                (Some(Swapped::Newer(told)), None) => (entry(number, &format!("b {number}")), told),
                other => panic!("not exactly one won: {other:?}"),
            };
            assert_eq!((&kept, expected.1), (&expected.0, &expected.0));
        }
    }
}

pub(crate) async fn limits_are_typed_errors(world: &World) {
    let journal = world.a.journal();
    let long = Entry { epoch: epoch(1), value: vec![0; ENTRY_BYTES_MAX + 1].into() };
    let refused = journal.swap(session(), long, TTL, until()).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::TooLarge);
    let refused = journal.swap(session(), entry(NUMBER_MAX + 1, ""), TTL, until()).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::TooLarge);
    let longest = Entry { epoch: epoch(NUMBER_MAX), value: vec![7; ENTRY_BYTES_MAX].into() };
    let id = session();
    assert_eq!(journal.swap(id, longest.clone(), TTL, until()).await, Ok(Swapped::Stored));
    assert_eq!(journal.read(id, until()).await, Ok(Some(longest)));
}
