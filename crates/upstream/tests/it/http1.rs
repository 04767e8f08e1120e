//! The wire behaviour of HTTP/1.1: what keeps a connection, what ends it, and what a hostile server achieves.

use crate::{
    server::{Act, Server},
    support::{LONG, Setup, at_rest, call, fails, get, ok, post, text, until},
};
use bytes::Bytes;
use holdfast_resilience::Sent;
use holdfast_upstream::{BoxError, Call, CallBody, CallError, Upstream};
use http::{HeaderValue, Method, header};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// A call whose body is what comes through the channel.
fn streaming() -> (Call, mpsc::Sender<Result<Frame<Bytes>, BoxError>>) {
    let (sender, mut receiver) = mpsc::channel(4);
    let stream = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    let mut call = call(Method::POST, "/");
    call.body = CallBody::Stream(StreamBody::new(stream).boxed_unsync());
    (call, sender)
}

#[expect(clippy::unnecessary_wraps, reason = "as the channel wants it")]
fn data(text: &'static str) -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

/// A server that only listens, and an upstream of it.
async fn raw() -> (TcpListener, Arc<Upstream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, Setup::new([url]).no_breaker().build())
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        let read = tokio::time::timeout(LONG, stream.read_buf(&mut seen)).await.unwrap().unwrap();
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&seen));
    }
    String::from_utf8(seen).unwrap()
}

/// Whether the other side closes, having sent no more than what it had begun.
async fn closes(stream: &mut TcpStream) -> bool {
    let end = async { while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(LONG, end).await.is_ok()
}

#[tokio::test]
async fn a_connection_is_kept_as_long_as_both_sides_want() {
    for (answer, kept) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok", true),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", false),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", false),
        // Bytes that nobody asked for: whose they are cannot be known.
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad",
            false,
        ),
        ("HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n\r\nbad", false),
    ] {
        let server = Server::always(Act::Raw(answer)).await;
        let upstream = Setup::of(&[&server]).build();
        for _ in 0..3 {
            let (status, body) = ok(&upstream, get()).await;
            assert!(status.is_success() && ["ok", ""].contains(&body.as_str()), "{answer:?}: {body}");
        }
        assert_eq!(server.accepted(), if kept { 1 } else { 3 }, "{answer:?}");
        at_rest(&upstream).await;
    }
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_and_keeps_its_connection() {
    let server = Server::always(Act::Raw("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n")).await;
    let upstream = Setup::of(&[&server]).build();
    for _ in 0..3 {
        let reply = upstream.send(call(Method::HEAD, "/")).await.unwrap();
        assert_eq!(reply.response.headers()[header::CONTENT_LENGTH], "500");
        assert_eq!(text(reply).await, "");
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_body_without_a_length_ends_with_its_connection() {
    let (listener, upstream) = raw().await;
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil ").await.unwrap();
        stream.write_all(b"the end").await.unwrap();
    };
    let (answer, ()) = futures_util::join!(ok(&upstream, get()), serve);
    assert_eq!(answer.1, "until the end");
    at_rest(&upstream).await;
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_reaches_no_client() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nx: a\r\n set-cookie: evil\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\rset-cookie: evil\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\nset-cookie: evil\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\0\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "garbage\r\n\r\n",
    ] {
        let server = Server::always(Act::Raw(answer)).await;
        let setup = Setup::of(&[&server]).no_breaker();
        let upstream = setup.build();
        let error = fails(&upstream, post("once")).await;
        assert!(matches!(error, CallError::Reset { sent: Sent::Maybe, .. }), "{answer:?}: {error}");
        assert!(!error.to_string().contains("evil"), "{error}");
        until("the connection is closed", || server.open() == 0).await;
        assert_eq!(server.requests(), 1, "an unsafe request is not repeated");
        assert_eq!(setup.metric(&["attempts", "outcome=\"reset\""]), 1.0);
        at_rest(&upstream).await;
    }
}

#[tokio::test]
async fn a_head_without_end_and_interim_responses_without_end_are_cut_off() {
    let endless_head = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(70_000));
    let endless_interim = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(17);
    for answer in [endless_head, endless_interim] {
        let server = Server::always(Act::Raw(answer.leak())).await;
        let upstream = Setup::of(&[&server]).no_breaker().build();
        let error = fails(&upstream, post("once")).await;
        assert!(matches!(error, CallError::Reset { .. }), "{error}");
        until("the connection is closed", || server.open() == 0).await;
    }
}

#[tokio::test]
async fn bad_chunks_end_the_body_in_an_error_and_the_connection_with_it() {
    for chunks in ["2\r\nok\r\nzz\r\n", "2\r\nok!\r\n0\r\n\r\n", "2\r\nok\r\n0\r\ncontent-length: 5\r\n\r\n"]
    {
        let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
        let server = Server::always(Act::Raw(answer.leak())).await;
        let upstream = Setup::of(&[&server]).no_breaker().build();
        let reply = upstream.send(get()).await.unwrap();
        assert!(reply.response.into_body().collect().await.is_err(), "{chunks:?}");
        until("the connection is closed", || server.open() == 0).await;
        at_rest(&upstream).await;
    }
}

#[tokio::test]
async fn what_came_before_a_break_can_be_flushed_before_the_break_is_told() {
    for act in [Act::HalfBody, Act::CutChunks] {
        let server = Server::always(act).await;
        let upstream = Setup::of(&[&server]).no_breaker().build();
        let mut body = upstream.send(get()).await.unwrap().response.into_body();
        assert!(body.frame().await.unwrap().unwrap().is_data());
        until("the server has closed", || server.open() == 0).await;
        let mut polls = 0;
        let error = std::future::poll_fn(|cx| {
            polls += 1;
            std::pin::Pin::new(&mut body).poll_frame(cx)
        });
        assert!(error.await.unwrap().is_err());
        assert!(polls > 1, "the error overtook what came before it");
        at_rest(&upstream).await;
    }
}

#[tokio::test]
async fn an_answer_that_came_before_its_request_is_nobodys() {
    let (listener, upstream) = raw().await;
    let serve = async {
        let (mut first, _) = listener.accept().await.unwrap();
        read_until(&mut first, "\r\n\r\n").await;
        first.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none").await.unwrap();
        first
    };
    let (answer, mut first) = futures_util::join!(ok(&upstream, get()), serve);
    assert_eq!(answer.1, "one");
    first.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil").await.unwrap();
    let serve = async {
        let (mut second, _) = listener.accept().await.unwrap();
        read_until(&mut second, "once").await;
        second.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ntwo").await.unwrap();
        assert!(closes(&mut first).await);
    };
    let (answer, ()) = futures_util::join!(ok(&upstream, post("once")), serve);
    assert_eq!(answer.1, "two");
}

#[tokio::test]
async fn an_early_answer_stops_the_request_and_its_connection_is_not_used_again() {
    let (listener, upstream) = raw().await;
    let (call, sender) = streaming();
    sender.send(data("first")).await.unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let seen = read_until(&mut stream, "5\r\nfirst\r\n").await;
        assert!(seen.contains("transfer-encoding: chunked\r\n"), "{seen}");
        stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
        assert!(closes(&mut stream).await, "the rest of the body is not waited for");
    };
    let (answer, ()) = futures_util::join!(ok(&upstream, call), serve);
    assert_eq!((answer.0.as_u16(), answer.1.as_str()), (413, "no"));
    assert!(sender.send(data("more")).await.is_err(), "nobody reads the body any more");
    at_rest(&upstream).await;
}

#[tokio::test]
async fn a_server_that_closes_while_we_send_is_still_heard() {
    let (listener, upstream) = raw().await;
    let mut call = call(Method::POST, "/");
    call.body = CallBody::Full(Bytes::from(vec![b'x'; 8 << 20]));
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut some = [0; 100];
        stream.read_exact(&mut some).await.unwrap();
        let answer = b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno";
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
        assert!(closes(&mut stream).await);
    };
    let (answer, ()) = futures_util::join!(ok(&upstream, call), serve);
    assert_eq!((answer.0.as_u16(), answer.1.as_str()), (413, "no"));
}

#[tokio::test]
async fn a_server_may_answer_while_it_reads() {
    let (listener, upstream) = raw().await;
    let (call, sender) = streaming();
    sender.send(data("ping")).await.unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_until(&mut stream, "4\r\nping\r\n").await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npong\r\n")
            .await
            .unwrap();
        read_until(&mut stream, "4\r\nagan\r\n0\r\n\r\n").await;
        stream.write_all(b"4\r\ndone\r\n0\r\n\r\n").await.unwrap();
        stream
    };
    let client = async {
        let mut body = upstream.send(call).await.unwrap().response.into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "pong");
        sender.send(data("agan")).await.unwrap();
        drop(sender);
        body.collect().await.unwrap().to_bytes()
    };
    let (rest, mut stream) = futures_util::join!(client, serve);
    assert_eq!(rest, "done");
    // Both sides came to their ends: the connection is used again.
    let serve = async {
        read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nagain").await.unwrap();
    };
    let (answer, ()) = futures_util::join!(ok(&upstream, get()), serve);
    assert_eq!(answer.1, "again");
}

#[tokio::test]
async fn a_request_body_that_fails_is_the_clients_fault_and_cuts_the_connection() {
    let (listener, upstream) = raw().await;
    let (call, sender) = streaming();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_until(&mut stream, "5\r\nfirst\r\n").await;
        sender.send(Err("the client went away".into())).await.unwrap();
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest).await);
        assert_eq!(rest, b"", "the body must not look as if it were complete");
    };
    sender.send(data("first")).await.unwrap();
    let (error, ()) = futures_util::join!(fails(&upstream, call), serve);
    assert!(matches!(error, CallError::RequestBody { .. }), "{error}");
    at_rest(&upstream).await;
}

#[tokio::test]
async fn a_body_shorter_than_declared_is_never_passed_off_as_whole() {
    let (listener, upstream) = raw().await;
    let (mut call, sender) = streaming();
    call.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("10"));
    sender.send(data("short")).await.unwrap();
    drop(sender);
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(closes(&mut stream).await);
    };
    let (error, ()) = futures_util::join!(fails(&upstream, call), serve);
    assert!(matches!(error, CallError::RequestBody { .. }), "{error}");
}

#[tokio::test]
async fn large_bodies_pass_in_both_directions() {
    let (listener, upstream) = raw().await;
    let payload: Bytes = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let up = payload.clone();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n0\r\n\r\n") {
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", up.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&up).await.unwrap();
        seen
    };
    let mut call = call(Method::POST, "/");
    let pieces: Vec<_> =
        payload.chunks(70_000).map(|piece| Ok(Frame::data(payload.slice_ref(piece)))).collect();
    call.body = CallBody::Stream(StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync());
    let client =
        async { upstream.send(call).await.unwrap().response.into_body().collect().await.unwrap().to_bytes() };
    let (down, seen) = futures_util::join!(client, serve);
    assert_eq!(down, payload);
    let start = seen.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let (mut body, mut rest) = (Vec::new(), &seen[start..]);
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
    assert_eq!(body, payload);
}
