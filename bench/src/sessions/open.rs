//! Clients that open sessions, and streams of them.

use super::gateway::{Gateway, PATH};
use crate::Error;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{
    cell::{Cell, RefCell},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Opened at once; the connections of those who open sessions.
const AT_ONCE: usize = 64;
/// Longest head of a stream's answer.
const HEAD_MAX: usize = 8 * 1024;
/// For a stream to open.
const PATIENCE: Duration = Duration::from_secs(30);

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;

/// Initialises `count` sessions; every one must be given an id, which `seen` gets.
pub(super) async fn sessions(gateway: &Gateway, count: u32, seen: impl Fn(String)) -> Result<(), Error> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(AT_ONCE).build(connector);
    let left = Cell::new(count);
    let worker = async || -> Result<(), Error> {
        while let Some(rest) = left.get().checked_sub(1) {
            left.set(rest);
            seen(initialize(&client, gateway).await?);
        }
        Ok(())
    };
    futures_util::future::try_join_all((0..AT_ONCE).map(|_| worker())).await?;
    Ok(())
}

async fn initialize(client: &Client<HttpConnector, Full<Bytes>>, gateway: &Gateway) -> Result<String, Error> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{}{PATH}", gateway.process.address))
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"))
        .body(Full::new(Bytes::from_static(INITIALIZE.as_bytes())))?;
    let response = client.request(request).await?;
    let (status, session) = (response.status(), response.headers().get("mcp-session-id").cloned());
    let body = response.into_body().collect().await?.to_bytes();
    match session {
        Some(session) if status == StatusCode::OK => Ok(session.to_str()?.to_owned()),
        _ => Err(format!("no session: {status} {}", String::from_utf8_lossy(&body)).into()),
    }
}

/// Opens the listening stream of each session, on a connection of its own. They stay open as long as the answer lives.
pub(super) async fn streams(gateway: &Gateway, sessions: Vec<String>) -> Result<Vec<TcpStream>, Error> {
    let (left, open) = (RefCell::new(sessions), RefCell::new(Vec::new()));
    let worker = async || -> Result<(), Error> {
        loop {
            let Some(session) = left.borrow_mut().pop() else { return Ok(()) };
            let stream = tokio::time::timeout(PATIENCE, listen(gateway, &session)).await??;
            open.borrow_mut().push(stream);
        }
    };
    futures_util::future::try_join_all((0..AT_ONCE).map(|_| worker())).await?;
    Ok(open.into_inner())
}

async fn listen(gateway: &Gateway, session: &str) -> Result<TcpStream, Error> {
    let address = gateway.process.address;
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET {PATH} HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\n\
         mcp-session-id: {session}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if head.len() > HEAD_MAX || stream.read_buf(&mut head).await? == 0 {
            return Err(format!("no stream: {}", String::from_utf8_lossy(&head)).into());
        }
    }
    if head.starts_with(b"HTTP/1.1 200 ") {
        return Ok(stream);
    }
    Err(format!("no stream: {}", String::from_utf8_lossy(&head)).into())
}
