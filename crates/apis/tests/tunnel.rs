//! WebSocket through a route.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[cfg(test)]
mod support;

use holdfast_telemetry::{
    RecordOutcome::{ClientAbort, EndedDrain, Ok as Good},
    metrics::CodeClass,
};
use std::sync::mpsc;
use support::{Gateway, SOON, Scripted, Wire, eventually, header};

const HANDSHAKE: &str = "GET /api/ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Agrees to a handshake, then sends everything back.
fn echo() -> (Scripted, mpsc::Receiver<String>) {
    let (seen, heads) = mpsc::channel();
    let upstream = Scripted::start(move |wire| {
        let head = wire.head();
        let wanted = header(&head, "upgrade").as_deref() == Some("websocket");
        seen.send(head).unwrap();
        if !wanted {
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
            return;
        }
        wire.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        ));
        while let Some(byte) = next(wire) {
            wire.try_send([byte]);
        }
    });
    (upstream, heads)
}

fn next(wire: &mut Wire) -> Option<u8> {
    use std::io::Read as _;
    let mut byte = [0];
    matches!(wire.stream.read(&mut byte), Ok(1)).then_some(byte[0])
}

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

fn open(gateway: &Gateway) -> Wire {
    let mut wire = gateway.connect();
    wire.send(format!("{HANDSHAKE}\r\n"));
    let head = wire.head();
    assert_eq!(status(&head), "101", "{head}");
    assert_eq!(header(&head, "sec-websocket-accept").as_deref(), Some(ACCEPT));
    assert_eq!(header(&head, "upgrade").as_deref(), Some("websocket"));
    assert!(header(&head, "connection").unwrap().eq_ignore_ascii_case("upgrade"));
    assert_eq!(header(&head, "x-request-id").unwrap().len(), 32);
    wire
}

#[test]
fn a_tunnel_carries_bytes_both_ways_and_leaves_one_record() {
    let (upstream, heads) = echo();
    let gateway = Gateway::start(&[upstream.address], "", "");
    let mut wire = open(&gateway);
    let head = heads.recv_timeout(SOON).unwrap();
    assert_eq!(header(&head, "sec-websocket-version").as_deref(), Some("13"));
    assert_eq!(header(&head, "x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(gateway.metrics.tunnels.get(), 1);
    assert_eq!(gateway.metrics.requests.get(CodeClass::Informational).get(), 0, "it has not ended yet");
    wire.send([0x81, 0x83, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2, b'c' ^ 3]);
    assert_eq!(wire.exactly(9)[..2], [0x81, 0x83]);
    wire.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(wire.rest(), "");
    // Counted one after the other.
    let metrics = &gateway.metrics;
    eventually("the tunnel is no more", || metrics.tunnels.get() == 0);
    eventually("its bytes are counted", || (metrics.bytes_in.get(), metrics.bytes_out.get()) == (9, 9));
    eventually("it ended well", || metrics.outcomes.get(Good).get() == 1);
    eventually("it is recorded once", || metrics.requests.get(CodeClass::Informational).get() == 1);
    assert_eq!(gateway.metrics.duration.count(), 0);
}

#[test]
fn bytes_right_behind_the_handshake_are_not_lost() {
    let (upstream, _heads) = echo();
    let gateway = Gateway::start(&[upstream.address], "", "");
    let mut wire = gateway.connect();
    wire.send(format!("{HANDSHAKE}\r\n\u{1}\u{2}early"));
    assert_eq!(status(&wire.head()), "101");
    assert_eq!(wire.exactly(7), b"\x01\x02early");
}

#[test]
fn an_upgrade_needs_the_routes_credential() {
    let (upstream, heads) = echo();
    let auth =
        "    auth:\n      type: api_key\n      api_key: { keys: [{ name: ci, key: sk-0123456789abcdef }] }";
    let gateway = Gateway::start(&[upstream.address], auth, "");
    for (credential, expected) in [
        ("", "401"),
        ("Authorization: Bearer wrong-wrong-wrong\r\n", "401"),
        ("Authorization: Bearer sk-0123456789abcdef\r\n", "101"),
    ] {
        let mut wire = gateway.connect();
        wire.send(format!("{HANDSHAKE}{credential}\r\n"));
        let head = wire.head();
        assert_eq!(status(&head), expected, "{credential}");
        assert_eq!(header(&head, "www-authenticate").is_some(), expected == "401");
    }
    let head = heads.recv_timeout(SOON).unwrap();
    assert_eq!(header(&head, "authorization"), None, "the credential that authenticated here went on");
    assert!(heads.try_recv().is_err(), "a refused upgrade reached the upstream");
}

#[test]
fn only_websocket_opens_a_tunnel() {
    let (upstream, heads) = echo();
    let gateway = Gateway::start(&[upstream.address], "", "");
    for upgrade in ["h2c", "TLS/1.0", "websocket2"] {
        let (head, body) = gateway.ask(&format!(
            "GET /api HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        ));
        assert_eq!((status(&head), &*body), ("200", "ok"));
        let seen = heads.recv_timeout(SOON).unwrap();
        assert!(header(&seen, "upgrade").is_none() && header(&seen, "http2-settings").is_none(), "{seen}");
    }
}

#[test]
fn an_upstream_that_refuses_the_upgrade_answers_the_client() {
    let (upstream, _requests) =
        Scripted::answering("HTTP/1.1 426 Upgrade Required\r\ncontent-length: 2\r\n\r\nno");
    let gateway = Gateway::start(&[upstream.address], "", "");
    let mut wire = gateway.connect();
    wire.send(format!("{HANDSHAKE}\r\n"));
    assert_eq!(status(&wire.head()), "426");
    assert_eq!(wire.exactly(2), b"no");
    assert_eq!(gateway.metrics.tunnels.get(), 0);
}

#[test]
fn a_client_that_vanishes_ends_the_tunnel() {
    let (upstream, _heads) = echo();
    let gateway = Gateway::start(&[upstream.address], "", "");
    let wire = open(&gateway);
    drop(wire);
    eventually("the tunnel ends", || gateway.metrics.tunnels.get() == 0);
    let outcomes = &gateway.metrics.outcomes;
    eventually("its end is counted", || outcomes.get(Good).get() + outcomes.get(ClientAbort).get() == 1);
}

#[test]
fn a_silent_tunnel_ends_after_the_stream_idle_timeout() {
    let (upstream, _heads) = echo();
    let gateway = Gateway::start(&[upstream.address], "", "  stream_idle_timeout: 50ms");
    let mut wire = open(&gateway);
    assert_eq!(wire.rest(), "");
    eventually("it is recorded", || gateway.metrics.outcomes.get(Good).get() == 1);
}

#[test]
fn a_drain_tells_websocket_clients_to_come_back_and_waits_for_them() {
    let (upstream, _heads) = echo();
    let gateway = Gateway::start(&[upstream.address], "", "  drain_delay: 0s\n  max_drain: 2s");
    let mut wires: Vec<Wire> = (0..4).map(|_| open(&gateway)).collect();
    gateway.edge.drain();
    for wire in &mut wires {
        assert_eq!(wire.exactly(4), [0x88, 2, 0x03, 0xf4], "1012, service restart");
    }
    eventually("all are recorded as drained", || gateway.metrics.outcomes.get(EndedDrain).get() == 4);
}
