//! What is known of a client's connection.

use crate::DrainHandle;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// The protocol a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.0 or HTTP/1.1 (RFC 9112).
    Http1,
    /// HTTP/2 (RFC 9113), by ALPN or by prior knowledge.
    Http2,
}

/// What a TLS handshake settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// Server name the client asked for (RFC 6066 section 3).
    pub server_name: Option<Box<str>>,
    /// `TLSv1_2` or `TLSv1_3`.
    pub version: &'static str,
    /// IANA name of the cipher suite.
    pub suite: &'static str,
}

/// One client connection; shared by all its requests.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Who is at the other end of the socket.
    pub peer: SocketAddr,
    /// The client: the source address of the PROXY header where one was read, else the peer's.
    pub client: IpAddr,
    /// Local address the connection came in on.
    pub local: SocketAddr,
    /// Name of the listener.
    pub listener: Arc<str>,
    /// TLS, if the listener speaks it.
    pub tls: Option<TlsInfo>,
    /// Protocol.
    pub http: HttpVersion,
    /// Whether `client` is one of `trusted_proxies`: its forwarding headers are believed.
    pub trusted: Arc<[ipnet::IpNet]>,
    /// Tells streams when to end.
    pub drain: DrainHandle,
}

impl ConnectionInfo {
    /// `https` or `http`, as the socket says.
    pub fn proto(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Whether the hop in front of us is one whose forwarding headers are believed.
    pub fn is_trusted_hop(&self) -> bool {
        self.trusted.iter().any(|net| net.contains(&self.client))
    }
}
