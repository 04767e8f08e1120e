//! TLS handshakes: so many at once in the whole process, the others in the order they came.
//!
//! A handshake is the dearest thing a stranger can ask for. When a replica dies its clients come to the others at the same
//! moment: their handshakes take turns, so that connections which are open already are answered in between.

use crate::{HttpVersion, TlsInfo, Turns, cell::ConnectionCell, tls::suite_name};
use holdfast_telemetry::{EdgeMetrics, UnderWay};
use rustls::{ServerConfig, server::Acceptor};
use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

/// The whole handshake, its turn included; the sweep ends it after `handshake_timeout`, the wait for its turn included.
///
/// A turn is taken when the client's first message is there to its end: who connects and says nothing takes nobody's place. A client
/// that leaves while it waits is noticed when its turn comes.
pub(crate) async fn handshake(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    turns: &Arc<Turns>,
    cell: &ConnectionCell,
    metrics: &EdgeMetrics,
) -> io::Result<(TlsStream<TcpStream>, TlsInfo, HttpVersion)> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    cell.queued.store(true, Relaxed);
    let turn = turns.take(&metrics.handshakes_waiting).await;
    cell.queued.store(false, Relaxed);
    let under_way = UnderWay::new(&metrics.handshakes_open);
    let stream = hello.into_stream(config).await?;
    drop((under_way, turn));
    metrics.handshakes.inc();
    let (info, http) = describe(&stream);
    Ok((stream, info, http))
}

fn describe(stream: &TlsStream<TcpStream>) -> (TlsInfo, HttpVersion) {
    let (_, session) = stream.get_ref();
    let http = match session.alpn_protocol() {
        Some(b"h2") => HttpVersion::Http2,
        _ => HttpVersion::Http1,
    };
    let info = TlsInfo {
        server_name: session.server_name().map(Into::into),
        version: session.protocol_version().and_then(|version| version.as_str()).unwrap_or("unknown"),
        suite: session.negotiated_cipher_suite().map_or("unknown", |suite| suite_name(suite.suite())),
    };
    (info, http)
}
