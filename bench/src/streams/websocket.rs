//! Clients that hold a WebSocket open.

use super::{
    Held, Kind,
    http::{ACKNOWLEDGED, ANSWER, DISCOVER, INITIALIZE, INITIALIZED, LISTEN},
};
use crate::{Error, sessions::PATH, transports::connect};
use bytes::Bytes;
use holdfast_websocket::Message;
use std::net::SocketAddr;

/// Opens a conversation and says what belongs to its kind.
pub(super) async fn open(address: SocketAddr, kind: Kind) -> Result<Held, Error> {
    let mut socket = connect(address, PATH).await?;
    let (first, awaited) = match kind {
        Kind::WebSocketSession => (INITIALIZE, ANSWER),
        Kind::WebSocketListen => (LISTEN, ACKNOWLEDGED),
        _ => (DISCOVER, ANSWER),
    };
    socket.send(text(first)).await?;
    match socket.next().await? {
        Message::Text(text) if String::from_utf8_lossy(&text).contains(awaited) => {}
        other => return Err(format!("no {awaited:?}: {other:?}").into()),
    }
    if kind == Kind::WebSocketSession {
        socket.send(text(INITIALIZED)).await?;
    }
    Ok(Box::new(socket))
}

fn text(text: &'static str) -> Message {
    Message::Text(Bytes::from_static(text.as_bytes()))
}
