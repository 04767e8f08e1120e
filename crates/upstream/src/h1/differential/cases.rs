//! Cases with a name: what servers do, and what attackers do.

use super::{Script, run, tell};
use crate::h1::{
    chunks::{EXTENSION_BYTES_MAX, TRAILER_BYTES_MAX},
    fault::Fault,
    response::{HEAD_BYTES_MAX, INTERIM_MAX},
};
use http::Method;

/// Both must tell the same, whatever that is. Cut in many ways.
const SAME: [&str; 44] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 299 Any Thing\r\nX-A: 1\r\nx-b: 2\r\nX-a: 3\r\ncontent-length: 1\r\n\r\nx",
    "HTTP/1.1 200 OK\r\nx-empty:\r\nx-space: \t a b \t\r\nx-latin: \u{e9}\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\nuntil the end",
    "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\n\r\n",
    "HTTP/1.0 200 OK\r\n\r\nold",
    "HTTP/1.0 200 OK\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\nold",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n1;name=value\r\nx\r\n0;last\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3  \r\nabc\r\n000\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\nx-b:\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello",
    "HTTP/1.1 304 Not Modified\r\ncontent-length: 500\r\netag: x\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 102 Processing\r\ncontent-length: 5\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "",
    "HTTP/1.1 200 OK\r\ncontent-le",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n\r\nhello!",
    "HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nhello",
    "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nx : a\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n",
    "HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
];

/// Ours refuses, with this fault; hyper lets it through, as it may or because it is a user agent's library. The table of
/// `docs/decisions/0008` says why.
const STRICTER: [(&str, Fault); 15] = [
    (
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Fault::LengthAndEncoding,
    ),
    ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello", Fault::DuplicateLength),
    ("HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello", Fault::DuplicateLength),
    ("HTTP/1.1 204 X\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n", Fault::DuplicateLength),
    ("HTTP/1.1 304 X\r\ncontent-length: x\r\n\r\n", Fault::BadLength),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Fault::Encoding),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nxyz", Fault::Encoding),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Fault::Encoding,
    ),
    ("HTTP/1.1 200 OK\ncontent-length: 2\n\nok", Fault::BareLf),
    ("\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Fault::Head),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;\0\r\nx\r\n0\r\n\r\n", Fault::ChunkExtension),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n00000000000000001\r\nx\r\n0\r\n\r\n",
        Fault::ChunkSize,
    ),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\ncontent-length: 5\r\n\r\n", Fault::Trailer),
    ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nhost: x\r\n\r\n", Fault::Trailer),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\ntransfer-encoding: x\r\n\r\n",
        Fault::Trailer,
    ),
];

#[test]
fn both_tell_the_same() {
    for text in SAME {
        let length = text.len();
        let script = Script::new(Method::GET, text);
        let by_byte: Vec<_> = (0..length).collect();
        for cuts in [&[][..], &[1], &[length / 2], &[length.saturating_sub(1)], &[9, 17, 19, 30], &by_byte] {
            let (hyper, ours, fault) = run(tell(&script.cut(cuts)));
            assert_eq!(ours, hyper, "{text:?} cut at {cuts:?}: {fault:?}");
        }
    }
}

#[test]
fn both_tell_the_same_of_an_answer_to_head() {
    for fields in ["content-length: 500\r\n", "transfer-encoding: chunked\r\n", "", "connection: close\r\n"] {
        let script = Script::new(Method::HEAD, &format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
        for cuts in [&[][..], &[20]] {
            let (hyper, ours, fault) = run(tell(&script.cut(cuts)));
            assert!(ours.is_whole());
            assert_eq!(ours, hyper, "{fields:?}: {fault:?}");
        }
    }
}

#[test]
fn ours_is_stricter_where_the_decision_record_says_so() {
    for (text, fault) in STRICTER {
        let script = Script::new(Method::GET, text);
        for cuts in [&[][..], &[7, 25, 40]] {
            let (hyper, ours, why) = run(tell(&script.cut(cuts)));
            assert!(hyper.is_whole(), "hyper refuses it as well: {text:?}: {hyper:?}");
            assert!(!ours.is_whole(), "{text:?}");
            assert_eq!(why, Some(fault), "{text:?}");
        }
    }
}

#[test]
fn ours_has_limits_that_hyper_has_not_or_has_elsewhere() {
    let long = "y".repeat(HEAD_BYTES_MAX);
    let interim = "HTTP/1.1 103 X\r\n\r\n".repeat(usize::from(INTERIM_MAX) + 1);
    for (text, fault) in [
        (format!("HTTP/1.1 200 OK\r\nx: {long}\r\ncontent-length: 0\r\n\r\n"), Fault::HeadTooLarge),
        (format!("{interim}HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), Fault::TooManyInterim),
    ] {
        let (hyper, ours, why) = run(tell(&Script::new(Method::GET, &text)));
        assert!(hyper.is_whole() && !ours.is_whole());
        assert_eq!(why, Some(fault));
    }
    // These two are hyper's own, to the byte.
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for extra in [0, 100] {
        let extension = "e".repeat(EXTENSION_BYTES_MAX as usize - 50 + extra);
        let trailer = "t".repeat(TRAILER_BYTES_MAX - 50 + extra);
        for text in [
            format!("{chunked}1;{extension}\r\nx\r\n0\r\n\r\n"),
            format!("{chunked}0\r\nx: {trailer}\r\n\r\n"),
        ] {
            let (hyper, ours, why) = run(tell(&Script::new(Method::GET, &text)));
            assert_eq!(ours, hyper, "{why:?}");
            assert_eq!(ours.is_whole(), extra == 0);
        }
    }
}
