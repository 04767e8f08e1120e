//! The connection caps at accept.

use crate::harness::{Running, eventually, listener, server};

#[test]
fn one_connection_beyond_the_total_is_refused_and_room_comes_back() {
    let mut small = server();
    small.max_connections = 3;
    let edge = Running::start(&small, &[listener(None)]);
    let mut held: Vec<_> = (0..3).map(|_| edge.connect()).collect();
    for client in &mut held {
        assert_eq!(client.get("/").1, "GET / ");
    }
    assert!(edge.connect().is_gone(), "the fourth was served");
    let reason = "holdfast_edge_connections_refused_total{listener=\"server\",reason=\"max_connections\"}";
    assert_eq!(edge.metric(reason), 1);
    drop(held.pop());
    eventually("there is room again", || edge.metric("holdfast_edge_connections_open{") == 2);
    assert_eq!(edge.connect().get("/").1, "GET / ");
    assert_eq!(held[0].get("/").1, "GET / ");
}

#[test]
fn one_client_cannot_take_more_than_its_share() {
    let mut small = server();
    small.max_connections_per_ip = 2;
    let edge = Running::start(&small, &[listener(None)]);
    let mut held: Vec<_> = (0..2).map(|_| edge.connect()).collect();
    for client in &mut held {
        assert_eq!(client.get("/").1, "GET / ");
    }
    assert!(edge.connect().is_gone());
    let reason =
        "holdfast_edge_connections_refused_total{listener=\"server\",reason=\"max_connections_per_ip\"}";
    assert_eq!(edge.metric(reason), 1);
}

#[test]
fn a_reload_changes_caps_for_new_connections_only() {
    let mut limits = server();
    let edge = Running::start(&limits, &[listener(None)]);
    let mut held = edge.connect();
    assert_eq!(held.get("/").1, "GET / ");
    limits.max_connections = 1;
    let mut moved = listener(None);
    moved.port = 1;
    edge.handle.apply(&limits, &[moved]).expect("valid");
    assert!(edge.connect().is_gone());
    assert_eq!(held.get("/").1, "GET / ");
}
