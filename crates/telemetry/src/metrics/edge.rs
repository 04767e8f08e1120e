//! The accept side.

use super::{Counter, Gauge, Label, Metric, PerLabel, Registry, Scope, label::label};

label! {
    /// Why a connection was closed before its first request.
    pub enum RefusedConnection {
        /// `server.max_connections`.
        MaxConnections => "max_connections",
        /// `server.max_connections_per_ip`.
        PerIp => "max_connections_per_ip",
        /// `server.max_handshakes` were under way for all of `server.handshake_timeout`.
        MaxHandshakes => "max_handshakes",
        /// A PROXY v2 header is missing, malformed or not from a trusted hop.
        ProxyHeader => "proxy_header",
        /// Out of file descriptors or memory.
        Resources => "resources",
    }
}

label! {
    /// Why a TLS handshake failed.
    pub enum TlsFailure {
        /// The peer's messages or its offer were not acceptable.
        Protocol => "protocol",
        /// `server.handshake_timeout`.
        Timeout => "timeout",
        /// The peer went away.
        Closed => "closed",
    }
}

label! {
    /// What was wrong with an HTTP/1 message.
    pub enum FramingViolation {
        /// `Content-Length` and `Transfer-Encoding` together (RFC 9112 6.1).
        LengthAndChunked => "length_and_chunked",
        /// Several or differing `Content-Length` (RFC 9112 6.3).
        BadLength => "bad_length",
        /// A transfer coding that is not exactly `chunked`.
        BadTransferEncoding => "bad_transfer_encoding",
        /// A line that ends without CR (RFC 9112 2.2).
        BareLf => "bare_lf",
        /// A folded header line (RFC 9112 5.2).
        ObsFold => "obs_fold",
        /// Malformed chunk framing (RFC 9112 7.1).
        BadChunk => "bad_chunk",
        /// A malformed request line or header line.
        BadHead => "bad_head",
        /// `server.max_header_bytes`.
        HeadTooLarge => "head_too_large",
        /// `server.max_headers`.
        TooManyHeaders => "too_many_headers",
    }
}

label! {
    /// Which wait for a client ran out.
    pub enum Stall {
        /// `server.header_timeout`.
        Head => "head",
        /// `server.read_timeout`.
        RequestBody => "request_body",
        /// `server.write_timeout`.
        Response => "response",
        /// `server.idle_timeout`: the usual end of a kept connection.
        Idle => "idle",
        /// `server.stream_idle_timeout`.
        Stream => "stream",
    }
}

label! {
    /// Phases of shutting down.
    pub enum DrainPhase {
        /// Not shutting down.
        Serving => "serving",
        /// `/ready` says no, accepting goes on.
        Unready => "unready",
        /// Listeners are closed, connections end.
        Closing => "closing",
        /// Done.
        Stopped => "stopped",
    }
}

/// Handles of one listener.
#[derive(Debug)]
pub struct EdgeMetrics {
    /// Connections open now.
    pub connections_open: Gauge,
    /// Connections accepted.
    pub accepted: Counter,
    /// Connections refused.
    pub refused: PerLabel<RefusedConnection, Counter>,
    /// Handshakes completed.
    pub handshakes: Counter,
    /// Handshakes under way.
    pub handshakes_open: Gauge,
    /// Connections that wait for a handshake.
    pub handshakes_waiting: Gauge,
    /// Pauses in accepting.
    pub accept_pauses: Counter,
    /// Handshakes failed.
    pub tls_failures: PerLabel<TlsFailure, Counter>,
    /// Messages refused by the framing guard.
    pub framing: PerLabel<FramingViolation, Counter>,
    /// Connections closed for want of progress.
    pub stalls: PerLabel<Stall, Counter>,
    /// Requests in flight.
    pub in_flight: Gauge,
    _scope: Scope,
}

impl EdgeMetrics {
    /// Handles of a listener, by its name.
    pub fn new(registry: &Registry, listener: &str) -> Self {
        let mut scope = registry.scope();
        Self {
            connections_open: scope.gauge(Metric::EdgeConnectionsOpen, &[listener]),
            accepted: scope.counter(Metric::EdgeConnections, &[listener]),
            refused: scope.counters(Metric::EdgeConnectionsRefused, &[listener]),
            handshakes: scope.counter(Metric::EdgeHandshakes, &[listener]),
            handshakes_open: scope.gauge(Metric::EdgeHandshakesOpen, &[listener]),
            handshakes_waiting: scope.gauge(Metric::EdgeHandshakesWaiting, &[listener]),
            accept_pauses: scope.counter(Metric::EdgeAcceptPauses, &[listener]),
            tls_failures: scope.counters(Metric::EdgeTlsFailures, &[listener]),
            framing: scope.counters(Metric::EdgeFraming, &[listener]),
            stalls: scope.counters(Metric::EdgeStalls, &[listener]),
            in_flight: scope.gauge(Metric::EdgeRequestsInFlight, &[listener]),
            _scope: scope,
        }
    }

    /// Handles of one certificate of a listener, named by its file.
    pub fn certificate(registry: &Registry, listener: &str, file: &str) -> CertificateMetrics {
        let mut scope = registry.scope();
        CertificateMetrics {
            expiry: scope.gauge(Metric::CertificateExpiry, &[listener, file]),
            reload_failures: scope.counter(Metric::CertificateReloadFailures, &[listener, file]),
            _scope: scope,
        }
    }
}

/// Handles of one certificate.
#[derive(Debug)]
pub struct CertificateMetrics {
    /// `notAfter`, seconds since 1970.
    pub expiry: Gauge,
    /// Changed files that could not be used.
    pub reload_failures: Counter,
    _scope: Scope,
}

/// Handles of the process as a whole.
#[derive(Debug)]
pub struct ProcessMetrics {
    drain: PerLabel<DrainPhase, Gauge>,
    _scope: Scope,
}

impl ProcessMetrics {
    /// Handles; the phase starts as [`DrainPhase::Serving`].
    pub fn new(registry: &Registry) -> Self {
        let mut scope = registry.scope();
        let metrics = Self { drain: scope.gauges(Metric::DrainPhase, &[]), _scope: scope };
        metrics.set_drain_phase(DrainPhase::Serving);
        metrics
    }

    /// Records the phase.
    pub fn set_drain_phase(&self, phase: DrainPhase) {
        for (label, gauge) in self.drain.iter() {
            gauge.set(i64::from(label.index() == phase.index()));
        }
    }
}
