//! Servers at endpoints that do not speak Streamable HTTP. Every connection is opened by `upstream`, the one way to reach an endpoint:
//! balancing, breakers, TLS and address rules are its own.

mod posts;
mod sse;
mod websocket;

use crate::carrier::{Carried, Carrier, Dial};
use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use holdfast_config::{McpServer, Transport};
use holdfast_resilience::{Deadline, Sent};
use holdfast_upstream::{BoxError, Call, CallError, EndpointKey, Target, Upstream};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long the end of a connection may take.
pub(crate) const CLOSING: Duration = Duration::from_secs(1);

/// The endpoints of one server.
pub(crate) struct Remote {
    /// That of the newest snapshot.
    upstream: ArcSwap<Upstream>,
    transport: Transport,
    /// Whatever every request carries.
    headers: HeaderMap,
    message_max: usize,
    /// The time a server has for the answer to a posted message.
    post_timeout: Duration,
    ping_interval: Duration,
}

/// `upstream_auth` is no header.
#[derive(Clone, Debug, thiserror::Error)]
#[error("mcp server `{server}`: upstream_auth is not a valid HTTP header")]
pub struct BadCredential {
    server: String,
}

impl Remote {
    pub(crate) fn new(
        server: &McpServer,
        upstream: &Arc<Upstream>,
        message_max: usize,
    ) -> Result<Self, BadCredential> {
        let mut headers = HeaderMap::new();
        if let Some(auth) = &server.upstream_auth {
            let bad = || BadCredential { server: server.name.clone() };
            let name = HeaderName::try_from(&*auth.header).map_err(|_| bad())?;
            let mut value = HeaderValue::try_from(auth.value.expose()).map_err(|_| bad())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Self {
            upstream: ArcSwap::from(Arc::clone(upstream)),
            transport: server.transport,
            headers,
            message_max,
            post_timeout: server.request_timeout,
            ping_interval: server.links.link_ping_interval,
        })
    }

    /// A reload brought another upstream with the same name.
    pub(crate) fn renew(&self, upstream: &Arc<Upstream>) {
        self.upstream.store(Arc::clone(upstream));
    }

    /// A request that opens a link.
    fn dial(&self, dial: Dial, target: Target) -> Call {
        let mut call = Call::new(Method::GET, target, Deadline::at(dial.until));
        call.headers = self.headers.clone();
        call.pin = dial.pin;
        call.avoid = dial.avoid;
        call.streaming = true;
        call
    }
}

impl Carrier for Remote {
    fn open(&self, dial: Dial) -> BoxFuture<'_, Result<Carried, CallError>> {
        Box::pin(async move {
            let upstream = self.upstream.load_full();
            let opened = match self.transport {
                Transport::Sse => sse::open(self, &upstream, dial).await,
                Transport::WebSocket | Transport::StreamableHttp => {
                    websocket::open(self, &upstream, dial).await
                }
            };
            opened.map_err(unsent)
        })
    }

    fn endpoints(&self) -> Vec<EndpointKey> {
        self.upstream.load().endpoints().into_iter().map(|endpoint| endpoint.key).collect()
    }

    fn endpoint_count(&self) -> usize {
        self.upstream.load().endpoint_count()
    }
}

/// What was sent was the request for a link, not the message that is to go over it.
fn unsent(error: CallError) -> CallError {
    match error {
        error if error.sent() == Sent::Nothing => error,
        CallError::Timeout { endpoint, .. } => {
            no_link(&endpoint, "no answer in the time of one attempt".into())
        }
        CallError::Reset { endpoint, source, .. } => no_link(&endpoint, source),
        CallError::Deadline { upstream, .. } => CallError::Deadline { upstream, sent: Sent::Nothing },
        error => error,
    }
}

fn no_link(endpoint: &EndpointKey, source: BoxError) -> CallError {
    CallError::Connect { endpoint: endpoint.clone(), source }
}

/// What is left until `until`.
fn left(until: Instant) -> Duration {
    until.saturating_duration_since(holdfast_upstream::clock::now())
}
