//! HTTP+SSE: a stream of events, and an address for messages.

use super::{Board, Body, Say, Way, bare, events, listen};
use holdfast_tests::Result;
use http_body_util::BodyExt as _;
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::mpsc;

#[derive(Default)]
struct Streams {
    all: Mutex<HashMap<String, Way>>,
}

pub(super) async fn start(board: Arc<Board>) -> Result<SocketAddr> {
    let streams = Arc::<Streams>::default();
    listen(move |stream| {
        let (board, streams) = (Arc::clone(&board), Arc::clone(&streams));
        async move {
            let service = service_fn(move |request| {
                let (board, streams) = (Arc::clone(&board), Arc::clone(&streams));
                async move { Ok::<_, Infallible>(answer(&board, &streams, request).await) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await
}

async fn answer(board: &Board, streams: &Streams, request: Request<Incoming>) -> Response<Body> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/sse") => {
            let (way, said) = mpsc::unbounded_channel::<Say>();
            let mut all = streams.all.lock().unwrap_or_else(PoisonError::into_inner);
            let name = all.len().to_string();
            let endpoint = format!("event: endpoint\ndata: /messages?session_id={name}\n\n");
            all.insert(name, way);
            events(endpoint.into(), said)
        }
        (&Method::POST, "/messages") => {
            let name = request.uri().query().and_then(|query| query.strip_prefix("session_id="));
            let way = name.and_then(|name| {
                streams.all.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
            });
            let Some(way) = way else { return bare(StatusCode::NOT_FOUND) };
            let Ok(body) = request.into_body().collect().await else { return bare(StatusCode::BAD_REQUEST) };
            board.hear(body.to_bytes(), way);
            bare(StatusCode::ACCEPTED)
        }
        _ => bare(StatusCode::METHOD_NOT_ALLOWED),
    }
}
