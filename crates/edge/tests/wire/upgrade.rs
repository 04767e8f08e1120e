//! Upgrades: tunnels pass untouched, refused upgrades go on as HTTP.

use crate::harness::Running;

const UPGRADE: &str = "host: t\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

#[test]
fn a_tunnel_carries_what_no_http_would() {
    let edge = Running::plain();
    let mut client = edge.connect();
    client.send(format!("GET /tunnel HTTP/1.1\r\n{UPGRADE}early\n\0bytes"));
    assert!(client.until("\r\n\r\n").starts_with("HTTP/1.1 101 "));
    client.until("early\n\0bytes");
    client.send("GET / HTTP/1.1\nx");
    client.until("GET / HTTP/1.1\nx");
}

#[test]
fn after_a_refused_upgrade_the_guard_is_back() {
    let edge = Running::plain();
    let mut client = edge.connect();
    client.send(format!(
        "GET /a HTTP/1.1\r\n{UPGRADE}GET /b HTTP/1.1\r\nhost: t\r\n\r\nGET / HTTP/1.1\nhost: t\r\n\r\n"
    ));
    assert_eq!(client.response().1, "GET /a ");
    assert_eq!(client.response().1, "GET /b ");
    assert!(client.rest().starts_with("HTTP/1.1 400 "));
}

#[test]
fn a_connect_with_a_body_is_refused() {
    let edge = Running::plain();
    let mut client = edge.connect();
    client.send("CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\ncontent-length: 4\r\n\r\nabcd");
    assert!(client.rest().starts_with("HTTP/1.1 400 "));
}

#[test]
fn a_client_that_leaves_while_its_upgrade_is_decided_is_noticed() {
    let edge = Running::plain();
    let mut client = edge.connect();
    client.send(format!("GET /wait HTTP/1.1\r\n{UPGRADE}"));
    crate::harness::eventually("handled", || edge.metric("holdfast_edge_requests_in_flight{") == 1);
    drop(client);
    crate::harness::eventually("gone", || edge.metric("holdfast_edge_requests_in_flight{") == 0);
}
