//! The drain in its order, over real sockets.

use crate::harness::{Running, eventually, listener, server};
use holdfast_edge::Phase;
use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

#[test]
fn unready_goes_on_accepting_and_sends_clients_away() {
    let mut patient = server();
    patient.drain_delay = Duration::from_hours(1);
    let edge = Running::start(&patient, &[listener(None)]);
    let mut early = edge.connect();
    assert!(!early.get("/").0.contains("connection: close"));
    assert_eq!(edge.handle.drain(), Phase::Unready);
    assert!(!edge.handle.drain_handle().is_ready());
    let mut late = edge.connect();
    for client in [&mut early, &mut late] {
        let (head, body) = client.get("/");
        assert!(head.contains("connection: close"), "{head}");
        assert_eq!(body, "GET / ");
        assert!(client.is_gone());
    }
    assert_eq!(edge.metric("holdfast_drain_phase{phase=\"unready\"}"), 1);
    // A second signal means now.
    assert_eq!(edge.handle.drain(), Phase::Stopped);
    assert!(edge.join());
}

#[test]
fn what_is_under_way_is_finished_and_then_it_ends_at_once() {
    let edge = Running::plain();
    let address = edge.address();
    let mut waiting = edge.connect();
    waiting.send("GET /wait HTTP/1.1\r\nhost: t\r\n\r\n");
    eventually("it is being handled", || edge.metric("holdfast_edge_requests_in_flight{") == 1);
    edge.handle.drain();
    eventually("the listeners are closed", || TcpStream::connect(address).is_err());
    assert_eq!(edge.handle.phase(), Phase::Closing);
    edge.handler.gate.notify_one();
    let (head, body) = waiting.response();
    assert_eq!(body, "done");
    assert!(head.contains("connection: close"), "{head}");
    let begun = Instant::now();
    assert!(edge.join());
    assert!(begun.elapsed() < Duration::from_secs(10), "it slept the whole max_drain");
}

#[test]
fn idle_connections_are_closed_in_order() {
    let edge = Running::plain();
    let (mut used, mut fresh) = (edge.connect(), edge.connect());
    assert_eq!(used.get("/").1, "GET / ");
    edge.handle.drain();
    assert_eq!(used.rest(), "");
    assert_eq!(fresh.rest(), "");
    assert!(edge.join());
}

#[test]
fn connections_in_the_accept_queue_are_served() {
    for _ in 0..20 {
        let edge = Running::plain();
        let mut clients: Vec<_> = (0..50).map(|_| edge.connect()).collect();
        edge.handle.drain();
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nhost: t\r\n\r\n");
        }
        for client in &mut clients {
            assert_eq!(client.response().1, "GET / ");
        }
        assert!(edge.join());
    }
}

#[test]
fn a_request_half_sent_when_the_drain_begins_is_served() {
    let edge = Running::plain();
    let address = edge.address();
    let mut half = edge.connect();
    half.send("GET / HTTP/1.1\r\nhost: ");
    edge.handle.drain();
    eventually("the listeners are closed", || TcpStream::connect(address).is_err());
    half.send("t\r\n\r\n");
    assert_eq!(half.response().1, "GET / ");
    assert!(edge.join());
}

#[test]
fn streams_learn_of_the_drain_and_end_politely() {
    let edge = Running::plain();
    let mut stream = edge.connect();
    stream.send("GET /politely HTTP/1.1\r\nhost: t\r\n\r\n");
    stream.until("hello \r\n");
    edge.handle.drain();
    assert!(stream.rest().ends_with("bye\r\n0\r\n\r\n"));
    assert!(edge.join());
}

#[test]
fn max_drain_cuts_what_does_not_end() {
    let mut hasty = server();
    hasty.max_drain = Duration::from_millis(200);
    let edge = Running::start(&hasty, &[listener(None)]);
    let mut stuck = edge.connect();
    stuck.send("GET /wait HTTP/1.1\r\nhost: t\r\n\r\n");
    eventually("it is being handled", || edge.metric("holdfast_edge_requests_in_flight{") == 1);
    edge.handle.drain();
    assert!(edge.join());
    assert!(stuck.is_gone());
}
