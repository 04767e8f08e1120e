//! Clients that hold an HTTP response open.

use super::{Client, Held, Kind};
use crate::{Error, sessions::PATH};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// More is no beginning of a stream.
const BEGINNING_MAX: usize = 16 * 1024;

pub(super) const INITIALIZE: &str = crate::sessions::open::INITIALIZE;
pub(super) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
pub(super) const DISCOVER: &str = r#"{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
pub(super) const LISTEN: &str = r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
/// What the first message of a listen holds.
pub(super) const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
/// What an answer holds.
pub(super) const ANSWER: &str = "\"result\":";

/// A request that is answered; then the connection is left alone.
pub(super) async fn ask_once(address: SocketAddr) -> Result<Held, Error> {
    let (stream, _) = begin(address, &post("server/discover", DISCOVER), ANSWER).await?;
    Ok(Box::new(stream))
}

/// The listening stream of a session.
pub(super) async fn get(address: SocketAddr, session: &str) -> Result<Held, Error> {
    let head = format!("mcp-protocol-version: 2025-11-25\r\nmcp-session-id: {session}\r\n");
    let (stream, _) = begin(address, &get_request(PATH, &head), "\r\n\r\n").await?;
    Ok(Box::new(stream))
}

/// A subscription.
pub(super) async fn listen(address: SocketAddr) -> Result<Held, Error> {
    let (stream, _) = begin(address, &post("subscriptions/listen", LISTEN), ACKNOWLEDGED).await?;
    Ok(Box::new(stream))
}

/// An HTTP+SSE conversation; what it says goes over `client`.
pub(super) async fn sse(client: &Client, address: SocketAddr, kind: Kind) -> Result<Held, Error> {
    let (mut stream, seen) = begin(address, &get_request(&format!("{PATH}/sse"), ""), "\n\n").await?;
    let endpoint = seen.split_once("data: ").and_then(|(_, rest)| rest.lines().next());
    let endpoint = endpoint.ok_or("the stream names no endpoint")?.to_owned();
    let (first, awaited) = match kind {
        Kind::SseSession => (INITIALIZE, ANSWER),
        Kind::SseListen => (LISTEN, ACKNOWLEDGED),
        _ => (DISCOVER, ANSWER),
    };
    say(client, address, &endpoint, first).await?;
    read_until(&mut stream, String::new(), awaited).await?;
    if kind == Kind::SseSession {
        say(client, address, &endpoint, INITIALIZED).await?;
    }
    Ok(Box::new(stream))
}

async fn say(
    client: &Client,
    address: SocketAddr,
    endpoint: &str,
    message: &'static str,
) -> Result<(), Error> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{address}{endpoint}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from_static(message.as_bytes())))?;
    let response = client.request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    if status == StatusCode::ACCEPTED {
        return Ok(());
    }
    Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into())
}

fn get_request(path: &str, head: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n{head}\r\n")
}

fn post(method: &str, body: &str) -> String {
    format!(
        "POST {PATH} HTTP/1.1\r\nhost: localhost\r\naccept: application/json, text/event-stream\r\n\
         content-type: application/json\r\nmcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends a request on a connection of its own, and reads until the answer is good and holds `awaited`.
async fn begin(address: SocketAddr, request: &str, awaited: &str) -> Result<(TcpStream, String), Error> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let seen = read_until(&mut stream, String::new(), "\r\n\r\n").await?;
    if !seen.starts_with("HTTP/1.1 200 ") {
        return Err(format!("no stream: {seen}").into());
    }
    let (_, body) = seen.split_once("\r\n\r\n").unwrap_or_default();
    let body = if awaited == "\r\n\r\n" {
        String::new()
    } else {
        read_until(&mut stream, body.to_owned(), awaited).await?
    };
    Ok((stream, body))
}

/// Reads on from `seen` until it holds `awaited`.
pub(super) async fn read_until(stream: &mut TcpStream, seen: String, awaited: &str) -> Result<String, Error> {
    let mut seen = seen.into_bytes();
    while !seen.windows(awaited.len()).any(|window| window == awaited.as_bytes()) {
        if seen.len() > BEGINNING_MAX || stream.read_buf(&mut seen).await? == 0 {
            return Err(format!("no {awaited:?}: {}", String::from_utf8_lossy(&seen)).into());
        }
    }
    Ok(String::from_utf8(seen)?)
}
