//! One MCP server as the drivers see it: its policy, the way to its endpoints, its metrics.

use crate::{
    lens::Watched,
    policy::{Limits, Pins, Rules, View},
    state::{McpState, ToolsView},
    token::EndpointTag,
    wire::Wire,
};
use arc_swap::ArcSwap;
use holdfast_config::{EraMode, McpRule, McpServer, SessionMode};
use holdfast_identity::Principal;
use holdfast_telemetry::metrics::McpMetrics;
use holdfast_upstream::EndpointKey;
use http::{HeaderName, HeaderValue};
use std::{sync::Arc, time::Duration};

/// A server of the current snapshot.
pub struct Server {
    pub(crate) name: Arc<str>,
    pub(crate) wire: Wire,
    pub(crate) metrics: Arc<McpMetrics>,
    pub(crate) replayable: bool,
    /// It is run here, at the other end of a pipe.
    pub(crate) is_program: bool,
    pub(crate) trust_hints: bool,
    pub(crate) era: EraMode,
    pub(crate) request_timeout: Duration,
    pub(crate) initialize_timeout: Duration,
    pub(crate) reinitializations_max: usize,
    pub(crate) handle_ttl: Duration,
    /// Attempts of one request, the upstream's own included where they can be told.
    pub(crate) attempts_max: u32,
    pub(crate) credential: Option<(HeaderName, HeaderValue)>,
    /// Its own rules, as configured.
    own_rules: Vec<McpRule>,
    /// All rules about it; `None` = everything is permitted.
    rules: Option<Arc<Rules>>,
    pub(crate) limits: Limits,
    /// What its messages are seen through.
    pub(crate) watched: Arc<Watched>,
    /// In the order of tags: a search needs no hash.
    tags: ArcSwap<Vec<(EndpointTag, EndpointKey)>>,
}

/// A server whose configuration cannot work.
#[derive(Debug, thiserror::Error)]
#[error("mcp server `{server}`: upstream_auth.{field} is not a valid HTTP header {field}")]
pub struct ServerError {
    server: String,
    field: &'static str,
}

impl Server {
    /// A server from its configuration, the way to it and its metrics.
    pub fn new(
        config: &McpServer,
        wire: impl Into<Wire>,
        metrics: Arc<McpMetrics>,
    ) -> Result<Self, ServerError> {
        let fault = |field| ServerError { server: config.name.clone(), field };
        let credential = match &config.upstream_auth {
            None => None,
            Some(auth) => {
                let name = HeaderName::try_from(&*auth.header).map_err(|_| fault("header"))?;
                let mut value = HeaderValue::try_from(auth.value.expose()).map_err(|_| fault("value"))?;
                value.set_sensitive(true);
                Some((name, value))
            }
        };
        let retry = &config.upstream.policy.retry;
        let name: Arc<str> = Arc::from(&*config.name);
        let watched = Watched {
            name: Arc::clone(&name),
            pins: Pins::new(&config.pins),
            watch: Arc::default(),
            metrics: Arc::clone(&metrics),
        };
        Ok(Self {
            name,
            watched: Arc::new(watched),
            wire: wire.into(),
            metrics,
            is_program: config.command.is_some(),
            replayable: config.session == SessionMode::Replayable,
            trust_hints: config.trust_hints,
            era: config.era,
            request_timeout: config.request_timeout,
            initialize_timeout: config.initialize_timeout,
            reinitializations_max: config.max_reinitializations,
            handle_ttl: config.handle_ttl,
            attempts_max: if retry.enabled { retry.max_attempts.max(1) } else { 1 },
            credential,
            limits: Limits::new(config),
            own_rules: config.rules.clone(),
            rules: Rules::of(&config.name, &[], &config.rules),
            tags: ArcSwap::default(),
        })
    }

    /// Its name in the path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What was seen of its tools.
    pub fn tools(&self) -> ToolsView {
        self.watched.view()
    }

    /// Whether a request goes over a connection that others share.
    pub(crate) fn is_linked(&self) -> bool {
        matches!(self.wire, Wire::Linked(_))
    }

    /// Puts the rules for all servers beside its own, and goes on with what earlier snapshots counted and saw.
    pub(crate) fn govern(&mut self, all: &[McpRule], state: &McpState) {
        self.limits.share(|tools| state.under_way.of(&self.name, tools));
        if let Some(watched) = Arc::get_mut(&mut self.watched) {
            watched.watch = state.definitions.of(&self.name);
        }
        self.rules = Rules::of(&self.name, all, &self.own_rules);
    }

    /// What the rules leave to a caller; `None` if there are none: everything.
    pub(crate) fn view(&self, caller: &Principal) -> Option<Arc<View>> {
        self.rules.as_ref().map(|rules| Arc::new(rules.view(caller)))
    }

    /// Its endpoints of now.
    pub(crate) fn endpoints(&self) -> Vec<EndpointKey> {
        self.wire.endpoints()
    }

    /// The endpoint a token names. `None` when no endpoint of the present set has that tag.
    pub(crate) fn endpoint(&self, tag: EndpointTag) -> Option<EndpointKey> {
        let find = |tags: &[(EndpointTag, EndpointKey)]| {
            let at = tags.binary_search_by_key(&tag.0, |(tag, _)| tag.0).ok()?;
            Some(tags[at].1.clone())
        };
        if let Some(key) = find(&self.tags.load()) {
            return Some(key);
        }
        let bindable = self.wire.bindable().into_iter();
        let mut tags: Vec<_> = bindable.map(|key| (EndpointTag::of(key.as_str()), key)).collect();
        tags.sort_unstable_by_key(|(tag, _)| tag.0);
        let found = find(&tags);
        if found.is_some() {
            self.tags.store(Arc::new(tags));
        }
        found
    }
}
