//! Questions between replicas that know each other.

use super::{ME, PORT, PSK, Replica, eventually, piece, replicas, ring, stub::PIECE, text};
use crate::{Handle, PeerError, PeerLimit, PeerState, Refusal, ReplicaId};
use bytes::Bytes;
use futures_util::future::join_all;
use holdfast_telemetry::metrics::{PeerAnswer, PeerAsk, PeerDeath};
use http::StatusCode;
use http_body_util::BodyExt as _;
use std::{
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

#[tokio::test]
async fn the_owner_gets_the_question_and_the_asker_its_answer() {
    let all = replicas(3, PSK).await;
    let [a, b, _] = &all[..] else { panic!() };
    let mut body = a.ask(b, "echo").await.unwrap().into_body();
    while piece(&mut body).await.is_some() {}
    assert_eq!(a.metrics.asks_in_flight.get(), 0, "its place is free at its end, not when it is dropped");
    drop(body);
    assert_eq!(text(a.ask(b, "echo").await.unwrap()).await.unwrap(), "question");
    let asked = b.owner.asked.lock().pop().unwrap();
    assert_eq!((asked.from, &*asked.what, asked.principal), (a.id, "echo", ME));
    assert_eq!(asked.handle, Handle::new(b.id, "test", b"thing"));
    assert!(asked.until > Instant::now() && asked.until <= Instant::now() + Duration::from_secs(20));
    assert_eq!(a.ask(b, "nothing").await.unwrap().status(), StatusCode::NO_CONTENT);
    let views = a.peers.view();
    let view = views.iter().find(|view| view.address == (b.address, PORT).into()).unwrap();
    assert_eq!((view.replica, &*view.name, view.generation), (Some(b.id), &*format!("at-{}", b.address), 7));
    assert_eq!(
        (view.region.as_deref(), view.zone.as_deref(), &*view.version),
        (Some("r"), Some("z"), "1.2.3")
    );
    eventually("pings are measured", || a.peers.view().iter().any(|view| view.round_trip.is_some())).await;
    assert_eq!(views.iter().filter(|view| view.state == PeerState::Own).count(), 1, "it knows itself");
    assert_eq!((a.metrics.replicas.get(), a.metrics.asks.get(PeerAsk::Ok).get()), (2, 3));
}

#[tokio::test]
async fn an_owner_cannot_speak_for_the_channel() {
    let all = replicas(2, PSK).await;
    let response = all[0].ask(&all[1], "odd").await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(
        response.headers().contains_key("x-mine") && !response.headers().contains_key("holdfast-refused")
    );
    assert_eq!(text(response).await.unwrap(), "odd");
}

#[tokio::test]
async fn a_handle_opens_for_its_principal_and_its_replica_alone() {
    let all = replicas(3, PSK).await;
    let [a, b, c] = &all[..] else { panic!() };
    let now = crate::shared::unix_now();
    let of = |replica: ReplicaId, principal: &[u8; 32], expires| {
        Handle::new(replica, "test", b"").seal(&ring(), principal, expires).unwrap()
    };
    let good = of(b.id, &ME, now + 60);
    let mut forged = good.clone().into_bytes();
    let last = forged.len() - 3;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    let cases = [
        (forged, Refusal::Handle, "forged"),
        ("nonsense".to_owned(), Refusal::Handle, "nonsense"),
        (of(b.id, &[6; 32], now + 60), Refusal::Handle, "of another principal"),
        (of(b.id, &ME, now - 61), Refusal::Handle, "expired"),
        (of(c.id, &ME, now + 60), Refusal::NotOwner, "of another replica"),
        ("x".repeat(3000), Refusal::Handle, "too long"),
    ];
    for (handle, refusal, what) in cases {
        let mut question = b.question("echo");
        question.handle = handle;
        let error = a.peers.ask(b.id, question).await.unwrap_err();
        assert_eq!(error, PeerError::Refused(refusal), "{what}");
        assert!(!error.sent());
    }
    assert!(b.owner.asked.lock().is_empty(), "no owner saw any of them");
    // A clock that is 60 s ahead sealed it for a time that is over here: still good.
    let mut question = b.question("echo");
    question.handle = of(b.id, &ME, now - 55);
    assert!(a.peers.ask(b.id, question).await.is_ok());
}

#[tokio::test]
async fn what_is_asked_in_vain_is_told_apart() {
    let all = replicas(2, PSK).await;
    let [a, b] = &all[..] else { panic!() };
    let ask = |to: ReplicaId| a.peers.ask(to, b.question("echo"));
    assert_eq!(ask(ReplicaId(1)).await.unwrap_err(), PeerError::Unknown(ReplicaId(1)));
    assert_eq!(ask(a.id).await.unwrap_err(), PeerError::Looped, "itself");
    let mut late = b.question("echo");
    late.until = Instant::now();
    assert_eq!(a.peers.ask(b.id, late).await.unwrap_err(), PeerError::Timeout(b.id));
    let mut large = b.question("echo");
    large.body = Bytes::from(vec![0; (4 << 20) + 1]);
    assert_eq!(a.peers.ask(b.id, large).await.unwrap_err(), PeerError::Refused(Refusal::TooLarge));
    b.peers.stop();
    eventually("its death is seen", || !a.peers.lives(b.id)).await;
    assert_eq!(ask(b.id).await.unwrap_err(), PeerError::Dead { replica: b.id, sent: false });
    assert_eq!(a.metrics.deaths.get(PeerDeath::Lost).get(), 1);
}

#[tokio::test]
async fn an_asked_replica_does_not_ask() {
    let all = replicas(2, PSK).await;
    let response = all[0].ask(&all[1], "again").await.unwrap();
    assert_eq!(text(response).await.unwrap(), PeerError::Looped.to_string());
    assert_eq!(all[0].owner.asked.lock().len(), 0);
}

#[tokio::test]
async fn an_owner_that_hangs_is_given_up_in_time_and_told_so() {
    let all = replicas(2, PSK).await;
    let [a, b] = &all[..] else { panic!() };
    let mut question = b.question("hang");
    question.until = Instant::now() + Duration::from_millis(300);
    let began = Instant::now();
    assert_eq!(a.peers.ask(b.id, question).await.unwrap_err(), PeerError::Timeout(b.id));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    eventually("the owner's work ends", || b.owner.busy() == 0).await;
    eventually("all is given back", || {
        a.metrics.asks_in_flight.get() == 0 && b.metrics.answers_in_flight.get() == 0
    })
    .await;
}

#[tokio::test]
async fn an_asker_that_goes_away_ends_the_owners_work() {
    let all = replicas(2, PSK).await;
    let [a, b] = &all[..] else { panic!() };
    let asking = a.ask(b, "hang");
    tokio::select! {
        _ = asking => panic!("it hangs"),
        () = eventually("the owner works", || b.owner.busy() == 1) => {}
    }
    eventually("before the head", || b.owner.busy() == 0).await;
    eventually("it is counted", || b.metrics.answers.get(PeerAnswer::Cancelled).get() == 1).await;
    let mut body = a.ask(b, "stream").await.unwrap().into_body();
    piece(&mut body).await.unwrap().unwrap();
    assert_eq!((b.owner.busy(), a.metrics.asks_in_flight.get()), (1, 1));
    drop(body);
    eventually("in the middle of the body", || b.owner.busy() == 0).await;
    assert_eq!(a.metrics.torn.get(), 0, "nothing was torn: nobody wanted more");
    eventually("all is given back", || b.metrics.answers_in_flight.get() == 0).await;
}

#[tokio::test]
async fn a_reader_that_stands_still_stops_its_owner_and_nobody_else() {
    let all = replicas(2, &format!("{PSK}, max_asks_per_peer: 20")).await;
    let [a, b] = &all[..] else { panic!() };
    let mut still = Vec::new();
    for _ in 0..19 {
        let mut body = a.ask(b, "stream").await.unwrap().into_body();
        piece(&mut body).await.unwrap().unwrap();
        still.push(body);
    }
    let mut before = 0;
    eventually("every stream is full", || {
        let now = b.owner.pieces();
        let full = now == before && now > 0;
        before = now;
        full
    })
    .await;
    // The window, what HTTP/2 holds ready to send, and what is on its way, per stream.
    assert!(before * PIECE <= 19 * 4 * 64 * 1024, "{before} pieces were made for nobody");
    for _ in 0..20 {
        assert_eq!(text(a.ask(b, "echo").await.unwrap()).await.unwrap(), "question");
    }
    assert!(a.peers.lives(b.id) && b.owner.busy() == 19);
}

#[tokio::test]
async fn a_body_that_breaks_off_never_ends_cleanly() {
    let all = replicas(2, PSK).await;
    let [a, b] = &all[..] else { panic!() };
    let mut body = a.ask(b, "tear").await.unwrap().into_body();
    piece(&mut body).await.unwrap().unwrap();
    b.owner.go.add_permits(1);
    let error = body.collect().await.unwrap_err();
    assert_eq!(error.to_string(), "the answer of another replica broke off");
    assert_eq!(a.metrics.torn.get(), 1);
    // At once: whether the head was on its way already is chance, a clean end is not possible.
    match a.ask(b, "broken").await {
        Ok(response) => drop(text(response).await.unwrap_err()),
        Err(error) => assert_eq!(error, PeerError::Torn(b.id)),
    }
    assert!(a.peers.lives(b.id));
    let mut body = a.ask(b, "stream").await.unwrap().into_body();
    for _ in 0..10 {
        piece(&mut body).await.unwrap().unwrap();
    }
    b.peers.stop();
    let end = loop {
        match piece(&mut body).await {
            Some(Ok(_)) => {}
            Some(Err(torn)) => break Some(torn),
            None => break None,
        }
    };
    assert!(end.is_some(), "the owner died: an error, not an end");
    assert!(piece(&mut body).await.is_none(), "once");
    eventually("it is dead", || !a.peers.lives(b.id)).await;
}

#[tokio::test]
async fn a_thousand_questions_at_once_stay_within_the_limits_of_both_sides() {
    let channel = format!("{PSK}, max_asks: 64, max_asks_per_peer: 40");
    let all = replicas(3, &channel).await;
    let [a, b, c] = &all[..] else { panic!() };
    let asks = (0..1000).map(|n| async move {
        let to = if n % 2 == 0 { b } else { c };
        match a.ask(to, "wait").await {
            Ok(response) => Ok(text(response).await.unwrap()),
            Err(error) => Err(error),
        }
    });
    let release = async {
        eventually("the limit is reached", || b.owner.busy() + c.owner.busy() == 64).await;
        b.owner.go.add_permits(1000);
        c.owner.go.add_permits(1000);
    };
    let (answers, ()) = tokio::join!(join_all(asks), release);
    let good = answers.iter().filter(|answer| matches!(answer, Ok(text) if text == "question")).count();
    let refused =
        |limit| answers.iter().filter(|answer| **answer == Err(PeerError::Overloaded(limit))).count();
    let (per_peer, in_all) = (refused(PeerLimit::AsksPerPeer), refused(PeerLimit::Asks));
    assert_eq!(good, 64, "as many as there were places");
    assert_eq!(good + per_peer + in_all, 1000, "each has an answer or a typed refusal");
    assert!(b.owner.busiest.load(SeqCst) <= 40 && c.owner.busiest.load(SeqCst) <= 40);
    assert_eq!(a.metrics.asks.get(PeerAsk::Overloaded).get(), 936);
    assert_eq!(a.metrics.asks_in_flight.get(), 0);
    assert_eq!(
        text(a.ask(b, "echo").await.unwrap()).await.unwrap(),
        "question",
        "and the places are free again"
    );
}

#[tokio::test]
async fn an_owner_with_a_lower_limit_is_not_asked_more() {
    let [at, other] = [super::address(), super::address()];
    let a = Replica::start(&super::ha(at, &super::fixed(&[other]), PSK));
    let b = Replica::start(&super::ha(other, &super::fixed(&[at]), &format!("{PSK}, max_asks_per_peer: 2")));
    eventually("they meet", || a.peers.lives(b.id)).await;
    let _held = [a.ask(&b, "stream").await.unwrap(), a.ask(&b, "stream").await.unwrap()];
    assert_eq!(a.ask(&b, "echo").await.unwrap_err(), PeerError::Overloaded(PeerLimit::AsksPerPeer));
    assert_eq!(b.owner.asked.lock().len(), 2);
}
