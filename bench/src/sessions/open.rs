//! Clients that open sessions.

use super::gateway::{Gateway, PATH};
use crate::Error;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::cell::Cell;

/// Opened at once; the connections of those who open sessions.
const AT_ONCE: usize = 64;

pub(crate) const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;

/// Initialises `count` sessions; every one must be given an id, which `seen` gets.
pub(super) async fn sessions(gateway: &Gateway, count: u32, seen: impl Fn(String)) -> Result<(), Error> {
    let client = client(AT_ONCE);
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

/// A client that keeps so many connections.
pub(crate) fn client(connections: usize) -> Client<HttpConnector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).pool_max_idle_per_host(connections).build(connector)
}

/// Begins a session, which must be given an id.
pub(crate) async fn initialize(
    client: &Client<HttpConnector, Full<Bytes>>,
    gateway: &Gateway,
) -> Result<String, Error> {
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
