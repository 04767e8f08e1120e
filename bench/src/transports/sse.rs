//! A client of HTTP+SSE: one stream for what it hears, one connection for what it says.

use super::{
    Era,
    http::{Connection, post},
    load::{INITIALIZE, INITIALIZED, call, is_answer},
};
use crate::Error;
use bytes::{Buf as _, BytesMut};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub(super) struct Caller {
    stream: TcpStream,
    heard: BytesMut,
    connection: Connection,
    request: Vec<u8>,
}

impl Caller {
    pub(super) async fn open(address: SocketAddr, path: &str, era: Era) -> Result<Self, Error> {
        let mut stream = TcpStream::connect(address).await?;
        let get = format!("GET {path}/sse HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n");
        stream.write_all(get.as_bytes()).await?;
        let connection = Connection::open(address).await?;
        let mut caller = Self { stream, heard: BytesMut::new(), connection, request: Vec::new() };
        let first = caller.event().await?;
        let endpoint = String::from_utf8_lossy(&first)
            .split_once("data: ")
            .and_then(|(_, rest)| Some(rest.lines().next()?.to_owned()))
            .ok_or("the stream names no endpoint")?;
        let json = [("content-type".to_owned(), "application/json".to_owned())];
        if era == Era::Session {
            caller.say(&post(&endpoint, &json, INITIALIZE)).await?;
            caller.event().await?;
            caller.say(&post(&endpoint, &json, INITIALIZED)).await?;
        }
        caller.request = post(&endpoint, &json, &call(1, era));
        Ok(caller)
    }

    async fn say(&mut self, request: &[u8]) -> Result<(), Error> {
        let (status, body) = self.connection.ask(request).await?;
        if status == 202 { Ok(()) } else { Err(format!("{status}: {body:?}").into()) }
    }

    /// The next event that has data, with whatever framed it.
    async fn event(&mut self) -> Result<BytesMut, Error> {
        loop {
            if let Some(end) = self.heard.windows(2).position(|window| window == b"\n\n") {
                let event = self.heard.split_to(end);
                self.heard.advance(2);
                if event.windows(6).any(|window| window == b"data: ") {
                    return Ok(event);
                }
                continue;
            }
            if self.stream.read_buf(&mut self.heard).await? == 0 {
                return Err("the event stream ended".into());
            }
        }
    }

    pub(super) async fn call(&mut self) -> Result<bool, Error> {
        let (status, _) = self.connection.ask(&self.request).await?;
        Ok(status == 202 && is_answer(&self.event().await?))
    }
}
