//! Accept side: listeners, TLS, limits, timeouts, drain, admin.

use crate::{ByteSize, Secret};
use ipnet::IpNet;
use std::{net::IpAddr, path::PathBuf, time::Duration};

/// Process-wide limits and the defaults of each listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Worker threads, one runtime each. 0 = one per core (default). Needs a restart.
    pub workers: usize,
    /// Open client connections, all listeners together. Default 100000 (001-18).
    pub max_connections: usize,
    /// Open client connections per client address (IPv6 by /64). Default 1000.
    pub max_connections_per_ip: usize,
    /// TLS handshakes under way at once, all listeners together. Default 256.
    pub max_handshakes: usize,
    /// Connections accepted per second, all listeners together. Default 10000.
    pub accept_rate: u32,
    /// Connections accepted at once beyond that rate. Default 1000.
    pub accept_burst: u32,
    /// Time for PROXY header plus TLS handshake, the wait for its turn included. Default 10s.
    pub handshake_timeout: Duration,
    /// Time for a whole request head from its first byte. Default 10s.
    pub header_timeout: Duration,
    /// Longest pause while a request body is expected (progress, not total). Default 30s.
    pub read_timeout: Duration,
    /// Longest pause while a client does not take what is ready for it. Default 30s.
    pub write_timeout: Duration,
    /// Keep-alive: how long a connection without a request stays. Default 75s.
    pub idle_timeout: Duration,
    /// Idle time after which a streaming response (SSE, tunnel) with no byte either way ends. Default 1h.
    pub stream_idle_timeout: Duration,
    /// All header lines together. Default 64KiB.
    pub max_header_bytes: ByteSize,
    /// Header lines. Default 100.
    pub max_headers: usize,
    /// Request body where no route says otherwise. Default 64MiB.
    pub max_body_bytes: ByteSize,
    /// HTTP/2 streams per connection. Default 256.
    pub max_concurrent_streams: u32,
    /// HTTP/2 streams reset by the peer that are still pending before GOAWAY. Default 20 (CVE-2023-44487).
    pub max_pending_resets: usize,
    /// Hops whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed. Default: none.
    pub trusted_proxies: Vec<IpNet>,
    /// `/ready` is 503 and accepting goes on for this long after SIGTERM. Default 15s.
    pub drain_delay: Duration,
    /// Hard stop after listeners closed. Default 300s.
    pub max_drain: Duration,
    /// How often certificate files are looked at. Default 10s.
    pub certificate_reload_interval: Duration,
}

/// One listening socket. Its limits come from [`Server`].
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Unique name, used in metrics and logs. The first is `server`.
    pub name: String,
    /// Address to bind. Default 0.0.0.0.
    pub host: IpAddr,
    /// Port to bind; 0 = any free port, printed at start. Default 8443.
    pub port: u16,
    /// The documented key `protocol`. `websocket`, `http` and `https` all mean the same listener, which speaks
    /// HTTP/1.1, HTTP/2 and WebSocket; `https` demands `tls`.
    pub protocol: ListenerProtocol,
    /// TLS, if configured.
    pub tls: Option<ServerTls>,
    /// PROXY protocol version 2 before anything else: `off` (default) or `required`.
    pub proxy_protocol: ProxyProtocol,
}

/// See [`Listener::protocol`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerProtocol {
    /// HTTP/1.1 and HTTP/2.
    Http,
    /// The same, and TLS must be configured.
    Https,
    /// The same; every listener takes WebSocket upgrades.
    Websocket,
}

/// Whether a listener reads a PROXY v2 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Never.
    Off,
    /// Always, from `trusted_proxies` only; a connection without one is closed.
    Required,
}

/// Server side of TLS.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerTls {
    /// Certificates, chosen by SNI; the first is the default.
    pub certificates: Vec<Certificate>,
    /// Lowest version. Default TLS 1.2.
    pub minimum_version: TlsVersion,
    /// TLS 1.2 suites in order of preference, by OpenSSL or IANA name. Empty = the library's. TLS 1.3 stays on.
    pub preferred_ciphers: Vec<String>,
}

/// A certificate chain and its key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Chain, leaf first.
    pub cert_file: PathBuf,
    /// Private key.
    pub key_file: PathBuf,
}

/// TLS versions that can be the minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// The admin port (DESIGN 2.3).
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// Off = no admin port. Default on.
    pub enabled: bool,
    /// Address. Default 127.0.0.1. On another address only `/metrics`, `/healthz`, `/ready`, `/health` answer.
    pub host: IpAddr,
    /// Port. Default 9090 (`observability.metrics.port` is the same field).
    pub port: u16,
    /// Bearer token for `/status`, `/` and every mutation. Default: none, so those need `unix_socket`.
    pub token: Option<Secret>,
    /// Unix socket on which everything answers without a token (mode 0600). Default: none.
    pub unix_socket: Option<PathBuf>,
}
