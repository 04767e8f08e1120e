//! One connection from accept to its end.

use crate::{
    ConnectionInfo, DrainHandle, Handler, HttpVersion, Phase, TlsInfo, Turns,
    caps::{CapReached, ConnectionPermit},
    cell::{ConnectionCell, Verdict, Waiting},
    count,
    forwarded::is_trusted,
    guard::Guard,
    handover::{Home, Offer},
    handshake::handshake,
    io::GuardedIo,
    long::Long,
    proxy_v2::{self, Source},
    service::{Serving, answer},
    settings::{Limits, ListenerSettings},
    sniff::{PREFACE, sniff},
};
use holdfast_telemetry::{
    EdgeMetrics,
    metrics::{RefusedConnection, TlsFailure},
};
use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// hyper's own number of header lines, for which its parser needs no allocation.
const DEFAULT_MAX_HEADERS: usize = 100;
/// A silent HTTP/2 peer is asked for a sign of life, and given up without one.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Streams this side resets (protocol errors of the peer) before the connection ends.
const MAX_LOCAL_RESETS: usize = 64;
/// Bytes of response that one HTTP/2 stream may buffer here.
const MAX_SEND_BUFFER_BYTES: usize = 256 * 1024;

/// An accepted socket with everything its life needs.
pub(crate) struct Accepted<H> {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) listener: Arc<str>,
    pub(crate) settings: ListenerSettings,
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Arc<EdgeMetrics>,
    /// Of all handshakes of the process.
    pub(crate) handshakes: Arc<Turns>,
    pub(crate) drain: DrainHandle,
    pub(crate) handler: Arc<H>,
    pub(crate) cell: Arc<ConnectionCell>,
    pub(crate) permit: ConnectionPermit,
}

/// Why a connection ended before HTTP began.
#[derive(Debug, thiserror::Error)]
enum Unserved {
    #[error("no PROXY header from a trusted hop: {0}")]
    Proxy(std::io::Error),
    #[error("a connection limit is reached")]
    Cap(CapReached),
    #[error("TLS handshake failed: {0}")]
    Tls(std::io::Error),
    #[error("the client left before its first request: {0}")]
    Sniff(#[from] std::io::Error),
}

/// Runs a connection. Ends when the connection does, or when the sweep cuts it. What a connection is accepted with is in a box, and what
/// it does in others: each future that it moves through would keep room for it for as long as the connection is open.
pub(crate) async fn run<H: Handler>(accepted: Box<Accepted<H>>) {
    let cell = Arc::clone(&accepted.cell);
    let metrics = Arc::clone(&accepted.metrics);
    let peer = accepted.peer;
    let work = pin!(begin(accepted));
    let outcome = Watched { cell: &cell, work, waker: None }.await;
    match outcome {
        // The socket's wrapper closes the cell when it goes: a tunnel may still hold it.
        Some(Ok(())) => {}
        Some(Err(error)) => {
            cell.close();
            error.count(&metrics);
            tracing::debug!(%peer, %error, "connection not served");
        }
        None => {
            cell.close();
            if cell.queued.load(Relaxed) {
                metrics.refused.inc(RefusedConnection::MaxHandshakes);
                tracing::debug!(%peer, "server.max_handshakes were under way for all of server.handshake_timeout");
                return;
            }
            if cell.is_waiting_for(Waiting::Handshake) {
                metrics.tls_failures.inc(TlsFailure::Timeout);
            }
            tracing::debug!(%peer, "connection cut");
        }
    }
}

impl Unserved {
    fn count(&self, metrics: &EdgeMetrics) {
        match self {
            Self::Proxy(_) => metrics.refused.inc(RefusedConnection::ProxyHeader),
            Self::Cap(CapReached::Total) => metrics.refused.inc(RefusedConnection::MaxConnections),
            Self::Cap(CapReached::PerIp) => metrics.refused.inc(RefusedConnection::PerIp),
            Self::Tls(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                metrics.tls_failures.inc(TlsFailure::Protocol);
            }
            Self::Tls(_) => metrics.tls_failures.inc(TlsFailure::Closed),
            Self::Sniff(_) => {}
        }
    }
}

async fn begin<H: Handler>(mut accepted: Box<Accepted<H>>) -> Result<(), Unserved> {
    let client =
        if accepted.settings.proxy_required { read_proxy(&mut accepted).await? } else { accepted.peer };
    accepted.permit.claim(client.ip()).map_err(Unserved::Cap)?;
    let Some(tls) = accepted.settings.tls.clone() else {
        accepted.cell.wait_for(Waiting::Idle);
        let seen = sniff(&mut accepted.stream, &accepted.cell).await?;
        let http = if seen.starts_with(PREFACE) { HttpVersion::Http2 } else { HttpVersion::Http1 };
        let (plain, stream) = accepted.split();
        plain.serve(stream, client, seen, None, http).await;
        return Ok(());
    };
    let turns = Arc::clone(&accepted.handshakes);
    let (plain, stream) = accepted.split();
    let shaking = handshake(stream, Arc::clone(&tls.config), &turns, &plain.cell, &plain.metrics);
    let (stream, info, http) = Box::pin(shaking).await.map_err(Unserved::Tls)?;
    plain.serve(stream, client, Vec::new(), Some(info), http).await;
    Ok(())
}

async fn read_proxy<H>(accepted: &mut Accepted<H>) -> Result<SocketAddr, Unserved> {
    if !is_trusted(accepted.peer.ip(), &accepted.limits.trusted) {
        let untrusted = std::io::Error::other("the peer is not one of trusted_proxies");
        return Err(Unserved::Proxy(untrusted));
    }
    match proxy_v2::read(&mut accepted.stream).await.map_err(Unserved::Proxy)? {
        Source::Peer => Ok(accepted.peer),
        Source::Client(client) => Ok(client),
    }
}

/// [`Accepted`] without its socket.
struct Plain<H> {
    peer: SocketAddr,
    local: SocketAddr,
    listener: Arc<str>,
    limits: Arc<Limits>,
    metrics: Arc<EdgeMetrics>,
    drain: DrainHandle,
    handler: Arc<H>,
    cell: Arc<ConnectionCell>,
    permit: ConnectionPermit,
}

impl<H> Accepted<H> {
    fn split(self) -> (Plain<H>, TcpStream) {
        let Self { stream, peer, local, listener, limits, metrics, drain, handler, cell, permit, .. } = self;
        (Plain { peer, local, listener, limits, metrics, drain, handler, cell, permit }, stream)
    }
}

impl<H: Handler> Plain<H> {
    fn serve<S>(
        self,
        stream: S,
        client: SocketAddr,
        seen: Vec<u8>,
        tls: Option<TlsInfo>,
        http: HttpVersion,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { peer, local, listener, limits, metrics, drain, handler, cell, permit } = self;
        let info = Arc::new(ConnectionInfo {
            peer,
            client: client.ip().to_canonical(),
            local,
            listener,
            tls,
            http,
            trusted: Arc::clone(&limits.trusted),
            drain: drain.clone(),
        });
        cell.wait_for(Waiting::Idle);
        let counted = Arc::clone(&metrics);
        let on_violation = Box::new(move |violation| counted.framing.inc(count::framing(violation)));
        let offer = Offer::default();
        let serving = Arc::new(Serving { handler, info, cell: Arc::clone(&cell), metrics, offer });
        let service = {
            let serving = Arc::clone(&serving);
            service_fn(move |request| answer(Arc::clone(&serving), request))
        };
        if http == HttpVersion::Http2 {
            cell.http2.store(true, Relaxed);
            let io = GuardedIo::new(stream, seen, None, Arc::clone(&cell), permit, on_violation);
            let connection = http2_builder(&limits).serve_connection(TokioIo::new(io), service);
            let mut connection = Box::pin(connection);
            return Box::pin(async move {
                Driven { connection: connection.as_mut(), cell: &cell, drain: &drain, told: false }.await;
            });
        }
        let guard = Guard::new(limits.max_header_bytes, limits.max_headers);
        let io = GuardedIo::new(stream, seen, Some(guard), cell, permit, on_violation);
        let (home, io) = Home::lend(io);
        let connection = http1_builder(&limits).serve_connection(TokioIo::new(io), service).with_upgrades();
        Box::pin(serve_http1(serving, home, Box::pin(connection), drain))
    }
}

/// Serves requests until one has a long answer; that one is written without the library, and nothing comes after it.
async fn serve_http1<H: Handler, S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    serving: Arc<Serving<H>>,
    home: Arc<Home<GuardedIo<S>>>,
    mut connection: Pin<Box<impl Graceful>>,
    drain: DrainHandle,
) {
    let mut driven =
        Driven { connection: connection.as_mut(), cell: &serving.cell, drain: &drain, told: false };
    let taken = poll_fn(|cx| {
        while Pin::new(&mut driven).poll(cx).is_pending() {
            if !serving.offer.is_made() {
                return Poll::Pending;
            }
            if serving.cell.is_at_rest() {
                return Poll::Ready(serving.offer.take());
            }
            // It holds what would be lost with it.
            serving.offer.decline();
        }
        Poll::Ready(None)
    });
    let Some(response) = taken.await else { return };
    home.call();
    drop(connection);
    if let Some(io) = home.take() {
        Box::pin(Long::new(*io, response)).await;
    }
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // The sweep enforces the deadline; hyper would arm a timer per request. `pipeline_flush` stays off: with it a response waits
    // in the buffer for as long as bytes of a request body lie unread, and an early or interleaved answer would never leave.
    builder.header_read_timeout(None).max_buf_size(limits.buffer_bytes());
    if limits.max_headers != DEFAULT_MAX_HEADERS {
        builder.max_headers(limits.max_headers);
    }
    builder
}

fn http2_builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_pending_accept_reset_streams(limits.max_pending_resets)
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(MAX_SEND_BUFFER_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// A connection that can be asked to end after what is under way.
trait Graceful: Future {
    fn end_gracefully(self: Pin<&mut Self>);
}

impl<I, S, B> Graceful for http1::UpgradeableConnection<I, S>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn end_gracefully(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, B, E> Graceful for http2::Connection<I, S, E>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    fn end_gracefully(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Polls a connection and passes the drain on to it.
struct Driven<'a, C> {
    connection: Pin<&'a mut C>,
    cell: &'a ConnectionCell,
    drain: &'a DrainHandle,
    told: bool,
}

impl<C: Graceful> Future for Driven<'_, C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        // First what has arrived: a request that beat the drain is served.
        if this.connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if this.told {
            return Poll::Pending;
        }
        let http2 = this.cell.http2.load(Relaxed);
        let idle = this.cell.verdict() == Verdict::DrainIdle;
        let closing = this.drain.phase() >= Phase::Closing;
        // HTTP/1 between requests waits for the sweep: a busy client is not cut off in the moment of its next request.
        if !(idle || (closing && (http2 || this.cell.in_flight() > 0))) {
            return Poll::Pending;
        }
        this.told = true;
        this.connection.as_mut().end_gracefully();
        this.connection.as_mut().poll(cx).map(|_| ())
    }
}

/// Polls a connection's work and lets the sweep end it. `None` = cut.
struct Watched<'a, F> {
    cell: &'a ConnectionCell,
    work: Pin<&'a mut F>,
    waker: Option<Waker>,
}

impl<F: Future> Future for Watched<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if !this.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            this.waker = Some(cx.waker().clone());
            this.cell.waker.register(cx.waker());
        }
        if this.cell.verdict() == Verdict::Cut {
            return Poll::Ready(None);
        }
        this.work.as_mut().poll(cx).map(Some)
    }
}
