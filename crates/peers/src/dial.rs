//! From an address to a replica that is known: TCP, the channel, HTTP/2, hello.

use crate::{
    channel::{ChannelError, Credential},
    hello::{HELLO_BYTES_MAX, Hello},
    shared::{Confined, Confinement, HEADERS_BYTES_MAX, STREAM_WINDOW, Shared, Task},
    table::Sender,
    wire,
};
use bytes::Bytes;
use holdfast_telemetry::metrics::PeerDial;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{net::TcpStream, sync::oneshot};

/// A connection to a replica. It ends when this is dropped.
pub(crate) struct Dialled {
    pub(crate) hello: Hello,
    pub(crate) sender: Sender,
    pub(crate) credential: Credential,
    /// Resolves when the connection is lost, with why.
    pub(crate) lost: oneshot::Receiver<Box<str>>,
    pub(crate) connection: (Task, Confinement),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("{0}")]
    Channel(#[from] ChannelError),
    #[error("the other side does not speak our protocol: {0}")]
    Http(#[from] hyper::Error),
    #[error("the other side does not greet as we do")]
    Hello,
}

impl DialError {
    pub(crate) fn result(&self) -> PeerDial {
        match self {
            Self::Connect(_) => PeerDial::Connect,
            Self::Channel(error) if error.is_credential() => PeerDial::Credential,
            Self::Channel(_) | Self::Http(_) | Self::Hello => PeerDial::Protocol,
        }
    }
}

/// Dials. Has no deadline of its own: its caller drops it. Dropping it leaves nothing behind.
pub(crate) async fn dial(
    shared: &Arc<Shared>,
    address: SocketAddr,
    host: &str,
) -> Result<Dialled, DialError> {
    let tcp = TcpStream::connect(address).await.map_err(DialError::Connect)?;
    tcp.set_nodelay(true).map_err(DialError::Connect)?;
    let (io, credential) = shared.in_use.load_full().channel.connect(tcp, host).await?;
    let settings = shared.settings.load_full();
    let (executor, confinement) = Confined::new(&shared.control);
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(executor)
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(settings.connection_window())
        .max_header_list_size(HEADERS_BYTES_MAX)
        .max_send_buf_size(STREAM_WINDOW as usize)
        .handshake(TokioIo::new(io))
        .await?;
    let (ended, lost) = oneshot::channel();
    let task = shared.spawn(async move {
        let why =
            connection.await.err().map_or_else(|| "it was closed".to_owned(), |error| error.to_string());
        // Nobody listens any more when the link let go of the connection itself.
        let _ = ended.send(why.into());
    });
    let hello = greet(shared, &mut sender).await?;
    Ok(Dialled { hello, sender, credential, lost, connection: (task, confinement) })
}

async fn greet(shared: &Shared, sender: &mut Sender) -> Result<Hello, DialError> {
    let request = request(wire::HELLO, shared.hello().to_bytes().into()).ok_or(DialError::Hello)?;
    let response = sender.send_request(request).await?;
    if !response.status().is_success() {
        return Err(DialError::Hello);
    }
    let body = Limited::new(response.into_body(), HELLO_BYTES_MAX).collect().await;
    let bytes = body.map_err(|_| DialError::Hello)?.to_bytes();
    Hello::parse(&bytes).ok_or(DialError::Hello)
}

/// A message. The authority means nothing; HTTP/2 wants one.
pub(crate) fn request(path: &'static str, body: Bytes) -> Option<Request<Full<Bytes>>> {
    let uri = http::Uri::builder().scheme("https").authority("peer").path_and_query(path).build().ok()?;
    Request::builder().method(Method::POST).uri(uri).body(Full::new(body)).ok()
}
