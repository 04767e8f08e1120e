//! The endpoints of an upstream at one time, under one balancer. Replaced as a whole when names resolve differently.

use crate::{
    EndpointKey, clock,
    connect::{Http2Use, Place},
    dns::{ADDRESSES_MAX, is_localhost},
    endpoint::{Endpoint, MadeOf},
    policy,
    tls::TlsClient,
    url::{EndpointUrl, Host},
};
use holdfast_resilience::{Balancer, BalancerPolicy, EndpointId, EndpointState, Member, Rng, hash_key};
use holdfast_telemetry::UpstreamMetrics;
use rustls_pki_types::ServerName;
use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

/// Addresses by host name.
pub(crate) type Addresses = HashMap<String, Vec<IpAddr>>;

/// A snapshot. An [`EndpointId`] means something within one set only.
pub(crate) struct EndpointSet {
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    pub(crate) balancer: Balancer,
}

/// A configured endpoint: one URL, which may turn out to be several endpoints, or none yet.
pub(crate) struct Origin {
    pub(crate) url: Arc<EndpointUrl>,
    pub(crate) weight: u32,
    pub(crate) priority: u8,
    pub(crate) zone: Option<Arc<str>>,
    pub(crate) tls: Option<(TlsClient, ServerName<'static>)>,
    pub(crate) http2: Http2Use,
}

/// What sets of an upstream are made from.
pub(crate) struct Recipe {
    pub(crate) origins: Vec<Origin>,
    pub(crate) balancer: BalancerPolicy,
    pub(crate) made_of: MadeOf,
}

impl Origin {
    /// The name to resolve, if it has one that only a resolver knows.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.url.host {
            Host::Name(name) if !is_localhost(name) => Some(name),
            Host::Name(_) | Host::Ip(_) => None,
        }
    }

    fn place(&self, addresses: Vec<SocketAddr>) -> Place {
        Place { addresses, tls: self.tls.clone(), http2: self.http2 }
    }

    /// Key and place of each endpoint behind the URL.
    fn places(&self, resolved: &Addresses) -> Vec<(EndpointKey, Place)> {
        let port = self.url.port;
        match &self.url.host {
            Host::Ip(ip) => {
                vec![(EndpointKey::literal(&self.url.text), self.place(vec![SocketAddr::new(*ip, port)]))]
            }
            // One host with two addresses, not two hosts: most servers listen on one of them only.
            Host::Name(name) if is_localhost(name) => {
                let both = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
                let addresses = both.map(|ip| SocketAddr::new(ip, port)).to_vec();
                vec![(EndpointKey::literal(&self.url.text), self.place(addresses))]
            }
            Host::Name(name) => {
                let mut addresses = resolved.get(name).cloned().unwrap_or_default();
                // Answers rotate; the set does not.
                addresses.sort_unstable();
                addresses.dedup();
                addresses.truncate(ADDRESSES_MAX);
                let place = |ip| {
                    let address = SocketAddr::new(ip, port);
                    (EndpointKey::resolved(&self.url.text, address), self.place(vec![address]))
                };
                addresses.into_iter().map(place).collect()
            }
        }
    }
}

impl EndpointSet {
    /// Endpoints that `previous` has are taken over with state and connections, where configuration lets them be.
    pub(crate) fn build(
        recipe: &Recipe,
        resolved: &Addresses,
        previous: Option<&Self>,
        metrics: &UpstreamMetrics,
    ) -> Self {
        let known: HashMap<&EndpointKey, &Arc<Endpoint>> = previous
            .iter()
            .flat_map(|set| &set.endpoints)
            .map(|endpoint| (&endpoint.key, endpoint))
            .collect();
        let mut seen = HashSet::new();
        let mut endpoints = Vec::new();
        let mut members = Vec::new();
        for origin in &recipe.origins {
            for (key, place) in origin.places(resolved) {
                if !seen.insert(key.clone()) {
                    continue;
                }
                let endpoint = adopt(known.get(&key).copied(), key, place, origin, recipe, metrics);
                members.push(Member {
                    // A set has far fewer than u32::MAX endpoints: configuration and ADDRESSES_MAX bound it.
                    id: EndpointId(endpoints.len() as u32),
                    identity: hash_key(endpoint.key.as_str().as_bytes()),
                    weight: origin.weight,
                    priority: origin.priority,
                    zone: origin.zone.clone(),
                    state: Arc::clone(&endpoint.state),
                });
                endpoints.push(endpoint);
            }
        }
        let balancer = Balancer::new(members, recipe.balancer.clone(), clock::now(), &mut Rng::new());
        Self { endpoints, balancer }
    }

    pub(crate) fn get(&self, id: EndpointId) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(id.0 as usize)
    }

    pub(crate) fn find(&self, key: &EndpointKey) -> Option<EndpointId> {
        self.endpoints.iter().position(|endpoint| endpoint.key == *key).map(|index| EndpointId(index as u32))
    }
}

fn adopt(
    known: Option<&Arc<Endpoint>>,
    key: EndpointKey,
    place: Place,
    origin: &Origin,
    recipe: &Recipe,
    metrics: &UpstreamMetrics,
) -> Arc<Endpoint> {
    let made_of = &recipe.made_of;
    if let Some(endpoint) = known.filter(|endpoint| endpoint.fits(&place, made_of)) {
        return Arc::clone(endpoint);
    }
    let state = match known.filter(|endpoint| endpoint.state_fits(made_of)) {
        Some(endpoint) => {
            endpoint.mirror();
            Arc::clone(&endpoint.state)
        }
        None => EndpointState::new(&policy::endpoint(&made_of.policy), clock::now()),
    };
    let metrics = metrics.endpoint(key.as_str());
    Endpoint::new(key, Arc::clone(&origin.url), place, state, metrics, made_of.clone())
}
