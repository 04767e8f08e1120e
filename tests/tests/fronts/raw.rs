//! Clients that do exactly what a test says.

use futures_util::FutureExt as _;
use holdfast_tests::{Error, Result};
use holdfast_websocket::{CloseCode, Limits, Message, Role, Socket};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::HeaderMap,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// Time for one step.
pub(crate) const STEP: Duration = Duration::from_secs(20);

pub(crate) const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"raw","version":"1"}}}"#;
pub(crate) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// A call of a tool without arguments.
pub(crate) fn call(id: u64, tool: &str, arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
    )
}

/// One request on a connection of its own.
pub(crate) async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
    let stream = timeout(STEP, TcpStream::connect(address)).await??;
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.map(drop));
    Ok(timeout(STEP, client.send_request(request)).await??)
}

/// An event stream of HTTP+SSE.
pub(crate) struct Sse {
    body: Incoming,
    pending: String,
    /// Where messages go.
    pub(crate) endpoint: String,
    key: Option<&'static str>,
}

/// One event: its name, its data.
pub(crate) type Event = (String, String);

impl Sse {
    pub(crate) async fn open(address: SocketAddr, path: &str, key: Option<&'static str>) -> Result<Self> {
        let mut request =
            Request::get(path).header("host", address.to_string()).header("accept", "text/event-stream");
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let response = send(address, request.body(Full::default())?).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("GET {path}: {}", response.status()).into());
        }
        let mut sse = Self { key, ..Self::reading(response.into_body()) };
        let (name, data) = sse.next().await?.ok_or("no event")?;
        assert_eq!(name, "endpoint");
        assert!(data.starts_with('/'), "relative to the origin: {data}");
        sse.endpoint = data;
        Ok(sse)
    }

    /// Reads an event stream that names no endpoint.
    pub(crate) fn reading(body: Incoming) -> Self {
        Self { body, pending: String::new(), endpoint: String::new(), key: None }
    }

    /// The next event; `None` at the end. Comments are passed over.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>> {
        self.next_within(STEP).await
    }

    /// The same, with another patience for each piece.
    pub(crate) async fn next_within(&mut self, limit: Duration) -> Result<Option<Event>> {
        loop {
            while let Some(at) = self.pending.find("\n\n") {
                let block: String = self.pending.drain(..at + 2).collect();
                let field = |name: &str| {
                    block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim().to_owned()
                };
                if block.starts_with("retry:") {
                    return Ok(Some(("retry".into(), field("retry:"))));
                }
                if block.contains("data:") {
                    return Ok(Some((field("event:"), field("data:"))));
                }
            }
            match timeout(limit, self.body.frame()).await? {
                None => return Ok(None),
                Some(frame) => {
                    if let Some(data) = frame?.data_ref() {
                        self.pending.push_str(std::str::from_utf8(data)?);
                    }
                }
            }
        }
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> Result<Value> {
        let (name, data) = self.next().await?.ok_or("the stream has ended")?;
        assert_eq!(name, "message", "{data}");
        Ok(serde_json::from_str(&data)?)
    }

    /// Says something at a replica.
    pub(crate) async fn say(&self, address: SocketAddr, text: &str) -> Result<(StatusCode, String)> {
        post(address, &self.endpoint, self.key, text).await
    }

    /// The handshake, at a replica.
    pub(crate) async fn initialize(&mut self, address: SocketAddr) -> Result {
        assert_eq!(self.say(address, INITIALIZE).await?.0, 202);
        assert_eq!(self.message().await?["id"], 1);
        assert_eq!(self.say(address, INITIALIZED).await?.0, 202);
        Ok(())
    }
}

/// A message of an HTTP+SSE client.
pub(crate) async fn post(
    address: SocketAddr,
    path: &str,
    key: Option<&str>,
    text: &str,
) -> Result<(StatusCode, String)> {
    let mut request =
        Request::post(path).header("host", address.to_string()).header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let response = send(address, request.body(Full::new(Bytes::copy_from_slice(text.as_bytes())))?).await?;
    let status = response.status();
    let body = timeout(STEP, response.into_body().collect()).await??.to_bytes();
    Ok((status, String::from_utf8(body.to_vec())?))
}

/// A refused upgrade: its status and headers.
pub(crate) type Refused = (StatusCode, HeaderMap);

/// The stream of a WebSocket whose handshake is done.
pub(crate) async fn upgrade(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<std::result::Result<TokioIo<hyper::upgrade::Upgraded>, Refused>> {
    Ok(shake(address, path, headers).await?.map(|(io, _)| io))
}

/// The same, with the headers of the answer.
async fn shake(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<std::result::Result<(TokioIo<hyper::upgrade::Upgraded>, HeaderMap), Refused>> {
    let stream = TcpStream::connect(address).await?;
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades().map(drop));
    let mut request = Request::get(path)
        .header("host", address.to_string())
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = timeout(STEP, client.send_request(request.body(Empty::<Bytes>::new())?)).await??;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Err((response.status(), response.headers().clone())));
    }
    let told = response.headers().clone();
    Ok(Ok((TokioIo::new(hyper::upgrade::on(&mut response).await?), told)))
}

/// A WebSocket client.
pub(crate) struct Ws(pub(crate) Socket<TokioIo<hyper::upgrade::Upgraded>>);

impl Ws {
    pub(crate) async fn open(address: SocketAddr, path: &str, key: Option<&str>) -> Result<Self> {
        Ok(Self::open_saying(address, path, key, &[]).await?.0)
    }

    /// With more headers; with those of the answer.
    pub(crate) async fn open_saying(
        address: SocketAddr,
        path: &str,
        key: Option<&str>,
        more: &[(&str, &str)],
    ) -> Result<(Self, HeaderMap)> {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let mut headers = vec![("sec-websocket-protocol", "mcp")];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        headers.extend(more);
        let shaken = shake(address, path, &headers).await?;
        let (io, told) = shaken.map_err(|(status, _)| -> Error { format!("upgrade: {status}").into() })?;
        Ok((Self(Socket::new(io, Role::Client, Limits::default())), told))
    }

    pub(crate) async fn say(&mut self, text: &str) -> Result {
        Ok(timeout(STEP, self.0.send(Message::Text(Bytes::copy_from_slice(text.as_bytes())))).await??)
    }

    /// The next message, or the code of the close.
    pub(crate) async fn next(&mut self) -> Result<std::result::Result<Value, u16>> {
        loop {
            match timeout(STEP, self.0.next()).await?? {
                Message::Text(text) => return Ok(Ok(serde_json::from_slice(&text)?)),
                Message::Close(close) => return Ok(Err(close.code().map_or(1005, CloseCode::get))),
                _ => {}
            }
        }
    }

    pub(crate) async fn initialize(&mut self) -> Result {
        self.say(INITIALIZE).await?;
        assert_eq!(self.next().await?.map_err(|code| code.to_string())?["id"], 1);
        self.say(INITIALIZED).await
    }
}
