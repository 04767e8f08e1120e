//! A client of Streamable HTTP, and requests over one connection.

use super::{
    Era,
    load::{call, is_answer},
};
use crate::{Error, rounds};
use bytes::BytesMut;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A connection that carries one request at a time.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::with_capacity(8192) })
    }

    /// Sends a whole request and gives the status and the body of its answer, which must have a length.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Result<(u16, BytesMut), Error> {
        self.stream.write_all(request).await?;
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break self.buffer.split_to(end + 4);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the gateway closed the connection".into());
            }
        };
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let status = head.get(9..12).and_then(|text| text.parse().ok()).ok_or("no status")?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let length: usize = length.ok_or_else(|| format!("an answer without a length: {head}"))?;
        while self.buffer.len() < length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the gateway closed the connection".into());
            }
        }
        Ok((status, self.buffer.split_to(length)))
    }
}

/// A POST of `body`.
pub(super) fn post(path: &str, headers: &[(String, String)], body: &str) -> Vec<u8> {
    let mut lines = String::new();
    for (name, value) in headers {
        lines.extend([name, ": ", value, "\r\n"]);
    }
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{lines}content-length: {length}\r\n\r\n{body}").into()
}

pub(super) struct Caller {
    connection: Connection,
    request: Vec<u8>,
}

impl Caller {
    pub(super) async fn open(address: SocketAddr, path: &'static str, era: Era) -> Result<Self, Error> {
        let like = match era {
            Era::Modern => rounds::modern(path),
            Era::Session => {
                let session =
                    tokio::task::spawn_blocking(move || rounds::open_session(address, path)).await??;
                rounds::legacy(path, &session)
            }
        };
        let request = post(path, &like.headers, &call(1, era));
        Ok(Self { connection: Connection::open(address).await?, request })
    }

    pub(super) async fn call(&mut self) -> Result<bool, Error> {
        let (status, body) = self.connection.ask(&self.request).await?;
        Ok(status == 200 && is_answer(&body))
    }
}
