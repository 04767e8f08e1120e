//! An upstream: its endpoints and the policy to call them by.

use crate::{
    Background, BuildError, Call, CallError, EndpointKey, Reply, Shared, background,
    connect::Http2Use,
    endpoint::MadeOf,
    hold::Bulkhead,
    policy, send,
    set::{Addresses, EndpointSet, Origin, Recipe},
    url::EndpointUrl,
};
use arc_swap::ArcSwap;
use holdfast_config::{self as config, Http2Mode};
use holdfast_resilience::{Budget, Deadline, EndpointSnapshot, RetryPolicy};
use holdfast_telemetry::{UpstreamMetrics, metrics::EndpointStateLabel};
use parking_lot::Mutex;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::watch;

/// A named set of equal endpoints.
pub struct Upstream {
    name: Box<str>,
    set: ArcSwap<EndpointSet>,
    recipe: Recipe,
    addresses: Mutex<Addresses>,
    /// Turns true once every name has been looked up, found or not.
    resolved: watch::Sender<bool>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) metrics: UpstreamMetrics,
    pub(crate) retry: RetryPolicy,
    pub(crate) budget: Arc<Budget>,
    pub(crate) bulkhead: Bulkhead,
    pub(crate) per_try_timeout: Option<Duration>,
    pub(crate) body_idle_timeout: Duration,
    budget_config: config::RetryBudget,
}

/// One endpoint, for pinning, fan-out and the status page.
#[derive(Clone, Debug)]
pub struct EndpointView {
    /// Its stable name.
    pub key: EndpointKey,
    /// Where it is.
    pub address: Option<SocketAddr>,
    /// Relative share; 0 = drained.
    pub weight: u32,
    /// 0 is used first.
    pub priority: u8,
    /// Zone label.
    pub zone: Option<Arc<str>>,
    /// Phase, health, load.
    pub state: EndpointSnapshot,
    /// Connections open, idle ones included.
    pub connections: usize,
}

impl Upstream {
    /// Builds an upstream. The endpoints of `previous` that stay keep their state and their connections, and names keep
    /// the addresses they had. Opens no connection and looks nothing up: see [`Upstream::start`].
    pub fn build(
        cfg: &config::Upstream,
        shared: &Arc<Shared>,
        previous: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, BuildError> {
        let recipe = recipe(cfg, shared)?;
        let metrics = UpstreamMetrics::new(&shared.registry, &cfg.name);
        let addresses = previous.map_or_else(Addresses::new, |old| old.addresses.lock().clone());
        let names_known =
            recipe.origins.iter().filter_map(Origin::name).all(|name| addresses.contains_key(name));
        let old_set = previous.map(|old| old.set.load_full());
        let set = EndpointSet::build(&recipe, &addresses, old_set.as_deref(), &metrics);
        let budget_config = cfg.policy.retry.budget;
        let budget = match previous.filter(|old| old.budget_config == budget_config) {
            Some(old) => Arc::clone(&old.budget),
            None => Arc::new(Budget::new(policy::budget(&budget_config), crate::clock::now())),
        };
        Ok(Arc::new(Self {
            name: cfg.name.as_str().into(),
            set: ArcSwap::from_pointee(set),
            recipe,
            addresses: Mutex::new(addresses),
            resolved: watch::Sender::new(names_known),
            shared: Arc::clone(shared),
            metrics,
            retry: policy::retry(&cfg.policy.retry),
            budget,
            bulkhead: Bulkhead::new(cfg.policy.max_requests, previous.map(|old| &old.bulkhead)),
            per_try_timeout: cfg.policy.retry.per_try_timeout,
            body_idle_timeout: cfg.policy.body_idle_timeout,
            budget_config,
        }))
    }

    /// Starts name resolution, probes and the sweeping of idle connections on the control runtime. Everything ends when
    /// the result is dropped.
    pub fn start(self: &Arc<Self>, control: &tokio::runtime::Handle) -> Background {
        background::start(self, control)
    }

    /// Makes as many attempts as policy, safety and deadline allow, and returns the response of the last one, or why
    /// there is none. Cancel safe: dropping it closes the connection in use and gives every permit back.
    pub fn send(&self, call: Call) -> impl Future<Output = Result<Reply, CallError>> + Send {
        // Not an async function of its own: a call is large, and each future that owns it copies it.
        send::send(self, call)
    }

    /// The name in metrics and logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Requests in flight, streams and tunnels included.
    pub fn in_flight(&self) -> usize {
        self.bulkhead.in_flight()
    }

    /// How many endpoints there are.
    pub fn endpoint_count(&self) -> usize {
        self.set.load().endpoints.len()
    }

    /// Every endpoint, in the order of the configuration.
    pub fn endpoints(&self) -> Vec<EndpointView> {
        let now = crate::clock::now();
        let set = self.set.load();
        let view = |(endpoint, member): (&Arc<crate::endpoint::Endpoint>, &holdfast_resilience::Member)| {
            EndpointView {
                key: endpoint.key.clone(),
                address: endpoint.address(),
                weight: member.weight,
                priority: member.priority,
                zone: member.zone.clone(),
                state: endpoint.state.snapshot(now),
                connections: endpoint.pool.open(),
            }
        };
        set.endpoints.iter().zip(set.balancer.members()).map(view).collect()
    }

    /// The set to call. Until the first answer to a name has come, an empty set is waited for.
    pub(crate) async fn set_in_time(&self, deadline: Deadline) -> Result<Arc<EndpointSet>, CallError> {
        let set = self.set.load_full();
        if !set.endpoints.is_empty() || *self.resolved.borrow() {
            return Ok(set);
        }
        let mut resolved = self.resolved.subscribe();
        let waited = crate::clock::timeout_at(deadline.instant(), resolved.wait_for(|done| *done)).await;
        if waited.is_err() {
            let sent = holdfast_resilience::Sent::Nothing;
            return Err(CallError::Deadline { upstream: self.name.clone(), sent });
        }
        Ok(self.set.load_full())
    }

    pub(crate) fn set(&self) -> Arc<EndpointSet> {
        self.set.load_full()
    }

    /// Names that need a resolver, each once.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.recipe.origins.iter().filter_map(Origin::name).map(ToOwned::to_owned).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Takes over the addresses of a name. Endpoints that stay keep everything; those that are gone finish what they
    /// have in flight.
    pub(crate) fn set_addresses(&self, name: &str, mut found: Vec<std::net::IpAddr>) {
        found.sort_unstable();
        found.dedup();
        let mut addresses = self.addresses.lock();
        if addresses.get(name) == Some(&found) {
            return;
        }
        addresses.insert(name.to_owned(), found);
        let old = self.set.load_full();
        self.set.store(Arc::new(EndpointSet::build(&self.recipe, &addresses, Some(&old), &self.metrics)));
    }

    pub(crate) fn names_resolved(&self) {
        self.resolved.send_replace(true);
    }

    /// Brings the metrics that mirror state up to date.
    pub(crate) fn mirror(&self) {
        let now = crate::clock::now();
        let set = self.set.load();
        let mut counts = [0_i64; 5];
        for (endpoint, member) in set.endpoints.iter().zip(set.balancer.members()) {
            endpoint.mirror();
            let state = endpoint.state.snapshot(now);
            let label = if member.weight == 0 {
                EndpointStateLabel::Drained
            } else if state.phase.gauge() != 0 {
                EndpointStateLabel::Refusing
            } else if state.ejected_until.is_some() {
                EndpointStateLabel::Ejected
            } else if state.healthy {
                EndpointStateLabel::Available
            } else {
                EndpointStateLabel::Unhealthy
            };
            counts[label as usize] += 1;
        }
        for (label, gauge) in self.metrics.endpoints.iter() {
            gauge.set(counts[label as usize]);
        }
    }
}

fn recipe(cfg: &config::Upstream, shared: &Shared) -> Result<Recipe, BuildError> {
    if cfg.endpoints.is_empty() {
        return Err(BuildError::Empty(cfg.name.clone()));
    }
    let origins =
        cfg.endpoints.iter().map(|endpoint| origin(cfg, endpoint, shared)).collect::<Result<_, _>>()?;
    Ok(Recipe {
        origins,
        balancer: policy::balancer(&cfg.policy, shared.zone.as_ref()),
        made_of: MadeOf { policy: cfg.policy.clone(), pool: shared.pool.clone() },
    })
}

fn origin(
    cfg: &config::Upstream,
    endpoint: &config::Endpoint,
    shared: &Shared,
) -> Result<Origin, BuildError> {
    let url = Arc::new(EndpointUrl::parse(&cfg.name, &endpoint.url)?);
    let tls = if url.tls {
        let client = shared.tls_client(&cfg.tls)?;
        let reason = "has a host that TLS cannot verify; set tls.server_name";
        let bad = || BuildError::Url { upstream: cfg.name.clone(), url: endpoint.url.clone(), reason };
        let name = client.server_name.clone().or_else(|| url.server_name()).ok_or_else(bad)?;
        Some((client, name))
    } else {
        None
    };
    let http2 = match (cfg.http2, url.tls) {
        (Http2Mode::Auto, true) => Http2Use::Negotiate,
        (Http2Mode::PriorKnowledge, _) => Http2Use::Always,
        (Http2Mode::Auto, false) | (Http2Mode::Off, _) => Http2Use::Never,
    };
    let zone = endpoint.zone.as_deref().map(Arc::from);
    Ok(Origin { url, weight: endpoint.weight, priority: endpoint.priority, zone, tls, http2 })
}
