//! The driver over streams in memory: what it gives, what it keeps, how it ends.

mod closing;
mod sending;

use super::{Limits, PONGS_MAX, Reader, Socket};
use crate::{Close, CloseCode, Decoder, Error, Fault, Frame, MaskKey, Message, Role};
use bytes::Bytes;
use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

/// Longest that anything here takes on the paused clock.
const SOON: Duration = Duration::from_secs(5);
const KEY: MaskKey = [1, 2, 3, 4];

fn limits(max_message_bytes: usize, unsent_bytes_max: usize) -> Limits {
    Limits { max_message_bytes, unsent_bytes_max }
}

/// A server and a client that are connected by pipes of `room` bytes.
fn pair(room: usize) -> (Socket<DuplexStream>, Socket<DuplexStream>) {
    let (one, two) = duplex(room);
    (Socket::new(one, Role::Server, Limits::default()), Socket::new(two, Role::Client, Limits::default()))
}

/// A server, and the bare other end of its stream.
fn server(room: usize, limits: Limits) -> (Socket<DuplexStream>, DuplexStream) {
    let (one, two) = duplex(room);
    (Socket::new(one, Role::Server, limits), two)
}

fn text(text: &str) -> Message {
    Message::Text(Bytes::copy_from_slice(text.as_bytes()))
}

fn binary(len: usize) -> Message {
    Message::Binary((0..len).map(|at| at as u8).collect())
}

/// What a client puts on the wire.
fn wire(message: Message) -> Vec<u8> {
    let frame = Frame::new(message, Some(KEY)).unwrap();
    [frame.header(), frame.payload()].concat()
}

/// Polls a future once and drops it.
fn once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Everything that a server has sent until it ended its side.
async fn sent(mut peer: DuplexStream) -> Vec<Message> {
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).await.unwrap();
    let mut decoder = Decoder::new(Role::Client, 1 << 20);
    let mut messages = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        rest = &rest[decoder.push(rest)..];
        while let Some(message) = decoder.decode().unwrap() {
            messages.push(message);
        }
    }
    messages
}

#[tokio::test]
async fn messages_of_every_size_pass_both_ways() {
    let (mut server, client) = pair(1000);
    let echo = tokio::spawn(async move {
        loop {
            match server.next().await.unwrap() {
                Message::Close(_) => break server.close(Close::without_code(), SOON).await.unwrap(),
                message => server.send(message).await.unwrap(),
            }
        }
    });
    let (mut reader, mut writer) = client.split();
    for len in [0, 1, 125, 126, 4000, 4096, 5000, 65_535, 65_536, 300_000] {
        let (sent, came) = tokio::join!(writer.send(binary(len)), reader.next());
        sent.unwrap();
        assert_eq!(came.unwrap(), binary(len), "{len}");
    }
    writer.close(Close::new(CloseCode::NORMAL, "done")).await.unwrap();
    assert_eq!(reader.next().await.unwrap(), Message::Close(Close::new(CloseCode::NORMAL, "")));
    reader.finish(SOON).await.unwrap();
    echo.await.unwrap();
}

#[tokio::test]
async fn a_dropped_next_loses_nothing_wherever_it_stood() {
    let (mut server, mut peer) = server(64, Limits::default());
    let messages = [text("first"), binary(300), Message::Pong("x".into()), binary(9000)];
    let mut came = Vec::new();
    for byte in messages.iter().cloned().flat_map(wire) {
        assert!(once(server.next()).is_pending(), "a message before its last byte");
        peer.write_all(&[byte]).await.unwrap();
        if came.len() < messages.len()
            && let Poll::Ready(message) = once(server.next())
        {
            came.push(message.unwrap());
        }
    }
    assert_eq!(came, messages);
}

#[tokio::test]
async fn a_ping_is_answered_before_it_is_given() {
    let (mut server, mut client) = pair(1000);
    client.ping("now".into()).await.unwrap();
    assert_eq!(server.next().await.unwrap(), Message::Ping("now".into()));
    // Nobody asks the server again.
    assert_eq!(client.next().await.unwrap(), Message::Pong("now".into()));
}

#[tokio::test]
async fn an_end_without_a_close_is_no_close() {
    let (mut socket, mut peer) = server(1000, Limits::default());
    let frame = wire(text("half"));
    peer.write_all(&frame[..5]).await.unwrap();
    drop(peer);
    assert!(matches!(socket.next().await, Err(Error::Ended)));
    assert!(matches!(socket.next().await, Err(Error::Closed)));
    assert!(matches!(socket.send(text("late")).await, Err(Error::Closed)));
}

/// What reads the limits.
fn held(reader: &Reader<DuplexStream>) -> usize {
    reader.decoder.held_bytes()
}

#[tokio::test]
async fn an_idle_connection_holds_no_buffer() {
    let (server, mut peer) = server(100_000, Limits::default());
    let (mut reader, mut writer) = server.split();
    assert!(once(reader.next()).is_pending());
    assert_eq!(held(&reader), 0);
    for message in [text("short"), binary(50_000)] {
        peer.write_all(&wire(message.clone())).await.unwrap();
        assert_eq!(reader.next().await.unwrap(), message);
        writer.send(message).await.unwrap();
        assert!(once(reader.next()).is_pending());
        assert_eq!((held(&reader), writer.unsent()), (0, 0));
    }
}
