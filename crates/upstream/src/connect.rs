//! Opening connections.
//!
//! The seam is [`Connector`]: from a place to an open HTTP connection. [`TcpConnector`] opens sockets, and speaks HTTP/1.1
//! by our own codec and HTTP/2 by hyper's.

use crate::{
    BoxError,
    connection::{Connection, Http2},
    h1::Http1,
    io::{Io, Stream, Tcp},
    out_body::OutBody,
    pool::Pool,
    slots::Slot,
    tls::TlsClient,
};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Probes the peer of a silent connection after this long, so that a vanished host is noticed under a quiet stream.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// Pause between HTTP/2 pings, and how long their answer may take (RFC 9113 section 6.7).
const H2_PING_INTERVAL: Duration = Duration::from_secs(20);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Flow control windows of HTTP/2 (RFC 9113 section 6.9): enough for 1 Gbit/s over 16 ms on one stream.
const H2_STREAM_WINDOW: u32 = 2 * 1024 * 1024;
const H2_CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// Where and how to connect.
pub(crate) struct Place {
    /// Tried in this order; more than one only for `localhost`.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) tls: Option<(TlsClient, ServerName<'static>)>,
    pub(crate) http2: Http2Use,
}

/// Which versions to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http2Use {
    /// By ALPN over TLS.
    Negotiate,
    Never,
    Always,
}

/// What a new connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Requests,
    /// HTTP/1.1 that can be handed over after a 101.
    Upgrade,
}

/// Why there is no connection. Nothing of a request was sent.
#[derive(Debug)]
pub(crate) enum ConnectError {
    Tcp(BoxError),
    Tls(BoxError),
}

type Connecting<'a> = Pin<Box<dyn Future<Output = Result<Connection, ConnectError>> + Send + 'a>>;

/// Opens an HTTP connection. The slot goes with the socket; cancel safe. The caller sets the deadline.
pub(crate) trait Connector: Send + Sync {
    fn connect<'a>(
        &'a self,
        place: &'a Place,
        purpose: Purpose,
        pool: &'a Arc<Pool>,
        slot: Slot,
    ) -> Connecting<'a>;
}

/// Connections over TCP and TLS. HTTP/1.1 runs in the task of its request, HTTP/2 in one on the runtime that opened it.
pub(crate) struct TcpConnector;

impl Connector for TcpConnector {
    fn connect<'a>(
        &'a self,
        place: &'a Place,
        purpose: Purpose,
        pool: &'a Arc<Pool>,
        slot: Slot,
    ) -> Connecting<'a> {
        Box::pin(async move {
            let stream = open(place, purpose).await?;
            let http2 = purpose == Purpose::Requests
                && match place.http2 {
                    Http2Use::Always => true,
                    Http2Use::Never => false,
                    Http2Use::Negotiate => stream.negotiated_http2(),
                };
            let io = Io::new(stream, Some(slot));
            if http2 { speak_http2(io, pool).await } else { Ok(Connection::Http1(Http1::new(io))) }
        })
    }
}

/// TCP, and TLS where the place asks for it. Also what probes use.
pub(crate) async fn open(place: &Place, purpose: Purpose) -> Result<Stream, ConnectError> {
    let tcp = Tcp::new(open_tcp(&place.addresses).await.map_err(ConnectError::Tcp)?);
    let Some((client, name)) = &place.tls else { return Ok(Stream::Plain(tcp)) };
    let plain_only = purpose == Purpose::Upgrade || place.http2 == Http2Use::Never;
    let config = if plain_only { &client.http1 } else { &client.any };
    let connector = TlsConnector::from(Arc::clone(config));
    let tls = connector.connect(name.clone(), tcp).await.map_err(|error| ConnectError::Tls(error.into()))?;
    Ok(Stream::Tls(Box::new(tls)))
}

/// The first address that accepts.
pub(crate) async fn open_tcp(addresses: &[SocketAddr]) -> Result<TcpStream, BoxError> {
    let mut last: BoxError = "no address".into();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(tcp) => {
                tcp.set_nodelay(true)?;
                SockRef::from(&tcp).set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEPALIVE))?;
                return Ok(tcp);
            }
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

async fn speak_http2(io: Io, pool: &Arc<Pool>) -> Result<Connection, ConnectError> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .keep_alive_interval(H2_PING_INTERVAL)
        .keep_alive_timeout(H2_PING_TIMEOUT)
        .handshake::<_, OutBody>(TokioIo::new(io))
        .await
        .map_err(|error| ConnectError::Tcp(error.into()))?;
    let streams_max = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
    let told = Arc::clone(&streams_max);
    let mut connection = connection;
    tokio::spawn(poll_fn(move |cx| {
        let polled = Pin::new(&mut connection).poll(cx);
        // SETTINGS may have changed it (RFC 9113 section 6.5.2).
        told.store(connection.current_max_send_streams(), Ordering::Relaxed);
        polled.map(drop)
    }));
    pool.add_http2(&Http2::new(sender, streams_max))
        .ok_or_else(|| ConnectError::Tcp("the server closed the HTTP/2 connection at once".into()))
}
