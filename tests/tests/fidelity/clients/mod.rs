//! Clients that say what a test says and hear bytes.

mod events;
mod http;
mod sse;
mod stdio;
mod websocket;

use crate::rules::Transport;
use holdfast_tests::{Result, gateway::Gateway};
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};

/// Time for one step.
pub(crate) const STEP: Duration = Duration::from_secs(30);

/// What a message's headers say of it, where its transport has headers.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    /// A method of 2026-07-28.
    pub(crate) modern: Option<String>,
    /// What `Mcp-Name` names.
    pub(crate) name: Option<String>,
    /// What other headers mirror.
    pub(crate) params: Vec<(&'static str, String)>,
    /// The version that was agreed upon.
    pub(crate) version: Option<&'static str>,
}

/// Where messages for the client come out.
type Told = UnboundedSender<Bytes>;

enum Carrier {
    Http(http::Http),
    Sse(sse::Sse),
    WebSocket(Box<websocket::WebSocket>),
    Stdio(Box<stdio::Stdio>),
}

/// A client of one conversation. Dropped, it goes away.
pub(crate) struct Client {
    carrier: Carrier,
    told: UnboundedReceiver<Bytes>,
}

impl Client {
    /// Connects to a server of the gateway; over stdio to a gateway of its own, with this `mcp` block.
    pub(crate) async fn open(
        transport: Transport,
        gateway: &Gateway,
        mcp: &str,
        server: Transport,
    ) -> Result<Self> {
        let (tell, told) = unbounded_channel();
        let (address, path) = (gateway.address, format!("/mcp/{}", server.name()));
        let carrier = match transport {
            Transport::Http => Carrier::Http(http::Http::new(address, path, tell)),
            Transport::Sse => Carrier::Sse(sse::Sse::open(address, &path, tell).await?),
            Transport::WebSocket => {
                Carrier::WebSocket(Box::new(websocket::WebSocket::open(address, &path, tell).await?))
            }
            Transport::Stdio => Carrier::Stdio(Box::new(stdio::Stdio::open(mcp, server.name(), tell)?)),
        };
        Ok(Self { carrier, told })
    }

    /// Says a message. What comes of it is heard by [`next`](Self::next).
    pub(crate) async fn say(&mut self, message: Bytes, about: &About) -> Result {
        match &mut self.carrier {
            Carrier::Http(http) => {
                http.say(message, about);
                Ok(())
            }
            Carrier::Sse(sse) => timeout(STEP, sse.say(message)).await?,
            Carrier::WebSocket(websocket) => timeout(STEP, websocket.say(message)).await?,
            Carrier::Stdio(stdio) => timeout(STEP, stdio.say(message)).await?,
        }
    }

    /// Listens for what nobody asked for, where that is a step of its own.
    pub(crate) fn listen(&self, about: &About) {
        if let Carrier::Http(http) = &self.carrier {
            http.listen(about);
        }
    }

    /// Goes away as its transport wants it.
    pub(crate) async fn leave(self) -> Result {
        if let Carrier::Http(http) = &self.carrier {
            http.leave().await?;
        }
        Ok(())
    }

    /// The next message for the client.
    pub(crate) async fn next(&mut self) -> Result<Bytes> {
        match timeout(STEP, self.told.recv()).await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err("the client's connection has ended".into()),
            Err(_) => Err(format!("nothing came to the client within {STEP:?}").into()),
        }
    }
}

/// A connection for requests.
async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = timeout(STEP, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}

/// One request on a connection that is new or was used before.
async fn request(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>> {
    Ok(timeout(STEP, sender.send_request(request)).await??)
}
