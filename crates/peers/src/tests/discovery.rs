//! Replicas that come, go, and come back.

use super::{Names, PORT, PSK, Replica, address, eventually, fixed, ha, met, piece, text};
use crate::{PeerError, PeerState};
use holdfast_telemetry::metrics::{PeerDial, ProbeResult};
use std::net::IpAddr;

const NAME: &str = "method: dns, name: gateways.internal";

fn start(at: IpAddr, names: &Names) -> Replica {
    Replica::with_names(&ha(at, NAME, PSK), names)
}

#[tokio::test]
async fn replicas_of_a_name_find_each_other_and_themselves() {
    let (names, addresses) = (Names::default(), [address(), address(), address()]);
    names.set("gateways.internal", &addresses[..2]);
    let mut all: Vec<Replica> = addresses[..2].iter().map(|at| start(*at, &names)).collect();
    met(&all).await;
    assert!(all[0].states().contains(&PeerState::Own));
    // A third one starts and appears in the name.
    all.push(start(addresses[2], &names));
    names.set("gateways.internal", &addresses);
    met(&all).await;
    assert_eq!(text(all[0].ask(&all[2], "echo").await.unwrap()).await.unwrap(), "question");
}

#[tokio::test]
async fn a_name_that_loses_an_address_ends_no_stream() {
    let (names, addresses) = (Names::default(), [address(), address()]);
    names.set("gateways.internal", &addresses);
    let all: Vec<Replica> = addresses.iter().map(|at| start(*at, &names)).collect();
    met(&all).await;
    let [a, b] = &all[..] else { panic!() };
    let mut body = a.ask(b, "stream").await.unwrap().into_body();
    names.set("gateways.internal", &addresses[..1]);
    let seen = a.metrics.resolutions.get(ProbeResult::Ok).get() + 3;
    eventually("the new answer is seen", || a.metrics.resolutions.get(ProbeResult::Ok).get() >= seen).await;
    for _ in 0..100 {
        piece(&mut body).await.unwrap().unwrap();
    }
    assert!(a.peers.lives(b.id));
    // Once its connection is lost, nobody looks for it any more.
    b.peers.stop();
    eventually("it is forgotten", || a.states().len() == 1).await;
    assert!(!a.peers.lives(b.id));
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_keeps_its_last_good_answer() {
    let (names, addresses) = (Names::default(), [address(), address()]);
    names.set("gateways.internal", &addresses);
    let a = start(addresses[0], &names);
    eventually("an answer is there", || a.metrics.resolutions.get(ProbeResult::Ok).get() >= 1).await;
    names.set("gateways.internal", &[]);
    let failed = || a.metrics.resolutions.get(ProbeResult::Failed).get();
    eventually("it fails", || failed() >= 2).await;
    // Found by an answer that is long gone.
    let b = Replica::start(&ha(addresses[1], &fixed(&addresses), PSK));
    met(&[a, b]).await;
}

#[tokio::test]
async fn a_replica_that_starts_again_is_another_one() {
    let [at, other] = [address(), address()];
    let a = Replica::start(&ha(at, &fixed(&[at, other]), PSK));
    let first = Replica::start(&ha(other, &fixed(&[at, other]), PSK));
    eventually("they meet", || a.peers.lives(first.id)).await;
    first.peers.stop();
    let gone = first.id;
    drop(first);
    let mut second = None;
    eventually("its port is free", || {
        second = Replica::try_start(&ha(other, &fixed(&[at, other]), PSK)).ok();
        second.is_some()
    })
    .await;
    let second = second.unwrap();
    eventually("the new one is found", || a.peers.lives(second.id)).await;
    let question = second.question("echo");
    let error = a.peers.ask(gone, question).await.unwrap_err();
    assert_eq!(error, PeerError::Dead { replica: gone, sent: false });
    assert!(a.ask(&second, "echo").await.is_ok());
}

#[tokio::test]
async fn one_replica_under_two_addresses_is_asked_and_told_once() {
    let (names, [at, other]) = (Names::default(), [address(), address()]);
    names.set("one", &[other]);
    // 127.0.0.0/8 is one host: a listener on all addresses has many.
    let discovery = format!("method: static, peers: [one, '{other}:{PORT}', {at}]");
    let a = Replica::with_names(&ha(at, &discovery, PSK), &names);
    let b = Replica::start(&ha(other, &fixed(&[at]), PSK));
    eventually("they meet", || a.peers.lives(b.id)).await;
    a.peers.tell(&bytes::Bytes::from_static(b"once"));
    eventually("it arrives", || !b.owner.told.lock().is_empty()).await;
    assert!(a.ask(&b, "echo").await.is_ok());
    assert_eq!((b.owner.told.lock().len(), a.metrics.replicas.get()), (1, 1));
    assert_eq!(a.peers.view().len(), 2, "two addresses, not three");
}

#[tokio::test]
async fn nobody_there_is_no_reason_to_hurry() {
    let [at, other] = [address(), address()];
    let a = Replica::start(&ha(at, &fixed(&[other]), PSK));
    let dials = || a.metrics.dials.get(PeerDial::Connect).get();
    eventually("it tries", || dials() >= 3).await;
    let view = a.peers.view().pop().unwrap();
    assert!(view.last_error.unwrap().contains("cannot connect"));
    let b = Replica::start(&ha(other, &fixed(&[at]), PSK));
    eventually("they meet", || a.peers.lives(b.id)).await;
    assert!(dials() < 200, "{}", dials());
}
