//! Notes to all.

use super::{PSK, Replica, address, eventually, fixed, ha, replicas};
use bytes::Bytes;
use holdfast_telemetry::metrics::PeerNote;

#[tokio::test]
async fn a_note_reaches_every_living_replica_in_order_and_once() {
    let all = replicas(3, PSK).await;
    let notes: Vec<Bytes> = (0..500).map(|n| Bytes::from(format!("note {n}"))).collect();
    for note in &notes {
        all[0].peers.tell(note);
    }
    for other in &all[1..] {
        eventually("all arrive", || other.owner.told.lock().len() >= notes.len()).await;
        let told = other.owner.told.lock();
        assert!(told.iter().all(|(from, _)| *from == all[0].id));
        assert_eq!(told.iter().map(|(_, note)| note.clone()).collect::<Vec<_>>(), notes);
    }
    assert!(all[0].owner.told.lock().is_empty(), "not to itself");
    eventually("they are counted", || all[0].metrics.notes.get(PeerNote::Sent).get() == 1000).await;
    assert_eq!(all[1].metrics.notes.get(PeerNote::Received).get(), 500);
}

#[tokio::test]
async fn what_a_queue_cannot_hold_is_dropped_and_counted() {
    let all = replicas(2, &format!("{PSK}, max_notes: 5, max_note_bytes: 64")).await;
    let [a, b] = &all[..] else { panic!() };
    a.peers.tell(&Bytes::from(vec![0; 65]));
    assert_eq!(a.metrics.notes.get(PeerNote::TooLong).get(), 1);
    // No await: nothing is taken from the queue meanwhile.
    (0..20).for_each(|_| a.peers.tell(&Bytes::from_static(b"x")));
    assert_eq!(a.metrics.notes.get(PeerNote::QueueFull).get(), 15);
    eventually("the rest arrives", || b.owner.told.lock().len() == 5).await;
    assert_eq!(b.owner.told.lock().len(), 5);
}

#[tokio::test]
async fn a_note_to_the_dead_is_lost_and_counted() {
    let [at, other] = [address(), address()];
    let a = Replica::start(&ha(at, &fixed(&[other]), PSK));
    let b = Replica::start(&ha(other, &fixed(&[at]), PSK));
    eventually("they meet", || a.peers.lives(b.id)).await;
    (0..10).for_each(|_| a.peers.tell(&Bytes::from_static(b"x")));
    b.peers.stop();
    eventually("each is sent or lost", || {
        let notes = &a.metrics.notes;
        notes.get(PeerNote::Sent).get() + notes.get(PeerNote::Lost).get() == 10
    })
    .await;
    eventually("it is dead", || !a.peers.lives(b.id)).await;
    a.peers.tell(&Bytes::from_static(b"y"));
    let mut c = None;
    eventually("its port is free", || {
        c = Replica::try_start(&ha(other, &fixed(&[at]), PSK)).ok();
        c.is_some()
    })
    .await;
    let c = c.unwrap();
    eventually("another one comes", || a.peers.lives(c.id)).await;
    a.peers.tell(&Bytes::from_static(b"z"));
    eventually("it hears what is said from then on", || !c.owner.told.lock().is_empty()).await;
    assert_eq!(c.owner.told.lock()[0].1, "z");
}
