//! What all upstreams of the process share.

use crate::{
    BuildError,
    address::AddressRules,
    clock,
    connect::{Connector, TcpConnector},
    dns::{Resolve, SystemResolver},
    policy,
    tls::TlsClient,
};
use holdfast_config::{ClientTls, Config, ConnectionPool, RetryBudget};
use holdfast_resilience::Budget;
use holdfast_telemetry::Registry;
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};

/// Process-wide parts of the call side: the retry budget, DNS, TLS clients, address rules, metrics.
pub struct Shared {
    pub(crate) registry: Registry,
    pub(crate) rules: AddressRules,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) pool: ConnectionPool,
    pub(crate) zone: Option<Arc<str>>,
    pub(crate) stream_idle_timeout: Duration,
    budget_config: RetryBudget,
    tls: Mutex<Vec<(ClientTls, TlsClient)>>,
    previous_tls: Vec<(ClientTls, TlsClient)>,
}

impl Shared {
    /// Builds it from the effective configuration. Pass the previous one on a reload: budget, resolver and TLS clients
    /// that did not change are kept.
    #[expect(clippy::unnecessary_wraps, reason = "building is where a process-wide part may come to fail")]
    pub fn build(
        config: &Config,
        registry: &Registry,
        previous: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, BuildError> {
        let servers = &config.connection_pool.dns_servers;
        let resolver = match previous.filter(|old| old.pool.dns_servers == *servers) {
            Some(old) => Arc::clone(&old.resolver),
            None => Arc::new(SystemResolver::with_servers(servers)),
        };
        Ok(Arc::new(Self::assemble(config, registry, previous, resolver)))
    }

    /// As [`Shared::build`], with another source of addresses.
    pub fn with_resolver(config: &Config, registry: &Registry, resolver: Arc<dyn Resolve>) -> Arc<Self> {
        Arc::new(Self::assemble(config, registry, None, resolver))
    }

    /// How names become addresses, for other callers than upstreams.
    pub fn resolver(&self) -> Arc<dyn Resolve> {
        Arc::clone(&self.resolver)
    }

    fn assemble(
        config: &Config,
        registry: &Registry,
        previous: Option<&Arc<Self>>,
        resolver: Arc<dyn Resolve>,
    ) -> Self {
        let budget_config = config.routing.process_retry_budget;
        let budget = match previous.filter(|old| old.budget_config == budget_config) {
            Some(old) => Arc::clone(&old.budget),
            None => Arc::new(Budget::new(policy::budget(&budget_config), clock::now())),
        };
        Self {
            registry: registry.clone(),
            rules: AddressRules { block_link_local: config.routing.block_link_local },
            resolver,
            connector: Arc::new(TcpConnector),
            budget,
            pool: config.connection_pool.clone(),
            zone: config.ha.zone.as_deref().map(Arc::from),
            stream_idle_timeout: config.server.stream_idle_timeout,
            budget_config,
            tls: Mutex::default(),
            previous_tls: previous.map_or_else(Vec::new, |old| old.tls.lock().clone()),
        }
    }

    /// The TLS client of a `tls` block: one per block, however many upstreams have it.
    pub(crate) fn tls_client(&self, config: &ClientTls) -> Result<TlsClient, BuildError> {
        let mut clients = self.tls.lock();
        if let Some((_, client)) = clients.iter().find(|(known, _)| known == config) {
            return Ok(client.clone());
        }
        let previous = self.previous_tls.iter().find(|(known, _)| known == config).map(|(_, client)| client);
        let client = TlsClient::build(config, previous)?;
        clients.push((config.clone(), client.clone()));
        Ok(client)
    }
}
