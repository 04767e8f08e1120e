//! Request smuggling and malformed messages: each gets its answer and the end of its connection, nobody else notices.

use crate::harness::{Client, Running, eventually, listener, server};
use holdfast_config::ByteSize;

const OK: &str = "GET /next HTTP/1.1\r\nhost: t\r\n\r\n";

/// Sends `message`, which must be refused with `status`, and checks that what follows it was never taken for a request.
fn refused(message: &str, status: &str) {
    let edge = Running::plain();
    let mut bystander = edge.connect();
    let mut client = edge.connect();
    client.send(format!("{message}{OK}"));
    let answer = client.rest();
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{message:?} got {answer:?}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer:?}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{message:?}: the rest was served: {answer:?}");
    assert_eq!(bystander.get("/").1, "GET / ");
}

#[test]
fn length_and_encoding_together() {
    refused(
        "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nG",
        "400",
    );
}

#[test]
fn encoding_and_length_together() {
    refused(
        "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\ncontent-length: 6\r\n\r\n0\r\n\r\nG",
        "400",
    );
}

#[test]
fn two_lengths_equal_or_not() {
    refused("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", "400");
    refused("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na", "400");
    refused("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 1, 1\r\n\r\na", "400");
}

#[test]
fn lengths_that_are_no_numbers() {
    for value in ["+1", "-1", "1a", "0x1", "", "18446744073709551616", "1 1"] {
        refused(&format!("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: {value}\r\n\r\na"), "400");
    }
}

#[test]
fn encodings_that_are_not_exactly_chunked() {
    for value in ["xchunked", "chunked, identity", "gzip, chunked", "identity", "chunked\u{b}", "\"chunked\""]
    {
        let head = format!("POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: {value}\r\n\r\n0\r\n\r\n");
        refused(&head, "400");
    }
    refused(
        "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "400",
    );
    refused("POST / HTTP/1.0\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "400");
}

#[test]
fn bare_line_feeds_and_carriage_returns() {
    refused("GET / HTTP/1.1\nhost: t\n\n", "400");
    refused("GET / HTTP/1.1\r\nhost: t\nx: y\r\n\r\n", "400");
    refused("GET / HTTP/1.1\r\nhost: t\rx: y\r\n\r\n", "400");
    refused("\nGET / HTTP/1.1\r\nhost: t\r\n\r\n", "400");
}

#[test]
fn folded_lines_and_spaces_before_the_colon() {
    refused("GET / HTTP/1.1\r\nhost: t\r\n x: y\r\n\r\n", "400");
    refused("POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n", "400");
    refused("POST / HTTP/1.1\r\nhost: t\r\ncontent-length : 1\r\n\r\na", "400");
    refused("POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding\t: chunked\r\n\r\n0\r\n\r\n", "400");
}

#[test]
fn control_bytes_and_broken_lines() {
    refused("GET / HTTP/1.1\r\nhost: t\r\nx: a\0b\r\n\r\n", "400");
    refused("GET / HTTP/1.1\r\nhost: t\r\nx: a\u{7f}b\r\n\r\n", "400");
    refused("GET / HTTP/1.1\r\nhost: t\r\nno colon\r\n\r\n", "400");
    refused("GET / HTTP/1.1\r\nhost: t\r\n: nothing\r\n\r\n", "400");
    refused("GET / x HTTP/1.1\r\nhost: t\r\n\r\n", "400");
    refused("GET / HTTP/2.0\r\nhost: t\r\n\r\n", "400");
    refused("GET / HTTP/1.1\r\n\r\n", "400");
    refused("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "400");
}

#[test]
fn chunks_that_are_none() {
    let head = "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n";
    for chunks in [
        "g\r\n",
        "-1\r\nab\r\n",
        "1\r\nabc\r\n0\r\n\r\n",
        "1\nab\r\n",
        "ffffffffffffffff0\r\n",
        "1 1\r\na\r\n",
        "\r\n",
    ] {
        refused(&format!("{head}{chunks}"), "400");
    }
    refused(&format!("{head}1;{}\r\na\r\n0\r\n\r\n", "x".repeat(5000)), "400");
    refused(&format!("{head}0\r\ncontent-length: 5\r\n\r\n"), "400");
}

#[test]
fn heads_beyond_their_limits_get_431() {
    let mut small = server();
    small.max_header_bytes = ByteSize(4096);
    small.max_headers = 10;
    let edge = Running::start(&small, &[listener(None)]);
    let mut many = edge.connect();
    many.send(format!("GET / HTTP/1.1\r\nhost: t\r\n{}\r\n", "x: y\r\n".repeat(10)));
    assert!(many.rest().starts_with("HTTP/1.1 431 "));
    let mut large = edge.connect();
    large.send(format!("GET / HTTP/1.1\r\nhost: t\r\nx: {}\r\n\r\n", "y".repeat(5000)));
    assert!(large.rest().starts_with("HTTP/1.1 431 "));
    let mut endless = edge.connect();
    endless.send(format!("GET /{}", "y".repeat(5000)));
    assert!(endless.rest().starts_with("HTTP/1.1 431 "));
    let mut fits = edge.connect();
    fits.send(format!("GET / HTTP/1.1\r\nhost: t\r\n{}\r\n", "x: y\r\n".repeat(9)));
    assert_eq!(fits.response().1, "GET / ");
    assert_eq!(
        edge.metric("holdfast_edge_framing_violations_total{listener=\"server\",reason=\"head_too_large\"}"),
        2
    );
}

#[test]
fn a_pipelined_violation_is_answered_after_what_was_sound() {
    let edge = Running::plain();
    let mut client = edge.connect();
    client.send(format!(
        "{OK}POST /two HTTP/1.1\r\nhost: t\r\ncontent-length: 3\r\n\r\nabcGET / HTTP/1.1\nhost: t\r\n\r\n"
    ));
    let all = client.rest();
    let statuses: Vec<_> = all.match_indices("HTTP/1.1 ").map(|(at, _)| &all[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "200", "400"], "{all}");
    assert!(all.contains("POST /two abc"));
}

#[test]
fn sound_messages_pass_in_any_pieces() {
    let edge = Running::plain();
    let mut client = edge.connect();
    let chunked = "POST /c HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 5\r\n\r\n";
    let messages = format!("{OK}{chunked}{OK}");
    for byte in messages.as_bytes() {
        client.send([*byte]);
    }
    assert_eq!(client.response().1, "GET /next ");
    let (head, body) = client.response();
    assert_eq!(body, "POST /c abcde");
    assert!(head.contains("x-sum: 5"), "{head}");
    assert_eq!(client.response().1, "GET /next ");
    client.send(messages);
    assert_eq!([(); 3].map(|()| client.response().1), ["GET /next ", "POST /c abcde", "GET /next "]);
}

#[test]
fn expect_100_is_answered_when_the_body_is_wanted() {
    let edge = Running::plain();
    let mut client = edge.connect();
    client.send("POST /e HTTP/1.1\r\nhost: t\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n");
    assert!(client.until("\r\n\r\n").starts_with("HTTP/1.1 100 "));
    client.send("abc");
    assert_eq!(client.response().1, "POST /e abc");
    client.send("POST /e HTTP/1.1\r\nhost: t\r\ncontent-length: 70000\r\nexpect: 100-continue\r\n\r\n");
    assert!(client.response().0.starts_with("HTTP/1.1 413 "), "the body was asked for");
}

#[test]
fn a_body_beyond_its_limit_gets_413_declared_or_not() {
    let edge = Running::plain();
    let mut client = edge.connect();
    client.send("POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = format!("2000\r\n{}\r\n", "x".repeat(0x2000));
    // More than the limit, less than what is drained after the answer.
    for _ in 0..12 {
        client.send(&chunk);
    }
    client.send("0\r\n\r\n");
    assert!(client.response().0.starts_with("HTTP/1.1 413 "));
}

#[test]
fn an_early_answer_leaves_although_the_body_lies_unread() {
    let edge = Running::plain();
    let mut client = edge.connect();
    client.send("POST /early HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\nabc");
    assert_eq!(client.response().1, "early");
}

#[test]
fn a_flood_of_bad_messages_leaves_others_unharmed() {
    let edge = Running::plain();
    let mut bystander = edge.connect();
    for _ in 0..200 {
        let mut client = edge.connect();
        client.send("GET / HTTP/1.1\nx");
        assert!(client.rest().starts_with("HTTP/1.1 400 "));
        assert_eq!(bystander.get("/").1, "GET / ");
    }
    drop(bystander);
    eventually("all connections are gone", || edge.metric("holdfast_edge_connections_open{") == 0);
    let _ = Client::connect(edge.address());
}
