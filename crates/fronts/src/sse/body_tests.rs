use super::Events;
use crate::{Fronts, queue::queue};
use bytes::Bytes;
use holdfast_peers::ReplicaId;
use holdfast_telemetry::Registry;
use http_body_util::BodyExt as _;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

#[tokio::test(start_paused = true)]
async fn first_the_endpoint_then_messages_and_comments_where_it_is_quiet_and_a_pause_at_the_end_of_a_drain() {
    let fronts = Fronts::new(ReplicaId(1), &Registry::new(&BTreeMap::new()).unwrap());
    let (tell, told) = queue(1000);
    let names = (fronts.name([0; 32], queue(10).0).unwrap(), fronts.place(1).unwrap());
    let drained = Arc::new(AtomicBool::new(false));
    let mut events =
        Events::new("/m?session_id=x", told, Duration::from_secs(15), Arc::clone(&drained), names);
    let mut next = async || {
        let frame = events.frame().await?.unwrap();
        Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
    };
    assert_eq!(next().await.unwrap(), "event: endpoint\ndata: /m?session_id=x\n\n");
    tell.push(Bytes::from_static(b"{\"a\":\n1}")).await.unwrap();
    assert_eq!(next().await.unwrap(), "event: message\ndata: {\"a\": 1}\n\n");
    let began = tokio::time::Instant::now();
    assert_eq!(next().await.unwrap(), ":\n\n");
    assert!(began.elapsed() >= Duration::from_secs(15), "{:?}", began.elapsed());
    drained.store(true, Relaxed);
    tell.finish();
    let farewell = next().await.unwrap();
    let pause: u64 = farewell.trim().strip_prefix("retry: ").unwrap().parse().unwrap();
    assert!((1_000..10_000).contains(&pause));
    assert_eq!(next().await, None);
    drop(events);
    assert!(fronts.place(1).is_ok(), "its place is free again");
}
