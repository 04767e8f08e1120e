use super::*;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use std::{convert::Infallible, path::Path, sync::Arc};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: t\r\n\r\n";

fn guard() -> Guard {
    Guard::new(1024, 16)
}

fn violation(input: &str) -> Option<Violation> {
    let mut guard = guard();
    guard.feed(input.as_bytes());
    guard.violation()
}

#[test]
fn positions_follow_the_message() {
    let mut guard = guard();
    assert_eq!(guard.position(), Position::Between);
    assert_eq!(guard.feed(b"POST / HT"), 0);
    assert_eq!(guard.position(), Position::Head);
    let head = b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 3\r\n\r\n";
    assert_eq!(guard.feed(head), head.len());
    assert_eq!(guard.position(), Position::Body);
    assert_eq!(guard.feed(b"abc"), 3);
    assert_eq!((guard.position(), guard.heads()), (Position::Between, 1));
}

#[test]
fn a_line_that_is_too_long_is_nothing_else() {
    let head = format!("GET / HTTP/1.1\r\nx: {}\nhost: t\r\n\r\n", "y".repeat(1024));
    assert_eq!(violation(&head), Some(Violation::HeadTooLarge), "not the bare LF that follows");
    fuzz_guard(head.as_bytes());
}

#[test]
fn nothing_passes_between_an_upgrade_and_its_answer() {
    let upgrade = b"GET / HTTP/1.1\r\nhost: t\r\nupgrade: x\r\n\r\nrest";
    let mut granted = guard();
    assert_eq!(granted.feed(upgrade), upgrade.len() - 4);
    assert_eq!((granted.feed(b"rest"), granted.position()), (0, Position::Undecided));
    granted.tunnel();
    assert_eq!(granted.feed(b"rest\n\0"), 6);
    let mut denied = guard();
    denied.feed(upgrade);
    denied.resume();
    assert_eq!(denied.feed(GET), GET.len());
    let mut old = guard();
    old.feed(b"GET / HTTP/1.0\r\nupgrade: x\r\n\r\n");
    assert_eq!(old.position(), Position::Between, "HTTP/1.0 cannot upgrade (RFC 9110 section 7.8)");
}

#[test]
fn sound_bytes_in_front_of_a_violation_pass() {
    let mut guard = guard();
    let input = [GET, b"GET / HTTP/1.1\nhost: t\r\n\r\n"].concat();
    assert_eq!(guard.feed(&input), GET.len());
    assert_eq!(guard.violation(), Some(Violation::BareLf));
    assert_eq!(guard.feed(GET), 0, "a violation is final");
}

#[test]
fn limits_are_met_exactly() {
    let of = |bytes: usize| format!("GET / HTTP/1.1\r\nhost: t\r\nx: {}\r\n\r\n", "y".repeat(bytes - 32));
    assert_eq!(of(1024).len(), 1024);
    assert_eq!(violation(&of(1024)), None);
    assert_eq!(violation(&of(1025)), Some(Violation::HeadTooLarge));
    let lines = |count: usize| format!("GET / HTTP/1.1\r\nhost: t\r\n{}\r\n", "x: y\r\n".repeat(count - 1));
    assert_eq!(violation(&lines(16)), None);
    assert_eq!(violation(&lines(17)), Some(Violation::TooManyHeaders));
}

#[test]
fn a_control_byte_is_found_wherever_it_is_in_a_head_and_only_there() {
    let head =
        format!("GET / HTTP/1.1\r\nhost: t\r\nx: {}\r\ny: {}\r\n\r\n", "a".repeat(40), "b".repeat(700));
    let values =
        [head.find("aa").expect("x")..head.find("\r\ny").expect("y"), head.len() - 400..head.len() - 4];
    for (bad, expected) in
        [(b'\r', Violation::BareCr), (b'\0', Violation::ControlByte), (0x7f, Violation::ControlByte)]
    {
        for at in values.iter().cloned().flatten() {
            let mut broken = head.clone().into_bytes();
            broken[at] = bad;
            // A lone LF behind the head must not make up for a lone CR in it.
            broken.extend_from_slice(b"\n\n");
            let mut guard = guard();
            assert_eq!((guard.feed(&broken), guard.violation()), (0, Some(expected)), "{bad} at {at}");
        }
    }
    let mut guard = guard();
    let with_body = head.replace("host: t", "host: t\r\ncontent-length: 4") + "\0\r\x7f\n";
    assert_eq!((guard.feed(with_body.as_bytes()), guard.violation()), (with_body.len(), None));
}

#[test]
fn every_violation_has_its_own_reason() {
    let mut reasons: Vec<_> = Violation::ALL.iter().map(|violation| violation.reason()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons.len(), Violation::ALL.len());
}

#[test]
fn the_corpora_are_replayed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (folder, run) in [("guard", fuzz_guard as fn(&[u8])), ("proxy_v2", crate::fuzz_proxy_v2)] {
        let files: Vec<_> = std::fs::read_dir(root.join(folder)).expect("corpus").collect();
        assert!(files.len() >= 5, "{folder} has only {} seeds", files.len());
        for file in files {
            run(&std::fs::read(file.expect("entry").path()).expect("seed"));
        }
    }
}

/// What hyper makes of `input`: method, path and body of each request it served.
async fn hyper_sees(input: Vec<u8>) -> Vec<(String, Option<Bytes>)> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let service = service_fn(move |request: Request<Incoming>| {
        let noted = Arc::clone(&noted);
        async move {
            let name = format!("{} {}", request.method(), request.uri());
            let body = request.into_body().collect().await.ok().map(http_body_util::Collected::to_bytes);
            noted.lock().push((name, body));
            Ok::<_, Infallible>(Response::new(http_body_util::Empty::<Bytes>::new()))
        }
    });
    let server = hyper::server::conn::http1::Builder::new()
        .header_read_timeout(None)
        .half_close(true)
        .serve_connection(TokioIo::new(far), service);
    let client = async move {
        let (mut read, mut write) = tokio::io::split(near);
        let send = async move {
            let _ = write.write_all(&input).await;
            let _ = write.shutdown().await;
        };
        let mut sink = Vec::new();
        let _ = tokio::join!(send, read.read_to_end(&mut sink));
    };
    let _ = tokio::join!(server, client);
    let seen = seen.lock();
    seen.clone()
}

fn header() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("host: t\r\n".to_owned()),
        Just("content-length: 3\r\n".to_owned()),
        Just("Content-Length:3 \r\n".to_owned()),
        Just("content-length: 0\r\n".to_owned()),
        Just("content-length: 03\r\n".to_owned()),
        Just("transfer-encoding: chunked\r\n".to_owned()),
        Just("Transfer-Encoding:\tChunked\r\n".to_owned()),
        Just("transfer-encoding: gzip\r\n".to_owned()),
        Just("connection: close\r\n".to_owned()),
        Just("expect: 100-continue\r\n".to_owned()),
        Just(" folded: x\r\n".to_owned()),
        Just("x: y\n".to_owned()),
        "[a-zA-Z-]{1,8}: [ -~]{0,8}\r\n",
    ]
}

fn body() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("abc".to_owned()),
        Just("3\r\nabc\r\n0\r\n\r\n".to_owned()),
        Just("03;x=y\r\nabc\r\n00\r\nx-t: 1\r\n\r\n".to_owned()),
        Just("3 \r\nabc\r\n0\r\n\r\n".to_owned()),
        Just("3\r\nabcd\r\n0\r\n\r\n".to_owned()),
        Just("A\r\n0123456789\r\n0\r\n\r\n".to_owned()),
    ]
}

fn message() -> impl Strategy<Value = String> {
    let methods = prop_oneof![Just("GET"), Just("POST"), Just("OPTIONS")];
    let versions = prop_oneof![4 => Just("1.1"), 1 => Just("1.0")];
    (methods, versions, proptest::collection::vec(header(), 0..4), body()).prop_map(
        |(method, version, headers, body)| {
            format!("{method} /x HTTP/{version}\r\nhost: t\r\n{}\r\n{body}", headers.concat())
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_passes_is_framed_by_hyper_in_the_same_way(messages in proptest::collection::vec(message(), 1..4)) {
        let input = messages.concat().into_bytes();
        let mut guard = Guard::new(4096, 16);
        let passed = guard.feed(&input);
        let clean = guard.violation().is_none() && guard.position() == Position::Between;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        let seen = runtime.block_on(hyper_sees(input[..passed].to_vec()));
        // hyper stops after `connection: close` and HTTP/1.0; it must never see more than the guard saw.
        prop_assert!(seen.len() <= guard.heads() as usize, "{:?} from {:?}", seen, messages);
        let closes = messages.iter().any(|m| m.contains("connection: close") || m.contains("HTTP/1.0"));
        if clean && !closes {
            prop_assert_eq!(seen.len(), guard.heads() as usize, "{:?} from {:?}", seen, messages);
        }
        if clean {
            prop_assert!(seen.iter().all(|(_, body)| body.is_some()), "{:?} from {:?}", seen, messages);
        }
    }

    #[test]
    fn the_verdict_does_not_depend_on_how_bytes_are_cut(messages in proptest::collection::vec(message(), 1..4)) {
        fuzz_guard(messages.concat().as_bytes());
    }

    #[test]
    fn no_bytes_panic(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_guard(&input);
        fuzz_guard(&[GET, &input].concat());
        fuzz_guard(&[b"POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n", &input[..]].concat());
    }
}
