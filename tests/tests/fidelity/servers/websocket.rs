//! WebSocket: a message is a text frame.

use super::{Board, Body, Say, listen};
use holdfast_tests::Result;
use holdfast_websocket::{Accepted, Limits, Message, Protocols, Role, Socket, accept};
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, net::SocketAddr, sync::Arc};
use tokio::sync::mpsc;

pub(super) async fn start(board: Arc<Board>) -> Result<SocketAddr> {
    listen(move |stream| {
        let board = Arc::clone(&board);
        async move {
            let service = service_fn(move |request| {
                let board = Arc::clone(&board);
                async move { Ok::<_, Infallible>(answer(board, request)) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ = connection.with_upgrades().await;
        }
    })
    .await
}

fn answer(board: Arc<Board>, mut request: Request<Incoming>) -> Response<Body> {
    let upgraded = hyper::upgrade::on(&mut request);
    let head = match accept(&request.into_parts().0, Protocols::Required(&["mcp"])) {
        Ok(Accepted { head, .. }) => {
            tokio::spawn(async move {
                if let Ok(io) = upgraded.await {
                    serve(&board, Socket::new(TokioIo::new(io), Role::Server, Limits::default())).await;
                }
            });
            head
        }
        Err(refusal) => refusal.head(),
    };
    Response::from_parts(head, Empty::new().boxed())
}

async fn serve(board: &Board, socket: Socket<TokioIo<Upgraded>>) {
    let (mut reader, mut writer) = socket.split();
    let (way, mut said) = mpsc::unbounded_channel();
    let read = async {
        while let Ok(message) = reader.next().await {
            match message {
                Message::Text(text) => board.hear(text, way.clone()),
                Message::Close(_) => return,
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => {}
            }
        }
    };
    let write = async {
        while let Some(say) = said.recv().await {
            if let Say::Json(message) | Say::Opened(message) | Say::Event(message) = say
                && writer.send(Message::Text(message)).await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
}
