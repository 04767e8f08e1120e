//! PROXY protocol version 2 in front of HTTP.

use crate::harness::{Client, Running, listener, server};
use holdfast_config::ProxyProtocol;
use std::time::Duration;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const REQUEST: &[u8] = b"GET /client HTTP/1.1\r\nhost: t\r\n\r\n";

fn header(command: u8, source: [u8; 4]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([0x20 | command, 0x11, 0, 12]);
    bytes.extend(source);
    bytes.extend([10, 0, 0, 1, 0x12, 0x67, 0x01, 0xbb]);
    bytes
}

fn start(trusted: &str, per_ip: usize) -> Running {
    let mut server = server();
    server.trusted_proxies = vec![trusted.parse().expect("net")];
    server.max_connections_per_ip = per_ip;
    server.handshake_timeout = Duration::from_millis(200);
    let mut listener = listener(None);
    listener.proxy_protocol = ProxyProtocol::Required;
    Running::start(&server, &[listener])
}

fn ask(edge: &Running, header: &[u8]) -> (Client, String) {
    let mut client = edge.connect();
    client.send([header, REQUEST].concat());
    let (_, body) = client.response();
    (client, body)
}

#[test]
fn the_header_names_the_client_and_local_means_the_peer() {
    let edge = start("127.0.0.0/8", 10);
    assert_eq!(ask(&edge, &header(1, [192, 0, 2, 7])).1, "192.0.2.7 server");
    assert_eq!(ask(&edge, &header(0, [192, 0, 2, 7])).1, "127.0.0.1 server");
}

#[test]
fn the_real_client_counts_for_the_cap_and_not_the_balancer() {
    let edge = start("127.0.0.0/8", 1);
    let first = ask(&edge, &header(1, [192, 0, 2, 1]));
    let second = ask(&edge, &header(1, [192, 0, 2, 2]));
    assert!(first.1.starts_with("192.0.2.1 ") && second.1.starts_with("192.0.2.2 "));
    let mut third = edge.connect();
    third.send(header(1, [192, 0, 2, 1]));
    assert!(third.is_gone());
}

#[test]
fn no_header_a_bad_one_or_one_from_a_stranger_closes() {
    let edge = start("127.0.0.0/8", 10);
    let mut none = edge.connect();
    none.send(REQUEST);
    assert!(none.is_gone());
    let mut bad = edge.connect();
    bad.send([&header(7, [1, 1, 1, 1])[..], REQUEST].concat());
    assert!(bad.is_gone());
    let mut slow = edge.connect();
    slow.send(&header(1, [1, 1, 1, 1])[..20]);
    assert!(slow.is_gone(), "half a header has a deadline");
    let strict = start("192.0.2.0/24", 10);
    let mut stranger = strict.connect();
    stranger.send(header(1, [192, 0, 2, 7]));
    assert!(stranger.is_gone());
    let reason = "holdfast_edge_connections_refused_total{listener=\"server\",reason=\"proxy_header\"}";
    crate::harness::eventually("each is counted", || (edge.metric(reason), strict.metric(reason)) == (2, 1));
}
