//! What a reload replaces: limits and TLS, read once per connection.

use crate::{cell::Deadlines, tls::ListenerTls};
use holdfast_config::{Listener, ProxyProtocol, Server, ServerTls};
use holdfast_resilience::Gcra;
use ipnet::IpNet;
use std::{sync::Arc, time::Duration};

/// The smallest buffer hyper accepts.
const MIN_BUFFER_BYTES: usize = 8192;
/// Room beyond a head of full size, so that the limit is met by the guard and not by the buffer.
const BUFFER_SLACK_BYTES: usize = 1024;

/// Limits of new connections.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) deadlines: Deadlines,
    pub(crate) max_header_bytes: usize,
    pub(crate) max_headers: usize,
    pub(crate) max_concurrent_streams: u32,
    pub(crate) max_pending_resets: usize,
    /// How fast connections are accepted.
    pub(crate) accept: Gcra,
    pub(crate) trusted: Arc<[IpNet]>,
}

impl Limits {
    pub(crate) fn new(server: &Server) -> Self {
        Self {
            deadlines: Deadlines::new(server),
            max_header_bytes: usize::try_from(server.max_header_bytes.0).unwrap_or(usize::MAX / 2),
            max_headers: server.max_headers,
            max_concurrent_streams: server.max_concurrent_streams,
            max_pending_resets: server.max_pending_resets,
            accept: Gcra::new(server.accept_rate, Duration::from_secs(1), server.accept_burst),
            trusted: server.trusted_proxies.clone().into(),
        }
    }

    /// Read buffer of one HTTP/1 connection.
    pub(crate) fn buffer_bytes(&self) -> usize {
        self.max_header_bytes.saturating_add(BUFFER_SLACK_BYTES).max(MIN_BUFFER_BYTES)
    }
}

/// One listener's replaceable part.
#[derive(Clone)]
pub(crate) struct ListenerSettings {
    pub(crate) proxy_required: bool,
    pub(crate) tls: Option<Arc<ListenerTls>>,
    /// What `tls` was built from.
    pub(crate) tls_source: Option<ServerTls>,
}

impl ListenerSettings {
    /// Builds the settings of `listener`; TLS that did not change is kept, so that session tickets go on being valid.
    pub(crate) fn build(listener: &Listener, previous: Option<&Self>) -> Result<Self, crate::TlsError> {
        let kept = previous.filter(|previous| previous.tls_source == listener.tls);
        let tls = match (kept, &listener.tls) {
            (Some(previous), _) => previous.tls.clone(),
            (None, None) => None,
            (None, Some(tls)) => Some(Arc::new(ListenerTls::build(tls)?)),
        };
        let proxy_required = listener.proxy_protocol == ProxyProtocol::Required;
        Ok(Self { proxy_required, tls, tls_source: listener.tls.clone() })
    }
}

/// One generation.
pub(crate) struct Settings {
    pub(crate) limits: Arc<Limits>,
    /// In the order of the listening sockets.
    pub(crate) listeners: Vec<ListenerSettings>,
}
