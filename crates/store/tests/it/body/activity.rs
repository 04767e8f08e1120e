//! The contract of last use and end of sessions.

use crate::world::{SESSION_TTL, World, bytes, eventually, session, until};
use holdfast_store::{Due, LastUsed, SessionId, Store, Touch};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

const FAR: Duration = Duration::from_mins(10);

fn touch(session: SessionId, idle: Duration, due: Duration, ending: Option<&str>) -> Touch {
    Touch { session, idle, due, ending: ending.map(bytes) }
}

async fn last_used(store: &Store, session: SessionId) -> LastUsed {
    store.activity().last_used(session, until()).await.unwrap()
}

fn about(answer: LastUsed, seconds: u64) -> bool {
    matches!(answer, LastUsed::Ago(ago) if ago.as_secs_f64() - seconds as f64 >= -0.1 && ago.as_secs_f64() - (seconds as f64) < 2.0)
}

pub(crate) async fn a_later_use_moves_the_end_and_an_earlier_one_does_not(world: &World) {
    let id = session();
    let (a, b) = (world.a.activity(), world.b.activity());
    a.touch(&[touch(id, Duration::from_secs(50), Duration::from_millis(10), Some("first"))], until())
        .await
        .unwrap();
    assert!(about(last_used(&world.b, id).await, 50));
    b.touch(&[touch(id, Duration::from_secs(20), Duration::from_millis(200), None)], until()).await.unwrap();
    a.touch(&[touch(id, Duration::from_secs(40), FAR, None)], until()).await.unwrap();
    assert!(about(last_used(&world.a, id).await, 20), "the earlier use changes nothing");
    let mut ended = Vec::new();
    eventually("its end", async || {
        ended.extend(b.due(100, until()).await.unwrap().into_iter().filter(|due| due.session == id));
        !ended.is_empty()
    })
    .await;
    assert_eq!(ended, [Due { session: id, ending: Some(bytes("first")) }]);
    assert!(!about(last_used(&world.a, id).await, 20), "forgotten");

    let deleted = session();
    a.touch(&[touch(deleted, Duration::ZERO, Duration::ZERO, Some("x"))], until()).await.unwrap();
    b.end(deleted, until()).await.unwrap();
    assert!(b.due(100, until()).await.unwrap().iter().all(|due| due.session != deleted));
}

pub(crate) async fn each_end_is_given_to_one_replica(world: &World) {
    let touches: Vec<_> = (0..500)
        .map(|number| touch(session(), Duration::ZERO, Duration::ZERO, Some(&number.to_string())))
        .collect();
    world.a.activity().touch(&touches, until()).await.unwrap();
    let claim = |store: Store| async move {
        let mut taken = Vec::new();
        loop {
            let part = store.activity().due(37, until()).await.unwrap();
            assert!(part.len() <= 37);
            if part.is_empty() {
                return taken;
            }
            taken.extend(part);
        }
    };
    let claims = [&world.a, &world.b, &world.a, &world.b].map(|store| tokio::spawn(claim(store.clone())));
    let mut taken = HashMap::new();
    for claim in claims {
        for due in claim.await.unwrap() {
            assert!(taken.insert(due.session, due.ending).is_none(), "given twice");
        }
    }
    for touch in touches {
        assert_eq!(taken.get(&touch.session), Some(&touch.ending));
    }
}

pub(crate) async fn an_unknown_session_is_idle_only_when_the_store_is_old_enough(world: &World) {
    let (known, unknown) = (session(), session());
    let asked = Instant::now();
    world.a.activity().touch(&[touch(known, Duration::ZERO, FAR, None)], until()).await.unwrap();
    let old_enough = async || last_used(&world.b, unknown).await == LastUsed::Idle;
    eventually("absence becomes evidence", old_enough).await;
    assert!(asked.elapsed() < SESSION_TTL + Duration::from_secs(10));
    assert!(matches!(last_used(&world.b, known).await, LastUsed::Ago(_)));
}
