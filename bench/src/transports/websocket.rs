//! A client of WebSocket.

use super::{
    Era,
    load::{INITIALIZE, INITIALIZED, call, is_answer},
};
use crate::Error;
use bytes::Bytes;
use holdfast_websocket::{Limits, Message, Role, Socket};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Longest head of an answer to an upgrade.
const HEAD_MAX: usize = 8 * 1024;

pub(super) struct Caller {
    socket: Socket<TcpStream>,
    request: Bytes,
}

impl Caller {
    pub(super) async fn open(address: SocketAddr, path: &str, era: Era) -> Result<Self, Error> {
        let mut socket = connect(address, path).await?;
        if era == Era::Session {
            socket.send(Message::Text(Bytes::from_static(INITIALIZE.as_bytes()))).await?;
            socket.next().await?;
            socket.send(Message::Text(Bytes::from_static(INITIALIZED.as_bytes()))).await?;
        }
        Ok(Self { socket, request: call(1, era).into() })
    }

    pub(super) async fn call(&mut self) -> Result<bool, Error> {
        self.socket.send(Message::Text(self.request.clone())).await?;
        loop {
            match self.socket.next().await? {
                Message::Text(text) => return Ok(is_answer(&text)),
                Message::Ping(_) | Message::Pong(_) => {}
                other => return Err(format!("{other:?}").into()),
            }
        }
    }
}

/// A WebSocket whose handshake is done.
pub(crate) async fn connect(address: SocketAddr, path: &str) -> Result<Socket<TcpStream>, Error> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         sec-websocket-protocol: mcp\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    // Nothing comes behind the head before we say something.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD_MAX || stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    if head.starts_with(b"HTTP/1.1 101 ") {
        return Ok(Socket::new(stream, Role::Client, Limits::default()));
    }
    Err(format!("no WebSocket: {}", String::from_utf8_lossy(&head)).into())
}
