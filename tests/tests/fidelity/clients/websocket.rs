//! WebSocket: a message is a text frame.

use super::{Told, connect, request};
use holdfast_tests::Result;
use holdfast_websocket::{Limits, Message, Nonce, Offer, Role, Socket, Writer};
use http_body_util::Full;
use hyper::{Request, body::Bytes, header::HOST, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::task::AbortHandle;

/// See the module.
pub(super) struct WebSocket {
    writer: Writer<TokioIo<Upgraded>>,
    reading: AbortHandle,
}

impl WebSocket {
    pub(super) async fn open(address: SocketAddr, path: &str, told: Told) -> Result<Self> {
        let offer = Offer::new(Nonce::random()?, &["mcp"]);
        let mut upgrade =
            Request::get(path).header(HOST, address.to_string()).body(Full::<Bytes>::default())?;
        upgrade.headers_mut().extend(offer.headers());
        let mut response = request(&mut connect(address).await?, upgrade).await?;
        let upgraded = hyper::upgrade::on(&mut response);
        offer.check(&response.into_parts().0)?;
        let socket = Socket::new(TokioIo::new(upgraded.await?), Role::Client, Limits::default());
        let (mut reader, writer) = socket.split();
        let reading = tokio::spawn(async move {
            while let Ok(message) = reader.next().await {
                match message {
                    Message::Text(text) => drop(told.send(text)),
                    Message::Close(_) => return,
                    Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => {}
                }
            }
        });
        Ok(Self { writer, reading: reading.abort_handle() })
    }

    pub(super) async fn say(&mut self, message: Bytes) -> Result {
        Ok(self.writer.send(Message::Text(message)).await?)
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        self.reading.abort();
    }
}
