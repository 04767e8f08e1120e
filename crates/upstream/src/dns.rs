//! From names to addresses.

use crate::{BoxError, BuildError};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};
use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    time::{Duration, Instant},
};

/// Addresses of one name that are used at most: a bound on what a DNS answer can make us do.
pub const ADDRESSES_MAX: usize = 64;

/// One lookup, all retransmissions included.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Turns names into addresses. The system's resolver by default; anything else by [`crate::Shared::with_resolver`].
pub trait Resolve: Send + Sync + 'static {
    /// All addresses of a name, with the time they stay valid. An empty answer is an error.
    fn resolve<'a>(
        &'a self,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, BoxError>> + Send + 'a>>;
}

/// Addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// At most [`ADDRESSES_MAX`] are used.
    pub addresses: Vec<IpAddr>,
    /// How long they are valid; `None` where the source does not say.
    pub ttl: Option<Duration>,
}

/// The system's configuration through hickory: `/etc/resolv.conf` and `/etc/hosts`.
pub(crate) struct SystemResolver {
    /// Asked instead of the system's, if any.
    servers: Vec<SocketAddr>,
    resolver: parking_lot::Mutex<Option<TokioResolver>>,
}

impl SystemResolver {
    /// With these DNS servers, in no order; `/etc/hosts` still comes first.
    pub(crate) fn with_servers(servers: &[SocketAddr]) -> Self {
        Self { servers: servers.to_vec(), resolver: parking_lot::Mutex::new(None) }
    }

    /// Built at the first lookup: an upstream with literal addresses works without a DNS configuration.
    fn resolver(&self) -> Result<TokioResolver, BoxError> {
        let mut kept = self.resolver.lock();
        if let Some(resolver) = &*kept {
            return Ok(resolver.clone());
        }
        let mut builder = if self.servers.is_empty() {
            TokioResolver::builder_tokio().map_err(|error| BuildError::Dns(error.into()))?
        } else {
            let servers = self.servers.iter().map(name_server).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = ResolveHosts::Always;
        options.timeout = LOOKUP_TIMEOUT;
        // The answer is kept here for its time to live; a second cache would only make it older.
        options.cache_size = 0;
        let resolver = builder.build().map_err(|error| BuildError::Dns(error.into()))?;
        *kept = Some(resolver.clone());
        Ok(resolver)
    }
}

/// UDP first; TCP for an answer that does not fit (RFC 7766, 5).
fn name_server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

impl Resolve for SystemResolver {
    fn resolve<'a>(
        &'a self,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, BoxError>> + Send + 'a>> {
        Box::pin(async move {
            if is_localhost(name) {
                // Never asked of a server (RFC 6761 section 6.3).
                let addresses = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
                return Ok(Answer { addresses, ttl: None });
            }
            let lookup = self.resolver()?.lookup_ip(name).await?;
            let ttl = lookup.valid_until().saturating_duration_since(Instant::now());
            Ok(Answer { addresses: lookup.iter().collect(), ttl: Some(ttl) })
        })
    }
}

/// Whether the name is this very host by definition.
pub(crate) fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}
