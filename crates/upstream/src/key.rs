//! The stable name of an endpoint.

use std::{fmt, net::SocketAddr, sync::Arc};

/// Names an endpoint for as long as its address is part of an upstream, over set changes and reloads.
///
/// It is the configured URL; for a URL with a host name the resolved address follows: `http://files:3000/mcp#10.0.0.7:3000`.
/// Sealed tokens carry it, so it never depends on the order of a list.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointKey(Arc<str>);

impl EndpointKey {
    /// The key of an endpoint with a literal address.
    pub(crate) fn literal(url: &str) -> Self {
        Self(Arc::from(url))
    }

    /// The key of one address of a named endpoint.
    pub(crate) fn resolved(url: &str, address: SocketAddr) -> Self {
        Self(Arc::from(format!("{url}#{address}")))
    }

    /// The key as shared text: a reference count, no copy.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The key as text, to be kept in a token or a log line.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for EndpointKey {
    /// A key that was kept as text. It need not name an endpoint that exists.
    fn from(text: &str) -> Self {
        Self(Arc::from(text))
    }
}

impl fmt::Display for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
