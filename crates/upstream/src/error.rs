//! What can go wrong with a call, and what that means on the wire.

use crate::{BoxError, EndpointKey};
use holdfast_resilience::Sent;
use http::StatusCode;
use std::{fmt, net::IpAddr, time::Duration};

/// Seconds told to a client when a queue of ours is full: long enough for the queue to turn over.
const FULL_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a call has no response. Every variant names who failed; [`CallError::sent`] says whether a server may have
/// processed the request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The set is empty, drained, or everything in it was tried without anything to report.
    #[error("upstream `{upstream}` has no endpoint to try: {reason}")]
    NoEndpoint {
        /// Name of the upstream.
        upstream: Box<str>,
        /// Why.
        reason: &'static str,
        /// When asking again makes sense.
        retry_after: Option<Duration>,
    },
    /// Every breaker refuses, and policy forbids to ignore that.
    #[error("every endpoint of upstream `{upstream}` is refused by its breaker")]
    Refused {
        /// Name of the upstream.
        upstream: Box<str>,
        /// When the first breaker lets a probe through.
        retry_after: Option<Duration>,
    },
    /// The endpoint a call was pinned to is no longer part of the upstream. Nothing was sent.
    #[error("endpoint `{endpoint}` is no longer part of upstream `{upstream}`")]
    PinnedGone {
        /// Name of the upstream.
        upstream: Box<str>,
        /// The pin.
        endpoint: EndpointKey,
    },
    /// No connection. Nothing was sent.
    #[error("cannot connect to `{endpoint}`: {source}")]
    Connect {
        /// Endpoint of the last attempt.
        endpoint: EndpointKey,
        /// Cause.
        source: BoxError,
    },
    /// No TLS session. Nothing was sent.
    #[error("TLS handshake with `{endpoint}` failed: {source}")]
    Tls {
        /// Endpoint of the last attempt.
        endpoint: EndpointKey,
        /// Cause.
        source: BoxError,
    },
    /// The address rules forbid this address. Nothing was sent.
    #[error(
        "`{endpoint}` is at {address}, a link-local or metadata address; set `routing.block_link_local: false` to allow it"
    )]
    Forbidden {
        /// Endpoint of the last attempt.
        endpoint: EndpointKey,
        /// The address.
        address: IpAddr,
    },
    /// The per-try timeout passed on the last attempt.
    #[error("`{endpoint}` sent no response head within the time of one attempt")]
    Timeout {
        /// Endpoint of the last attempt.
        endpoint: EndpointKey,
        /// Whether it may have processed the request.
        sent: Sent,
    },
    /// The connection broke before the response head.
    #[error("`{endpoint}` broke the connection before its response head: {source}")]
    Reset {
        /// Endpoint of the last attempt.
        endpoint: EndpointKey,
        /// Whether it may have processed the request.
        sent: Sent,
        /// Cause.
        source: BoxError,
    },
    /// A limit of ours: nothing was sent.
    #[error("upstream `{upstream}` is at its limit `{limit}`")]
    Overloaded {
        /// Name of the upstream.
        upstream: Box<str>,
        /// The key of the limit that was reached.
        limit: Limit,
    },
    /// The call's deadline passed.
    #[error("the deadline passed before upstream `{upstream}` sent a response head")]
    Deadline {
        /// Name of the upstream.
        upstream: Box<str>,
        /// Whether a server may have processed the request.
        sent: Sent,
    },
    /// The request body failed while it was read: the client's doing, not the upstream's.
    #[error("the request body ended in an error: {source}")]
    RequestBody {
        /// Cause.
        source: BoxError,
    },
    /// Target and base path do not form a URI.
    #[error("the request target does not form a URI with the endpoint's base path")]
    Target,
}

/// The limits a call can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `max_requests`: requests in flight of an upstream.
    Requests,
    /// `connection_pool.max_waiting`: requests waiting for a connection of an endpoint.
    Waiting,
    /// `max_processes`: processes of a program.
    Processes,
    /// `max_processes_per_principal`: the same of one principal.
    ProcessesPerPrincipal,
    /// `max_links`: connections to a server that does not speak Streamable HTTP.
    Links,
    /// `max_links_per_principal`: the same of one principal.
    LinksPerPrincipal,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requests => "max_requests",
            Self::Waiting => "connection_pool.max_waiting",
            Self::Processes => "max_processes",
            Self::ProcessesPerPrincipal => "max_processes_per_principal",
            Self::Links => "max_links",
            Self::LinksPerPrincipal => "max_links_per_principal",
        })
    }
}

impl CallError {
    /// Whether a server may have seen the request.
    pub fn sent(&self) -> Sent {
        match self {
            Self::Timeout { sent, .. } | Self::Reset { sent, .. } | Self::Deadline { sent, .. } => *sent,
            Self::RequestBody { .. } => Sent::Maybe,
            Self::NoEndpoint { .. }
            | Self::Refused { .. }
            | Self::PinnedGone { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Forbidden { .. }
            | Self::Overloaded { .. }
            | Self::Target => Sent::Nothing,
        }
    }

    /// The status for the client and when it may ask again (RFC 9110 sections 15.6.3 to 15.6.5).
    pub fn wire(&self) -> (StatusCode, Option<Duration>) {
        match self {
            Self::NoEndpoint { retry_after, .. } | Self::Refused { retry_after, .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, *retry_after)
            }
            Self::PinnedGone { .. } => (StatusCode::SERVICE_UNAVAILABLE, None),
            Self::Overloaded { .. } => (StatusCode::SERVICE_UNAVAILABLE, Some(FULL_RETRY_AFTER)),
            Self::Connect { .. } | Self::Tls { .. } | Self::Forbidden { .. } | Self::Reset { .. } => {
                (StatusCode::BAD_GATEWAY, None)
            }
            Self::Timeout { .. } | Self::Deadline { .. } => (StatusCode::GATEWAY_TIMEOUT, None),
            Self::RequestBody { .. } | Self::Target => (StatusCode::BAD_REQUEST, None),
        }
    }
}

/// Why an upstream cannot be built from its configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// An endpoint URL is not usable.
    #[error("upstream `{upstream}`: endpoint `{url}`: {reason}")]
    Url {
        /// Name of the upstream.
        upstream: String,
        /// The URL.
        url: String,
        /// What is wrong and what is expected.
        reason: &'static str,
    },
    /// A file of `tls` cannot be used.
    #[error("client TLS: {what}: {source}")]
    Tls {
        /// Which file or step.
        what: String,
        /// Cause.
        source: BoxError,
    },
    /// The system's DNS configuration cannot be read.
    #[error("DNS: {0}")]
    Dns(BoxError),
    /// An upstream without endpoints.
    #[error("upstream `{0}` has no endpoints; name at least one")]
    Empty(String),
}
