//! Slow clients: each wait has its deadline, and only the slow one pays.

use crate::harness::{Running, eventually, listener, server};
use holdfast_config::Server;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(100);

fn start(change: impl FnOnce(&mut Server)) -> Running {
    let mut server = server();
    change(&mut server);
    Running::start(&server, &[listener(None)])
}

fn stalls(edge: &Running, kind: &str) -> u64 {
    edge.metric(&format!("holdfast_edge_stalls_total{{listener=\"server\",kind=\"{kind}\"}}"))
}

#[test]
fn a_head_that_never_ends_gets_408() {
    let edge = start(|server| server.header_timeout = SHORT);
    let mut bystander = edge.connect();
    let mut slow = edge.connect();
    slow.send("GET / HTTP/1.1\r\nhost: t\r\nx-a: ");
    let answer = slow.rest();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("connection: close"), "{answer}");
    assert_eq!(stalls(&edge, "head"), 1);
    assert_eq!(bystander.get("/").1, "GET / ");
}

#[test]
fn dripping_head_bytes_do_not_extend_the_deadline() {
    let edge = start(|server| server.header_timeout = SHORT);
    let mut slow = edge.connect();
    slow.send("GET / HTTP/1.1\r\nhost: t\r\n");
    // A byte whenever the last one was taken: only the deadline can end this.
    eventually("the dripping client is cut", || {
        use std::io::Write as _;
        slow.0.write_all(b"x").is_err() || stalls(&edge, "head") > 0
    });
    assert_eq!(stalls(&edge, "head"), 1);
}

#[test]
fn a_body_that_stalls_gets_408() {
    let edge = start(|server| server.read_timeout = SHORT);
    let mut slow = edge.connect();
    slow.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\nabc");
    let answer = slow.rest();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(stalls(&edge, "request_body"), 1);
}

#[test]
fn an_idle_connection_is_closed_and_a_new_one_too() {
    let edge = start(|server| server.idle_timeout = SHORT);
    let mut kept = edge.connect();
    let mut fresh = edge.connect();
    assert_eq!(kept.get("/").1, "GET / ");
    assert!(kept.is_gone());
    assert!(fresh.is_gone());
    eventually("both are counted", || stalls(&edge, "idle") == 2);
}

#[test]
fn a_client_that_does_not_read_is_cut() {
    let edge = start(|server| server.write_timeout = SHORT);
    let mut deaf = edge.connect();
    deaf.send("GET /flood HTTP/1.1\r\nhost: t\r\n\r\n");
    eventually("the connection is cut", || stalls(&edge, "response") == 1);
    eventually("and gone", || edge.metric("holdfast_edge_connections_open{") == 0);
    eventually("nothing is in flight", || edge.metric("holdfast_edge_requests_in_flight{") == 0);
}

#[test]
fn a_silent_stream_ends_visibly_after_its_own_deadline_only() {
    let edge = start(|server| {
        (server.header_timeout, server.read_timeout) = (SHORT, SHORT);
        (server.write_timeout, server.idle_timeout) = (SHORT, SHORT);
        server.stream_idle_timeout = Duration::from_secs(1);
    });
    let mut other = edge.connect();
    let mut stream = edge.connect();
    stream.send("GET /silent HTTP/1.1\r\nhost: t\r\n\r\n");
    stream.until("first\r\n");
    // The short deadlines have done their work on another connection, and the stream is still there.
    assert!(other.is_gone());
    eventually("the stream alone is left", || edge.metric("holdfast_edge_connections_open{") == 1);
    let rest = stream.rest();
    assert!(!rest.contains("0\r\n\r\n"), "a cut stream looked complete");
}

#[test]
fn a_handler_that_thinks_is_not_the_clients_fault() {
    let edge = start(|server| {
        (server.header_timeout, server.read_timeout) = (SHORT, SHORT);
        (server.write_timeout, server.idle_timeout) = (SHORT, SHORT);
    });
    let mut waiting = edge.connect();
    waiting.send("GET /wait HTTP/1.1\r\nhost: t\r\n\r\n");
    eventually("it is being handled", || edge.metric("holdfast_edge_requests_in_flight{") == 1);
    assert!(edge.connect().is_gone());
    edge.handler.gate.notify_one();
    assert_eq!(waiting.response().1, "done");
}

#[test]
fn an_idle_tunnel_ends_and_short_deadlines_do_not_touch_it() {
    let edge = start(|server| {
        (server.header_timeout, server.idle_timeout) = (SHORT, SHORT);
        server.stream_idle_timeout = Duration::from_secs(1);
    });
    let mut tunnel = edge.connect();
    tunnel.send("GET /tunnel HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
    tunnel.until("\r\n\r\n");
    assert!(edge.connect().is_gone());
    tunnel.send("x\n\nGET");
    tunnel.until("x\n\nGET");
    assert!(tunnel.is_gone());
    assert_eq!(stalls(&edge, "stream"), 1);
    eventually("its place is free", || edge.metric("holdfast_edge_connections_open{") == 0);
}

#[test]
fn many_slow_clients_leave_others_unharmed() {
    let edge = start(|server| server.header_timeout = Duration::from_secs(1));
    let mut slow: Vec<_> = (0..200).map(|_| edge.connect()).collect();
    for client in &mut slow {
        client.send("GET / HTTP/1.1\r\nx: ");
    }
    let mut bystander = edge.connect();
    for _ in 0..500 {
        assert_eq!(bystander.get("/").1, "GET / ");
    }
    for client in &mut slow {
        assert!(client.rest().starts_with("HTTP/1.1 408 "));
    }
    assert_eq!(stalls(&edge, "head"), 200);
}
