//! Long answers, which are written without the HTTP library: a client sees no difference but the end of the connection.

use crate::harness::{Client, PIECES, Running, eventually, listener, server};
use std::time::{Duration, Instant};

/// Head and decoded body of everything that came, which must end with the last chunk.
fn decode(answer: &str) -> (String, String) {
    let (head, mut rest) = answer.split_once("\r\n\r\n").expect("a head");
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").expect("the length of a chunk");
        let size = usize::from_str_radix(size, 16).expect("a number");
        let (data, after) = after.split_at(size);
        body.push_str(data);
        rest = after.strip_prefix("\r\n").expect("the end of a chunk");
        if size == 0 {
            assert_eq!(rest, "");
            return (head.to_owned(), body);
        }
    }
}

fn in_flight(edge: &Running) -> u64 {
    edge.metric("holdfast_edge_requests_in_flight{")
}

fn open(edge: &Running, request: &str) -> Client {
    let mut client = edge.connect();
    client.send(format!("{request} HTTP/1.1\r\nhost: t\r\n\r\n"));
    client
}

#[test]
fn a_long_answer_holds_what_any_other_holds_and_closes_its_connection() {
    let edge = Running::plain();
    let mut usual = edge.connect();
    usual.send("GET /pieces HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
    let (usual, expected) = decode(&usual.rest());
    let (long, body) = decode(&open(&edge, "GET /pieces?long").rest());
    assert_eq!(body.len(), PIECES.iter().sum::<usize>());
    assert_eq!(body, expected);
    let fields = |head: &str| {
        let mut fields: Vec<String> =
            head.lines().filter(|line| !line.starts_with("date: ")).map(str::to_owned).collect();
        fields.sort();
        fields
    };
    assert_eq!(fields(&long), fields(&usual));
    assert!(long.contains("\r\ndate: "), "{long}");
}

#[test]
fn it_may_follow_others_on_the_same_connection() {
    let edge = Running::plain();
    let mut client = edge.connect();
    assert_eq!(client.get("/").1, "GET / ");
    client.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 3\r\n\r\nabc");
    assert_eq!(client.response().1, "POST / abc");
    client.send("GET /pieces?long HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(decode(&client.rest()).1.len(), PIECES.iter().sum::<usize>());
}

#[test]
fn a_request_that_came_along_behind_it_is_answered() {
    let edge = Running::plain();
    let mut client = edge.connect();
    client.send("GET /pieces?long HTTP/1.1\r\nhost: t\r\n\r\nGET /last HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
    assert!(client.rest().ends_with("GET /last "));
    let mut body = edge.connect();
    body.send("POST /pieces?long HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: 3\r\n\r\n");
    body.until("\r\n0\r\n\r\n");
}

#[test]
fn what_a_client_says_later_is_ignored_and_takes_nothing_from_the_end() {
    let edge = Running::plain();
    let mut client = open(&edge, "GET /politely?long");
    client.until("hello \r\n");
    client.send("GET / HTTP/1.1\r\nhost: t\r\n\r\n".repeat(10));
    edge.handle.drain();
    assert!(client.rest().ends_with("bye\r\n0\r\n\r\n"));
    assert!(edge.join());
}

#[test]
fn clients_that_cannot_have_it_get_it_from_the_library() {
    let edge = Running::plain();
    let mut old = edge.connect();
    old.send("GET /pieces?long HTTP/1.0\r\nhost: t\r\n\r\n");
    let answer = old.rest();
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && !answer.contains("chunked"));
    let mut head = edge.connect();
    head.send("HEAD /pieces?long HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
    assert!(head.rest().ends_with("\r\n\r\n"));
}

#[test]
fn it_ends_with_its_client() {
    let edge = Running::plain();
    let mut client = open(&edge, "GET /silent?long");
    client.until("first\r\n");
    assert_eq!(in_flight(&edge), 1);
    drop(client);
    eventually("the answer is dropped", || in_flight(&edge) == 0);
    eventually("the connection is closed", || edge.metric("holdfast_edge_connections_open{") == 0);
}

#[test]
fn a_source_that_fails_leaves_an_answer_without_its_end() {
    let edge = Running::plain();
    let answer = open(&edge, "GET /torn?long").rest();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n5\r\nfirst\r\n"), "{answer}");
}

#[test]
fn a_silent_one_is_cut_and_so_is_a_client_that_does_not_read() {
    let mut hasty = server();
    (hasty.stream_idle_timeout, hasty.write_timeout) = (Duration::from_secs(1), Duration::from_secs(1));
    let edge = Running::start(&hasty, &[listener(None)]);
    let mut silent = open(&edge, "GET /silent?long");
    silent.until("first\r\n");
    assert_eq!(silent.rest(), "");
    let _deaf = open(&edge, "GET /flood?long");
    eventually("it is being answered", || in_flight(&edge) == 1);
    eventually("it is cut", || in_flight(&edge) == 0);
}

#[test]
fn a_drain_waits_for_its_end_and_not_for_the_client() {
    let edge = Running::plain();
    let mut client = open(&edge, "GET /politely?long");
    client.until("hello \r\n");
    edge.handle.drain();
    client.until("bye\r\n0\r\n\r\n");
    // It does not close its side.
    let begun = Instant::now();
    assert!(edge.join());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
