//! A conversation over a WebSocket on a pipe, with the codec's own client at the other end.

use super::carry::{Pulse, carry};
use super::record::Traffic;
use crate::Conversation;
use crate::conversation::testing::{MODERN, json, opening, result};
use bytes::Bytes;
use futures_util::FutureExt as _;
use holdfast_telemetry::metrics::ConversationEnd;
use holdfast_websocket::{CloseCode, Limits, Message, Role, Socket};
use std::{future::pending, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    sync::oneshot,
    task::JoinHandle,
};

const PULSE: Pulse = Pulse { interval: Duration::from_secs(20), write_timeout: Duration::from_mins(1) };
const LIMITS: Limits = Limits { max_message_bytes: 10_000, unsent_bytes_max: 64 << 10 };

struct Line {
    client: DuplexStream,
    run: JoinHandle<(ConversationEnd, Traffic)>,
    leave: oneshot::Sender<()>,
}

/// A server that answers each request after `delay`.
fn line(buffer: usize, delay: Duration) -> Line {
    let (client, server) = duplex(buffer);
    let (opening, _script) = opening(move |seen| {
        let id = serde_json::from_str::<serde_json::Value>(&seen.body).unwrap()["id"].to_string();
        async move {
            tokio::time::sleep(delay).await;
            json(result(&id))
        }
        .boxed()
    });
    let (leave, left) = oneshot::channel::<()>();
    let socket = Socket::new(server, Role::Server, LIMITS);
    let grace = Duration::from_secs(30);
    let left = async {
        // The end of the test is no wish to leave.
        if left.await.is_err() {
            pending::<()>().await;
        }
    };
    let (mut conversation, say, told) = Conversation::new(opening);
    let run = tokio::spawn(async move {
        carry(&mut conversation, (say, told), socket.split(), PULSE, grace, left).await
    });
    Line { client, run, leave }
}

fn text(text: &str) -> Message {
    Message::Text(Bytes::copy_from_slice(text.as_bytes()))
}

async fn close_code(socket: &mut Socket<DuplexStream>) -> Option<u16> {
    loop {
        if let Message::Close(close) = socket.next().await.unwrap() {
            return close.code().map(CloseCode::get);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn messages_go_both_ways_and_a_close_is_answered() {
    let Line { client, run, leave: _leave } = line(1 << 16, Duration::ZERO);
    let mut client = Socket::new(client, Role::Client, Limits::default());
    client.send(text(MODERN)).await.unwrap();
    let Message::Text(answer) = client.next().await.unwrap() else { panic!() };
    assert!(answer.starts_with(br#"{"jsonrpc":"2.0","id":8,"#));
    client
        .close(holdfast_websocket::Close::new(CloseCode::NORMAL, ""), Duration::from_secs(5))
        .await
        .unwrap();
    let (end, traffic) = run.await.unwrap();
    assert_eq!(end, ConversationEnd::Whole);
    assert_eq!(traffic, Traffic { said: MODERN.len() as u64, told: answer.len() as u64 });
}

#[tokio::test(start_paused = true)]
async fn other_kinds_of_frames_and_broken_ones_end_it_with_their_code() {
    let too_big = format!("{{\"a\":\"{}\"}}", "x".repeat(20_000));
    for (message, code) in [(Message::Binary(Bytes::from_static(b"{}")), 1003), (text(&too_big), 1009)] {
        let Line { client, run, leave: _leave } = line(1 << 16, Duration::ZERO);
        let mut client = Socket::new(client, Role::Client, Limits::default());
        client.send(message).await.unwrap();
        assert_eq!(close_code(&mut client).await, Some(code));
        drop(client);
        assert_eq!(run.await.unwrap().0, ConversationEnd::Broken);
    }
    // A frame without a mask, a reserved bit: what "compressed" looks like where nobody agreed on it.
    for wrong in [&[0x81, 2, b'{', b'}'][..], &[0xc1, 0x82, 0, 0, 0, 0, b'{', b'}']] {
        let Line { mut client, run, leave: _leave } = line(1 << 16, Duration::ZERO);
        client.write_all(wrong).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer[2..4], 1002u16.to_be_bytes());
        assert_eq!(run.await.unwrap().0, ConversationEnd::Broken);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_in_many_frames_with_pings_between_them_is_one() {
    let Line { mut client, run: _run, leave: _leave } = line(1 << 16, Duration::ZERO);
    let bytes = MODERN.as_bytes();
    for (at, piece) in bytes.chunks(7).enumerate() {
        let fin = if (at + 1) * 7 >= bytes.len() { 0x80 } else { 0 };
        let opcode = u8::from(at == 0);
        client
            .write_all(&[&[fin | opcode, 0x80 | piece.len() as u8, 0, 0, 0, 0], piece].concat())
            .await
            .unwrap();
        client.write_all(&[0x89, 0x80, 0, 0, 0, 0]).await.unwrap();
    }
    let mut client = Socket::new(client, Role::Client, Limits::default());
    loop {
        match client.next().await.unwrap() {
            Message::Pong(_) => {}
            Message::Text(answer) => return assert!(answer.starts_with(br#"{"jsonrpc":"2.0","id":8,"#)),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_only_answers_pings_is_kept_and_whoever_is_silent_is_not() {
    let Line { client, run, leave: _leave } = line(1 << 16, Duration::ZERO);
    let mut client = Socket::new(client, Role::Client, Limits::default());
    let until = tokio::time::Instant::now() + Duration::from_hours(1);
    let mut pings = 0;
    while let Ok(message) = tokio::time::timeout_at(until, client.next()).await {
        assert!(matches!(message.unwrap(), Message::Ping(_)));
        pings += 1;
    }
    assert!((150..=360).contains(&pings), "{pings} in an hour");
    assert!(!run.is_finished());
    let Line { client: _silent, run, leave: _leave } = line(1 << 16, Duration::ZERO);
    let began = tokio::time::Instant::now();
    assert_eq!(run.await.unwrap().0, ConversationEnd::Broken);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(50) && took <= Duration::from_secs(62), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_answers_what_is_in_flight_and_closes_with_1012() {
    let Line { client, run, leave } = line(1 << 16, Duration::from_secs(3));
    let mut client = Socket::new(client, Role::Client, Limits::default());
    client.send(text(MODERN)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    leave.send(()).unwrap();
    let Message::Text(answer) = client.next().await.unwrap() else { panic!() };
    assert!(answer.starts_with(br#"{"jsonrpc":"2.0","id":8,"#));
    assert_eq!(close_code(&mut client).await, Some(1012));
    client
        .close(holdfast_websocket::Close::new(CloseCode::NORMAL, ""), Duration::from_secs(5))
        .await
        .unwrap();
    assert_eq!(run.await.unwrap().0, ConversationEnd::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_is_closed_and_holds_little() {
    let Line { client, run, leave: _leave } = line(1000, Duration::ZERO);
    let (_deaf, mut writes) = tokio::io::split(client);
    let flood = async {
        for id in 0u32.. {
            let message = MODERN.replace("\"id\":8", &format!("\"id\":{id}"));
            let length = message.len() as u16;
            let head = [&[0x81, 0xfe][..], &length.to_be_bytes(), &[0; 4]].concat();
            if writes.write_all(&[&head[..], message.as_bytes()].concat()).await.is_err() {
                return id;
            }
        }
        0
    };
    let (said, ended) = tokio::join!(flood, run);
    let (end, _) = ended.unwrap();
    assert!(matches!(end, ConversationEnd::Stuck), "{end:?}");
    assert!(said < 5000, "{said} requests were taken from a client that reads no answer");
}
