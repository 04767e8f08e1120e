//! Bodies on their way: piece by piece, to their end or visibly not.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[cfg(test)]
mod support;

use holdfast_telemetry::RecordOutcome::{ClientAbort, Ok as Good, Truncated};
use std::sync::mpsc;
use support::{Gateway, SOON, Scripted, eventually};

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
}

#[test]
fn bytes_stream_in_both_directions_before_either_side_has_ended() {
    let upstream = Scripted::start(|wire| {
        wire.head();
        assert_eq!(wire.until("one\r\n"), "3\r\none\r\n");
        wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        assert_eq!(wire.until("two\r\n"), "3\r\ntwo\r\n");
        wire.until("0\r\n\r\n");
        wire.send("0\r\n\r\n");
    });
    let gateway = Gateway::start(&[upstream.address], "", "");
    let mut wire = gateway.connect();
    wire.send("POST /api HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    assert_eq!(status(&wire.head()), 200);
    wire.until("first");
    wire.send("3\r\ntwo\r\n0\r\n\r\n");
    assert!(wire.until("0\r\n\r\n").ends_with("0\r\n\r\n"));
    eventually("bytes are counted in both directions", || {
        (gateway.metrics.bytes_in.get(), gateway.metrics.bytes_out.get()) == (6, 5)
    });
}

#[test]
fn trailers_pass_in_both_directions() {
    let (seen, trailers) = mpsc::channel();
    let upstream = Scripted::start(move |wire| {
        wire.head();
        seen.send(wire.until("\r\n\r\n")).unwrap();
        wire.send(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n",
        );
    });
    let gateway = Gateway::start(&[upstream.address], "", "");
    let mut wire = gateway.connect();
    wire.send(
        "POST /api HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: te\r\nTransfer-Encoding: chunked\r\nTrailer: x-up\r\n\r\n\
         2\r\nhi\r\n0\r\nx-up: 5\r\n\r\n",
    );
    wire.head();
    let body = wire.until("\r\n\r\n");
    assert!(body.to_lowercase().contains("x-sum: 7"), "{body}");
    assert!(trailers.recv_timeout(SOON).unwrap().to_lowercase().contains("x-up: 5"));
}

#[test]
fn a_response_that_breaks_off_never_looks_complete() {
    let upstream = Scripted::start(|wire| {
        let head = wire.head();
        if head.contains("/chunked") {
            wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n");
        } else {
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart");
        }
        wire.close();
    });
    let gateway = Gateway::start(&[upstream.address], "", "");
    for (n, path) in ["/api/chunked", "/api/length"].into_iter().enumerate() {
        let (head, body) = gateway.get(path, "");
        assert_eq!(status(&head), 200);
        assert!(!body.ends_with("0\r\n\r\n"), "{body:?} looks complete");
        eventually("it is recorded", || gateway.metrics.outcomes.get(Truncated).get() == n as u64 + 1);
    }
}

#[test]
fn a_client_that_leaves_mid_response_frees_the_upstream_and_is_no_failure() {
    let (gone, left) = mpsc::channel();
    let upstream = Scripted::start(move |wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n");
        wire.rest();
        gone.send(()).unwrap();
    });
    let gateway = Gateway::start(&[upstream.address], "", "");
    let mut wire = gateway.connect();
    wire.send("GET /api HTTP/1.1\r\nHost: h\r\n\r\n");
    wire.until("part");
    wire.close();
    left.recv_timeout(SOON).expect("the upstream's connection is closed");
    eventually("it is recorded", || gateway.metrics.outcomes.get(ClientAbort).get() == 1);
    assert_eq!(gateway.metrics.outcomes.get(Truncated).get(), 0);
}

#[test]
fn a_stream_of_events_arrives_event_by_event() {
    let (next, asked) = mpsc::channel::<()>();
    let asked = parking_lot::Mutex::new(asked);
    let upstream = Scripted::start(move |wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
        for n in 0..3 {
            wire.send(format!("data: {n}\n\n"));
            asked.lock().recv_timeout(SOON).unwrap();
        }
    });
    let gateway = Gateway::start(&[upstream.address], "", "");
    let mut wire = gateway.connect();
    wire.send("GET /api HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n");
    wire.head();
    for n in 0..3 {
        assert!(wire.until("\n\n").contains(&format!("data: {n}")));
        next.send(()).unwrap();
    }
    wire.rest();
    eventually("it is recorded", || gateway.metrics.outcomes.get(Good).get() == 1);
    assert_eq!(gateway.metrics.duration.count(), 0, "how long a stream was open is no latency");
}
