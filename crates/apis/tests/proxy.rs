//! A plain route, seen from both of its sides.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[cfg(test)]
mod support;

use holdfast_telemetry::RecordOutcome::{Ok as Good, Rejected, UpstreamError};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};
use support::{Gateway, SOON, Scripted, Wire, eventually, header};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
}

/// An address that refuses connections.
fn dead() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_request_is_passed_on_with_what_belongs_to_one_hop_replaced() {
    let (upstream, requests) = Scripted::answering(
        "HTTP/1.1 201 Made\r\nconnection: close, x-hop\r\nx-hop: 1\r\nkeep-alive: 5\r\ncontent-length: 2\r\n\
         content-encoding: gzip\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\r\nzz",
    );
    let gateway = Gateway::start(&[upstream.address], "", "");
    let (head, body) = gateway.ask(
        "PATCH /api/a%2Fb//c?x=1&y=%20&z HTTP/1.1\r\nHost: client.example:81\r\nContent-Length: 3\r\nCookie: s=1\r\n\
         X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Request-Id: forged\r\n\
         Proxy-Authorization: secret\r\nX-Drop: 1\r\nUpgrade: h2c\r\nTE: trailers\r\n\
         Connection: close, x-drop, te, upgrade\r\n\r\nabc",
    );
    assert_eq!((status(&head), &*body), (201, "zz"));
    assert!(head.contains("set-cookie: a=1") && head.contains("set-cookie: b=2"));
    assert_eq!(header(&head, "content-encoding").as_deref(), Some("gzip"));
    assert!(header(&head, "x-hop").is_none() && header(&head, "keep-alive").is_none());

    let (seen, sent) = requests.recv_timeout(SOON).unwrap();
    assert!(seen.starts_with("PATCH /api/a%2Fb//c?x=1&y=%20&z HTTP/1.1\r\n"), "{seen}");
    assert_eq!(sent, "abc");
    let of = |name| header(&seen, name).unwrap_or_default();
    assert_eq!(
        (of("host"), of("x-forwarded-host")),
        ("client.example:81".into(), "client.example:81".into())
    );
    assert_eq!((of("x-forwarded-for"), of("x-forwarded-proto")), ("127.0.0.1".into(), "http".into()));
    assert_eq!(of("forwarded"), "for=127.0.0.1;host=\"client.example:81\";proto=http");
    assert_eq!((of("te"), of("cookie")), ("trailers".into(), "s=1".into()));
    assert_eq!((of("x-request-id").len(), of("traceparent").len()), (32, 55));
    for gone in ["proxy-authorization", "x-drop", "x-real-ip", "upgrade", "connection"] {
        assert_eq!(header(&seen, gone), None, "{seen}");
    }
}

#[test]
fn a_trusted_hop_speaks_for_the_client_and_only_the_client_is_named() {
    let (upstream, requests) = Scripted::answering(OK);
    let gateway = Gateway::start(&[upstream.address], "", "  trusted_proxies: [127.0.0.1, 10.0.0.0/8]");
    gateway.get("/api", "X-Forwarded-For: 6.6.6.6, 2001:db8::7, 10.1.1.1\r\nX-Forwarded-Proto: https\r\n");
    let (seen, _) = requests.recv_timeout(SOON).unwrap();
    assert_eq!(header(&seen, "x-forwarded-for").as_deref(), Some("2001:db8::7"));
    assert_eq!(
        header(&seen, "forwarded").as_deref(),
        Some("for=\"[2001:db8::7]\";host=\"client.example\";proto=https")
    );
}

#[test]
fn a_prefix_can_be_removed_and_the_endpoint_can_get_its_own_host() {
    let (upstream, requests) = Scripted::answering(OK);
    let route = "    strip_prefix: true\n    preserve_host: false\n    forward_authorization: false\n    \
                 upstream_auth: { header: x-key, value: from-config }";
    let gateway = Gateway::start(&[upstream.address], route, "");
    for (asked, passed) in [
        ("/api/x/y?q=1", "/x/y?q=1"),
        ("/api", "/"),
        ("/api?q", "/?q"),
        ("//%61pi//z", "//z"),
        ("/api/", "/"),
    ] {
        gateway.get(asked, "Authorization: Basic abc\r\nX-Key: from-client\r\n");
        let (seen, _) = requests.recv_timeout(SOON).unwrap();
        assert!(seen.starts_with(&format!("GET {passed} HTTP/1.1\r\n")), "{asked}: {seen}");
        assert_eq!(header(&seen, "host"), Some(upstream.address.to_string()));
        assert_eq!(header(&seen, "x-forwarded-host").as_deref(), Some("client.example"));
        assert_eq!(header(&seen, "x-key").as_deref(), Some("from-config"));
        assert_eq!(header(&seen, "authorization"), None);
    }
}

#[test]
fn an_absolute_target_says_the_host() {
    let (upstream, requests) = Scripted::answering(OK);
    let gateway = Gateway::start(&[upstream.address], "", "");
    gateway.ask("GET http://target.example/api/x HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n");
    let (seen, _) = requests.recv_timeout(SOON).unwrap();
    assert!(seen.starts_with("GET /api/x HTTP/1.1\r\n"), "{seen}");
    assert_eq!(header(&seen, "host").as_deref(), Some("target.example"));
}

#[test]
fn a_client_that_expects_100_sends_only_when_the_upstream_wants_it() {
    let upstream = Scripted::start(|wire| {
        let head = wire.head();
        assert_eq!(header(&head, "expect").as_deref(), Some("100-continue"));
        if head.starts_with("PUT /api/no") {
            wire.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            return;
        }
        wire.send("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(wire.exactly(4), b"body");
        wire.send(OK);
    });
    let gateway = Gateway::start(&[upstream.address], "", "");
    let ask = |path: &str| {
        let mut wire = gateway.connect();
        wire.send(format!(
            "PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        ));
        let head = wire.head();
        (wire, head)
    };
    let (mut wire, head) = ask("/api/yes");
    assert_eq!(status(&head), 100);
    wire.send("body");
    assert_eq!(status(&wire.head()), 200);
    let (_, head) = ask("/api/no");
    assert_eq!(status(&head), 403, "a refusal reaches the client before it sends");
}

#[test]
fn responses_without_a_body_keep_the_connection_usable() {
    let upstream = Scripted::start(|wire| {
        loop {
            let head = wire.head();
            let answer = match head.split(' ').take(2).collect::<Vec<_>>()[..] {
                ["HEAD", _] => "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n",
                [_, "/api/204"] => "HTTP/1.1 204 No Content\r\n\r\n",
                [_, "/api/304"] => "HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n",
                [_, _] => OK,
                _ => return,
            };
            wire.send(answer);
        }
    });
    let gateway = Gateway::start(&[upstream.address], "", "");
    let mut wire = gateway.connect();
    for (request, expected) in [
        ("HEAD /api/h", 200),
        ("GET /api/204", 204),
        ("GET /api/304", 304),
        ("HEAD /api/h", 200),
        ("GET /api/200", 200),
    ] {
        wire.send(format!("{request} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let head = wire.head();
        assert_eq!(status(&head), expected, "{request}");
        if request.starts_with("HEAD") {
            assert_eq!(header(&head, "content-length").as_deref(), Some("1234"));
        }
    }
    assert_eq!(wire.exactly(2), b"ok");
    eventually("all five ended well", || gateway.metrics.outcomes.get(Good).get() == 5);
}

#[test]
fn what_no_upstream_should_see_is_answered_here() {
    let hits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&hits);
    let upstream = Scripted::start(move |wire| {
        if !wire.head().is_empty() {
            counted.fetch_add(1, Relaxed);
        }
    });
    let gateway = Gateway::start(&[upstream.address], "    max_body_bytes: 10", "");
    let end = "Connection: close\r\n\r\n";
    let mut asked = 0;
    for (request, expected, code) in [
        ("TRACE /api HTTP/1.1\r\nHost: h\r\n", 405, "method_not_allowed"),
        ("GET /api/../admin HTTP/1.1\r\nHost: h\r\n", 400, "ambiguous_path"),
        ("GET /api/%2e%2E/admin HTTP/1.1\r\nHost: h\r\n", 400, "ambiguous_path"),
        ("GET /api/..%2fadmin HTTP/1.1\r\nHost: h\r\n", 400, "ambiguous_path"),
        ("GET /api HTTP/1.1\r\nHost: a/b\r\n", 400, "bad_host"),
        ("GET /api HTTP/1.1\r\nHost: h\r\nExpect: a-pony\r\n", 417, "unknown_expectation"),
        ("PUT /api HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n", 413, "body_too_large"),
    ] {
        let (head, body) = gateway.ask(&format!("{request}{end}"));
        assert_eq!(status(&head), expected, "{request}");
        assert_eq!(header(&head, "content-type").as_deref(), Some("application/problem+json"));
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["code"], code);
        assert_eq!(problem["route"], "api");
        asked += 1;
    }
    let (head, body) = gateway.ask(&format!("OPTIONS /api HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n{end}"));
    assert_eq!((status(&head), &*body), (204, ""));
    assert!(header(&head, "allow").unwrap().contains("PATCH"));
    assert_eq!(hits.load(Relaxed), 0, "something reached the upstream");
    eventually("each is recorded as refused", || gateway.metrics.outcomes.get(Rejected).get() == asked);
}

#[test]
fn max_forwards_counts_down() {
    let (upstream, requests) = Scripted::answering(OK);
    let gateway = Gateway::start(&[upstream.address], "", "");
    gateway.ask("OPTIONS /api HTTP/1.1\r\nHost: h\r\nMax-Forwards: 3\r\nConnection: close\r\n\r\n");
    assert_eq!(header(&requests.recv_timeout(SOON).unwrap().0, "max-forwards").as_deref(), Some("2"));
}

#[test]
fn a_body_that_grows_too_large_on_the_way_is_413() {
    let upstream = Scripted::start(|wire| {
        wire.rest();
    });
    let gateway = Gateway::start(&[upstream.address], "    max_body_bytes: 10", "");
    let mut wire = gateway.connect();
    wire.send("POST /api HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n");
    wire.try_send("8\r\n12345678\r\n0\r\n\r\n");
    assert_eq!(status(&wire.head()), 413);
}

#[test]
fn a_dead_upstream_is_a_typed_502_that_shows_no_address() {
    let gone = dead();
    let gateway = Gateway::start(&[gone], "    retry: { enabled: false }", "");
    let (head, body) = gateway.get("/api", "");
    assert_eq!(status(&head), 502);
    let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["code"], "upstream_unreachable");
    assert!(!body.contains(&gone.port().to_string()) && !head.contains(&gone.port().to_string()), "{body}");
    assert_eq!(gateway.metrics.outcomes.get(UpstreamError).get(), 1);
}

/// An upstream that takes a whole request and then breaks off; the number of requests it took.
fn breaking() -> (Scripted, Arc<AtomicUsize>) {
    let hits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&hits);
    let upstream = Scripted::start(move |wire| {
        if !wire.head().is_empty() {
            counted.fetch_add(1, Relaxed);
        }
        wire.close();
    });
    (upstream, hits)
}

#[test]
fn a_small_repeatable_body_goes_to_another_endpoint_and_an_unsafe_one_never_does() {
    let (breaks, broken) = breaking();
    let (good, requests) = Scripted::answering(OK);
    let rest = "    strategy: round_robin\n    circuit_breaker: { enabled: false }\n    outlier_detection: { enabled: false }";
    let gateway = Gateway::start(&[breaks.address, good.address], rest, "");
    for n in 0..6 {
        let (head, _) = gateway.ask(&format!(
            "PUT /api/{n} HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody"
        ));
        assert_eq!(status(&head), 200);
        assert_eq!(requests.recv_timeout(SOON).unwrap().1, "body");
    }
    assert!(broken.load(Relaxed) > 0, "the broken endpoint was never tried, so nothing was shown");
    let before = broken.load(Relaxed);
    let (mut failed, mut answered) = (0, 0);
    for _ in 0..6 {
        let (head, _) = gateway
            .ask("POST /api HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody");
        match status(&head) {
            200 => answered += 1,
            502 => failed += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!(broken.load(Relaxed) - before, failed, "each unsafe request was sent exactly once");
    assert_eq!(requests.try_iter().count(), answered);
    assert!(failed > 0);
    // The client vouches: the same request may be repeated.
    for _ in 0..4 {
        let (head, _) = gateway.ask(
            "POST /api HTTP/1.1\r\nHost: h\r\nIdempotency-Key: 7\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody",
        );
        assert_eq!(status(&head), 200);
    }
}

#[test]
fn many_clients_share_a_route_without_mixing_answers() {
    let upstream = Scripted::start(|wire| {
        loop {
            let head = wire.head();
            let Some(path) = head.split(' ').nth(1) else { return };
            wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len()));
        }
    });
    let gateway = Gateway::start(&[upstream.address], "", "");
    let address = gateway.address;
    thread::scope(|scope| {
        for client in 0..8 {
            scope.spawn(move || {
                let mut wire = Wire::connect(address);
                for n in 0..50 {
                    let path = format!("/api/{client}/{n}");
                    wire.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
                    assert_eq!(status(&wire.head()), 200);
                    assert_eq!(wire.exactly(path.len()), path.as_bytes());
                }
            });
        }
    });
    eventually("all are recorded", || gateway.metrics.outcomes.get(Good).get() == 400);
}
