//! Streamable HTTP.

use super::{Board, Body, Heard, Say, TAG, bare, event, events, json, listen};
use holdfast_tests::Result;
use http_body_util::BodyExt as _;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::HeaderValue,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, net::SocketAddr, sync::Arc};
use tokio::sync::mpsc;

pub(super) async fn start(board: Arc<Board>) -> Result<SocketAddr> {
    listen(move |stream| {
        let board = Arc::clone(&board);
        async move {
            let service = service_fn(move |request| {
                let board = Arc::clone(&board);
                async move { Ok::<_, Infallible>(answer(&board, request).await) }
            });
            // A connection that breaks is the gateway's to notice.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await
}

async fn answer(board: &Board, request: Request<Incoming>) -> Response<Body> {
    let session = request.headers().get("mcp-session-id");
    let session = session.and_then(|session| session.to_str().ok()).map(str::to_owned);
    match *request.method() {
        Method::POST => post(board, request).await,
        Method::GET => {
            let (way, said) = mpsc::unbounded_channel();
            match session {
                Some(session) if board.tell(&session, Heard::Listening(way)) => {
                    events(Bytes::from_static(b": here\n\n"), said)
                }
                _ => bare(StatusCode::METHOD_NOT_ALLOWED),
            }
        }
        Method::DELETE => bare(StatusCode::NO_CONTENT),
        _ => bare(StatusCode::METHOD_NOT_ALLOWED),
    }
}

async fn post(board: &Board, request: Request<Incoming>) -> Response<Body> {
    let Ok(body) = request.into_body().collect().await else { return bare(StatusCode::BAD_REQUEST) };
    let message = body.to_bytes();
    let (way, mut said) = mpsc::unbounded_channel();
    // The session of a conversation is called as the conversation.
    let tag = String::from_utf8_lossy(&message);
    let tag = tag.find(&*String::from_utf8_lossy(TAG)).and_then(|at| tag.get(at..at + super::TAG_LENGTH));
    let session = tag.and_then(|tag| HeaderValue::from_str(tag).ok());
    board.hear(message.clone(), way);
    match said.recv().await {
        Some(Say::Accepted) => bare(StatusCode::ACCEPTED),
        Some(Say::Json(message)) => json(message),
        Some(Say::Opened(message)) => {
            let mut response = json(message);
            if let Some(session) = session {
                response.headers_mut().insert("mcp-session-id", session);
            }
            response
        }
        Some(Say::Event(message)) => events(event(&message), said),
        None => bare(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
