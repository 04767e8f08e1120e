//! HTTP/2 in clear text (prior knowledge): service, limits, floods, GOAWAY.

use crate::{
    frames::{
        self, CANCEL, CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame,
    },
    harness::{Client, Running, eventually, listener, server},
};
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

/// `:method GET`, `:scheme http`, `:path /`, `:authority t` in HPACK.
const GET: &[u8] = b"\x82\x86\x84\x41\x01t";

async fn connect(edge: &Running) -> (SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let stream = tokio::net::TcpStream::connect(edge.address()).await.expect("connect");
    let (send, connection) = h2::client::handshake(stream).await.expect("handshake");
    (send.ready().await.expect("ready"), tokio::spawn(connection))
}

async fn get(send: &mut SendRequest<Bytes>, path: &str) -> Result<String, h2::Error> {
    let request = Request::get(format!("http://t{path}")).body(()).expect("request");
    let (response, _) = send.send_request(request, true)?;
    let mut body = response.await?.into_body();
    let mut text = String::new();
    while let Some(data) = body.data().await {
        let data = data?;
        text.push_str(&String::from_utf8_lossy(&data));
        body.flow_control().release_capacity(data.len())?;
    }
    Ok(text)
}

fn raw(edge: &Running) -> Client {
    let mut client = edge.connect();
    client.send([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
    client
}

/// Reads frames until the connection ends; returns the error code of the GOAWAY, if one came.
fn goaway(client: &mut Client) -> Option<u32> {
    let mut bytes = Vec::new();
    let mut block = [0; 4096];
    while let Ok(read @ 1..) = client.0.read(&mut block) {
        bytes.extend_from_slice(&block[..read]);
    }
    frames::goaway(&bytes)
}

#[tokio::test]
async fn both_versions_are_served_on_one_port() {
    let edge = Running::plain();
    let (mut send, _connection) = connect(&edge).await;
    let mut other = send.clone();
    let (first, second) = tokio::join!(get(&mut other, "/a"), get(&mut send, "/b"));
    assert_eq!(first.expect("answer"), "GET http://t/a ");
    assert_eq!(second.expect("answer"), "GET http://t/b ");
    assert_eq!(edge.connect().get("/").1, "GET / ");
    // A method that begins like the preface is HTTP/1.
    let mut post = edge.connect();
    post.send("P");
    post.send("OST / HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\n\r\nx");
    assert_eq!(post.response().1, "POST / x");
}

#[test]
fn a_rapid_reset_ends_its_own_connection_only() {
    let edge = Running::plain();
    let mut bystander = edge.connect();
    let mut client = raw(&edge);
    let mut bytes = Vec::new();
    for index in 0..500 {
        let stream = 2 * index + 1;
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, GET));
        bytes.extend(frame(RST_STREAM, 0, stream, &CANCEL));
    }
    let _ = client.0.write_all(&bytes);
    // ENHANCE_YOUR_CALM (RFC 9113 section 7).
    assert_eq!(goaway(&mut client), Some(11));
    assert_eq!(bystander.get("/").1, "GET / ");
    eventually("nothing is left of it", || edge.metric("holdfast_edge_requests_in_flight{") == 0);
}

#[test]
fn a_continuation_flood_ends_its_own_connection_only() {
    let edge = Running::plain();
    let mut bystander = edge.connect();
    let mut client = raw(&edge);
    client.send(frame(HEADERS, END_STREAM, 1, GET));
    // Literal header without indexing, `x: ` and 16000 bytes.
    let mut block = vec![0x00, 0x01, b'x', 0x7f];
    block.extend([0x81, 0x7c]);
    block.extend(vec![b'y'; 127 + 1 + (0x7c << 7)]);
    let block = frame(CONTINUATION, 0, 1, &block);
    let sent = (0..2000).take_while(|_| client.0.write_all(&block).is_ok()).count();
    assert!(sent < 2000, "32 MB of header were taken");
    goaway(&mut client);
    assert_eq!(bystander.get("/").1, "GET / ");
    assert_eq!(edge.handler.requests.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn streams_beyond_the_limit_wait_for_their_turn() {
    let mut small = server();
    small.max_concurrent_streams = 2;
    let edge = Running::start(&small, &[listener(None)]);
    let (send, _connection) = connect(&edge).await;
    // The limit is known once the first answer came.
    assert!(get(&mut send.clone(), "/").await.is_ok());
    let asked: Vec<_> = (0..3)
        .map(|_| {
            let mut send = send.clone();
            tokio::spawn(async move {
                send = send.ready().await?;
                get(&mut send, "/wait").await
            })
        })
        .collect();
    let requests = || edge.handler.requests.load(std::sync::atomic::Ordering::SeqCst);
    let all = futures_util::future::join_all(asked);
    tokio::pin!(all);
    let answers = tokio::time::timeout(Duration::from_secs(20), async {
        // The first answer and two of three.
        while requests() < 3 {
            tokio::task::yield_now().await;
        }
        while edge.metric("holdfast_edge_requests_in_flight{") != 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(requests(), 3, "a third stream was let in");
        loop {
            edge.handler.gate.notify_waiters();
            tokio::select! {
                biased;
                answers = &mut all => break answers,
                () = tokio::task::yield_now() => {}
            }
        }
    });
    for answer in answers.await.expect("in time") {
        assert_eq!(answer.expect("task").expect("answer"), "done");
    }
    assert_eq!(requests(), 4);
}

#[tokio::test]
async fn a_drain_sends_goaway_and_finishes_what_is_under_way() {
    let edge = Running::plain();
    let (mut send, connection) = connect(&edge).await;
    let mut waiting = send.clone();
    let asked = tokio::spawn(async move { get(&mut waiting, "/wait").await });
    while edge.metric("holdfast_edge_requests_in_flight{") < 1 {
        tokio::task::yield_now().await;
    }
    edge.handle.drain();
    // After GOAWAY no new stream can be opened.
    let refused =
        tokio::time::timeout(Duration::from_secs(20), async { while get(&mut send, "/").await.is_ok() {} });
    refused.await.expect("GOAWAY came");
    edge.handler.gate.notify_one();
    assert_eq!(asked.await.expect("task").expect("answer"), "done");
    assert!(connection.await.expect("task").is_ok(), "the connection did not end in order");
    assert!(tokio::task::spawn_blocking(|| edge.join()).await.expect("join"));
}

#[tokio::test]
async fn an_idle_http2_connection_is_told_to_go() {
    let mut short = server();
    short.idle_timeout = Duration::from_millis(100);
    let edge = Running::start(&short, &[listener(None)]);
    let (mut send, connection) = connect(&edge).await;
    assert!(get(&mut send, "/").await.is_ok());
    assert!(connection.await.expect("task").is_ok(), "it was cut without GOAWAY");
}

/// Opens a stream whose body has begun.
fn post(send: &mut SendRequest<Bytes>, path: &str) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
    let request = Request::post(format!("http://t{path}")).body(()).expect("request");
    let (response, mut body) = send.send_request(request, false).expect("a stream");
    body.send_data(Bytes::from_static(b"abc"), false).expect("data");
    (response, body)
}

#[tokio::test]
async fn a_body_that_stalls_ends_its_own_stream_with_408() {
    let mut short = server();
    short.read_timeout = Duration::from_millis(100);
    let edge = Running::start(&short, &[listener(None)]);
    let (mut send, _connection) = connect(&edge).await;
    let waiting = tokio::spawn({
        let mut send = send.clone();
        async move { get(&mut send, "/wait").await }
    });
    let (talking, mut talk) = post(&mut send, "/");
    let (stalled, mut silence) = post(&mut send, "/");
    // The other body is slow as well, but something of it comes all the time.
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    let mut said = 3;
    tokio::pin!(stalled);
    let answer = loop {
        tokio::select! {
            answer = &mut stalled => break answer.expect("an answer"),
            _ = pace.tick() => {
                talk.send_data(Bytes::from_static(b"."), false).expect("data");
                said += 1;
            }
        }
    };
    assert_eq!(answer.status(), 408);
    assert!(!answer.headers().contains_key("connection"), "RFC 9113 section 8.2.2");
    // RFC 9113 section 8.1: the rest of the body is not wanted.
    let reset = std::future::poll_fn(|cx| silence.poll_reset(cx));
    let reason = tokio::time::timeout(Duration::from_secs(20), reset).await.expect("a reset in time");
    assert_eq!(reason.expect("a reason"), h2::Reason::NO_ERROR);
    talk.send_data(Bytes::new(), true).expect("end");
    let mut echoed = talking.await.expect("an answer").into_body();
    let mut length = 0;
    while let Some(data) = echoed.data().await {
        length += data.expect("data").len();
    }
    assert_eq!(length, "POST http://t/ ".len() + said, "the talking stream was harmed");
    edge.handler.gate.notify_one();
    assert_eq!(waiting.await.expect("task").expect("answer"), "done");
    assert_eq!(edge.metric("holdfast_edge_stalls_total{listener=\"server\",kind=\"request_body\"}"), 1);
}

#[tokio::test]
async fn a_body_that_nobody_reads_does_not_stall() {
    let mut short = server();
    short.read_timeout = Duration::from_millis(100);
    let edge = Running::start(&short, &[listener(None)]);
    let (mut send, _connection) = connect(&edge).await;
    let (unread, _body) = post(&mut send, "/wait");
    // By then the sweep has looked at the first one as well.
    let (stalled, _silence) = post(&mut send, "/");
    assert_eq!(stalled.await.expect("an answer").status(), 408);
    edge.handler.gate.notify_one();
    assert_eq!(unread.await.expect("an answer").status(), 200);
}
