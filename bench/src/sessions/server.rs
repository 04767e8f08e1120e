//! An MCP server of both eras in this process: sessions with ids as long as usual, and listening streams that never say anything.

use crate::Error;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::{
    body::{Body, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    thread::JoinHandle,
};
use tokio::{net::TcpListener, sync::oneshot};

/// Runs until dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// On a free loopback port, in a thread of its own.
    pub(crate) fn start() -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener) => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Dropping the sender ends the thread.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            // A gateway that closes its connection is no event here.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
        });
    }
}

/// A body that never ends and says at most one thing.
struct Silence(Option<Bytes>);

impl Body for Silence {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |first| Poll::Ready(Some(Ok(Frame::data(first)))))
    }
}

type Answer = Response<Either<Full<Bytes>, Silence>>;

async fn answer(request: Request<Incoming>) -> Result<Answer, Infallible> {
    if request.method() == Method::GET {
        return Ok(stream(None));
    }
    let Ok(body) = request.into_body().collect().await else { return Ok(status(StatusCode::BAD_REQUEST)) };
    let message = serde_json::from_slice::<Value>(&body.to_bytes()).unwrap_or_default();
    let Some(id) = message.get("id") else { return Ok(status(StatusCode::ACCEPTED)) };
    let (result, session) = match message["method"].as_str().unwrap_or_default() {
        "subscriptions/listen" => {
            let agreed = json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                "params": { "notifications": { "toolsListChanged": true },
                    "_meta": { "io.modelcontextprotocol/subscriptionId": id } } });
            return Ok(stream(Some(format!("data: {agreed}\n\n").into())));
        }
        "server/discover" => {
            let result = json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
                "ttlMs": 60_000, "cacheScope": "public", "resultType": "complete" });
            (result, None)
        }
        _ => {
            let result = json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "bench", "version": "1" } });
            (result, Some(session()))
        }
    };
    let text = json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string();
    let mut response = Response::new(Either::Left(Full::from(text)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if let Some(session) = session.and_then(|id| header::HeaderValue::try_from(id).ok()) {
        headers.insert("mcp-session-id", session);
    }
    Ok(response)
}

/// An event stream that stays open, with what it says at first.
fn stream(first: Option<Bytes>) -> Answer {
    let mut response = Response::new(Either::Right(Silence(first)));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/event-stream"));
    response
}

/// As long as a UUID.
fn session() -> String {
    let number = format!("{:032x}", fastrand::u128(..));
    [&number[..8], &number[8..12], &number[12..16], &number[16..20], &number[20..]].join("-")
}

fn status(code: StatusCode) -> Answer {
    let mut response = Response::new(Either::Left(Full::default()));
    *response.status_mut() = code;
    response
}
