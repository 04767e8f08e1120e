//! One immutable snapshot of everything that a request needs. Built whole, swapped whole.

use crate::metadata::Metadata;
use holdfast_apis::{ApiRoute, DuplicatePrefix, RouteTable};
use holdfast_config::{Config, Upstream as UpstreamConfig};
use holdfast_identity::Authenticator;
use holdfast_links::{Links, Parts as LinkParts};
use holdfast_mcp::seal::{KeyRing, KeyRingError};
use holdfast_mcp::{Linked, McpService, McpState, Reach, Server, ServerError, ToolsView, Wire};
use holdfast_store::{Limits, Store};
use holdfast_telemetry::metrics::Operations;
use holdfast_telemetry::{McpMetrics, Registry, RouteMetrics};
use holdfast_upstream::{Background, Resolve, Shared as UpstreamShared, Upstream};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// What outlives a snapshot: metrics, the control runtime, sessions' local memory.
pub(crate) struct Shared {
    /// All metrics.
    pub(crate) registry: Registry,
    /// Where DNS, probes and file checks run.
    pub(crate) control: tokio::runtime::Handle,
    /// Revocations, re-bindings, stream logs, era knowledge.
    pub(crate) mcp: Arc<McpState>,
    /// What replicas share, in memory of this one if it is alone.
    pub(crate) store: Store,
    /// What counts MCP operations.
    pub(crate) operations: Operations,
    /// The ring of `sessions.ephemeral_key`, made once, so that a reload ends no session.
    pub(crate) ephemeral: OnceLock<Arc<KeyRing>>,
}

impl Shared {
    /// What a process begins with. Waits for no store.
    pub(crate) fn new(
        config: &Config,
        registry: &Registry,
        control: &tokio::runtime::Handle,
    ) -> Result<Self, BuildError> {
        let ephemeral = OnceLock::new();
        let limits = Limits::new(&config.sessions);
        let store = match &config.sessions.redis {
            Some(redis) => Store::redis(redis, ring(&ephemeral, config)?, registry, control, limits)?,
            None => Store::memory(limits),
        };
        let mcp = McpState::new(&config.sessions, &store);
        if config.ha.region.is_some() {
            mcp.span_regions();
        }
        let operations = Operations::new(registry, config.observability.metrics.max_names);
        Ok(Self { registry: registry.clone(), control: control.clone(), mcp, store, operations, ephemeral })
    }
}

/// The ring of the configuration, or the one that this process made for itself.
fn ring(ephemeral: &OnceLock<Arc<KeyRing>>, config: &Config) -> Result<Arc<KeyRing>, KeyRingError> {
    if !config.sessions.keys.is_empty() {
        return holdfast_mcp::key_ring(&config.sessions);
    }
    if let Some(ring) = ephemeral.get() {
        return Ok(Arc::clone(ring));
    }
    let ring = holdfast_mcp::key_ring(&config.sessions)?;
    Ok(Arc::clone(ephemeral.get_or_init(|| ring)))
}

/// A snapshot.
pub(crate) struct Runtime {
    /// 1 at start, one more per reload that took effect.
    pub(crate) generation: u64,
    /// What it was built from.
    pub(crate) config: Arc<Config>,
    /// Where a path goes.
    pub(crate) routes: RouteTable<Route>,
    /// Seals and opens what leaves the process.
    pub(crate) ring: Arc<KeyRing>,
    /// RFC 9728 documents.
    pub(crate) metadata: Metadata,
    /// Upstreams by name, for `/status` and for the next snapshot to take over from.
    pub(crate) upstreams: Vec<(UpstreamKind, Arc<Upstream>)>,
    /// Links to MCP servers that do not speak Streamable HTTP; the next snapshot takes over those whose server stays as it is.
    pub(crate) links: Vec<Arc<Links>>,
    /// Shared by the upstreams of this snapshot and the next.
    calls: Arc<UpstreamShared>,
    /// Probes and DNS; they end with the snapshot.
    _background: Vec<Background>,
}

/// What an upstream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum UpstreamKind {
    /// An MCP server.
    Mcp,
    /// A plain HTTP route.
    Api,
}

impl UpstreamKind {
    /// As `/status` shows it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Mcp => "mcp",
            Self::Api => "http",
        }
    }
}

/// Behind a path prefix.
pub(crate) enum Route {
    /// All MCP servers.
    Mcp(Box<McpRoute>),
    /// A plain HTTP route.
    Api(Box<ApiEntry>),
}

/// `/mcp` and below.
pub(crate) struct McpRoute {
    /// The merged endpoint's name in records and metrics.
    pub(crate) name: Arc<str>,
    pub(crate) path: Arc<str>,
    pub(crate) metrics: Arc<RouteMetrics>,
    pub(crate) service: McpService,
    /// By the path segment behind the prefix.
    pub(crate) entries: HashMap<String, McpEntry>,
    /// The prefix itself: all servers as one.
    pub(crate) merged: Option<McpEntry>,
}

/// One MCP server's part of the route.
pub(crate) struct McpEntry {
    pub(crate) name: Arc<str>,
    /// What its requests have in common.
    pub(crate) path: Arc<str>,
    pub(crate) authenticator: Authenticator,
    pub(crate) metrics: Arc<RouteMetrics>,
    /// For `WWW-Authenticate`.
    pub(crate) metadata_url: Option<String>,
}

/// One HTTP route.
pub(crate) struct ApiEntry {
    pub(crate) name: Arc<str>,
    /// What its requests have in common.
    pub(crate) path: Arc<str>,
    pub(crate) route: ApiRoute,
    pub(crate) authenticator: Authenticator,
    pub(crate) metrics: Arc<RouteMetrics>,
}

/// Why a snapshot could not be built. The configuration was valid; something it names is not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("upstream '{name}': {source}")]
    Upstream { name: String, source: holdfast_upstream::BuildError },
    #[error("upstreams: {0}")]
    Shared(#[source] holdfast_upstream::BuildError),
    #[error("auth of '{name}': {source}")]
    Auth { name: String, source: holdfast_identity::BuildError },
    #[error("{0}")]
    McpServer(#[from] ServerError),
    #[error("{0}")]
    Credential(#[from] holdfast_links::BadCredential),
    #[error("{0}")]
    Sessions(#[from] KeyRingError),
    #[error("sessions.redis: {0}")]
    Store(#[from] holdfast_store::BuildError),
    #[error("ha.peer_channel: {0}")]
    Peers(#[from] holdfast_peers::BuildError),
    #[error("api '{name}': {source}")]
    Api { name: String, source: holdfast_apis::BuildError },
    #[error("two routes have the path prefix '{}'", .0.0)]
    Prefix(DuplicatePrefix),
    #[error("listeners: {0}")]
    Edge(#[from] holdfast_edge::EdgeError),
}

impl From<DuplicatePrefix> for BuildError {
    fn from(duplicate: DuplicatePrefix) -> Self {
        Self::Prefix(duplicate)
    }
}

impl Runtime {
    /// Builds a snapshot. Endpoints that `previous` has too keep their connections, breakers and load.
    pub(crate) fn build(
        config: Arc<Config>,
        generation: u64,
        shared: &Shared,
        previous: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, BuildError> {
        let calls = UpstreamShared::build(&config, &shared.registry, previous.map(|old| &old.calls))
            .map_err(BuildError::Shared)?;
        let ring = ring(&shared.ephemeral, &config)?;
        let mut builder = Builder {
            config: &config,
            shared,
            previous,
            calls: &calls,
            ring: &ring,
            upstreams: Vec::new(),
            links: Vec::new(),
        };
        let mut routes = Vec::with_capacity(config.apis.len() + 1);
        if !config.mcp.servers.is_empty() {
            routes.push((config.mcp.path.clone(), Route::Mcp(Box::new(builder.mcp()?))));
        }
        for api in &config.apis {
            routes.push((api.path_prefix.clone(), Route::Api(Box::new(builder.api(api)?))));
        }
        let (upstreams, links) = (builder.upstreams, builder.links);
        let background = upstreams.iter().map(|(_, upstream)| upstream.start(&shared.control)).collect();
        Ok(Arc::new(Self {
            generation,
            ring,
            routes: RouteTable::new(routes)?,
            metadata: Metadata::build(&config),
            upstreams,
            links,
            calls,
            _background: background,
            config,
        }))
    }

    /// The way to an MCP server, for what no client asked for.
    pub(crate) fn reach(&self, server: &str) -> Option<Reach> {
        self.routes.values().find_map(|route| match route {
            Route::Mcp(mcp) => mcp.service.reach(server),
            Route::Api(_) => None,
        })
    }

    /// What was seen of the tools of an MCP server.
    pub(crate) fn tools(&self, server: &str) -> Option<ToolsView> {
        self.routes.values().find_map(|route| match route {
            Route::Mcp(mcp) => Some(mcp.service.server(server)?.tools()),
            Route::Api(_) => None,
        })
    }

    /// Turns names into addresses, as the upstreams of this snapshot do.
    pub(crate) fn resolver(&self) -> Arc<dyn Resolve> {
        self.calls.resolver()
    }
}

struct Builder<'a> {
    config: &'a Config,
    shared: &'a Shared,
    previous: Option<&'a Arc<Runtime>>,
    calls: &'a Arc<UpstreamShared>,
    ring: &'a Arc<KeyRing>,
    upstreams: Vec<(UpstreamKind, Arc<Upstream>)>,
    links: Vec<Arc<Links>>,
}

impl Builder<'_> {
    fn upstream(&mut self, kind: UpstreamKind, config: &UpstreamConfig) -> Result<Arc<Upstream>, BuildError> {
        let previous = self.previous.and_then(|old| {
            old.upstreams.iter().find(|(k, upstream)| *k == kind && upstream.name() == config.name)
        });
        let upstream = Upstream::build(config, self.calls, previous.map(|(_, upstream)| upstream))
            .map_err(|source| BuildError::Upstream { name: config.name.clone(), source })?;
        self.upstreams.push((kind, Arc::clone(&upstream)));
        Ok(upstream)
    }

    /// The way to an MCP server: links if it is a program, or speaks something else than Streamable HTTP, else its endpoints.
    fn wire(&mut self, config: &holdfast_config::McpServer) -> Result<Wire, BuildError> {
        let parts = LinkParts {
            replica: self.shared.mcp.replica(),
            message_max: usize::try_from(self.config.mcp.max_response_bytes.0).unwrap_or(usize::MAX),
            registry: &self.shared.registry,
            runtime: &self.shared.control,
        };
        let mut old = self.previous.iter().flat_map(|previous| &previous.links);
        let old = old.find(|links| links.name() == config.name);
        if let Some(links) = Links::program(config, parts, old) {
            return Ok(self.linked(links));
        }
        let upstream = self.upstream(UpstreamKind::Mcp, &config.upstream)?;
        match Links::remote(config, &upstream, parts, old)? {
            Some(links) => Ok(self.linked(links)),
            None => Ok(upstream.into()),
        }
    }

    fn linked(&mut self, links: Arc<Links>) -> Wire {
        self.links.push(Arc::clone(&links));
        Linked::new(links, &self.shared.mcp, self.ring).into()
    }

    fn authenticator(
        &self,
        name: &str,
        auth: &holdfast_config::RouteAuth,
    ) -> Result<Authenticator, BuildError> {
        Authenticator::build(holdfast_identity::effective(auth, &self.config.auth))
            .map_err(|source| BuildError::Auth { name: name.to_owned(), source })
    }

    fn mcp(&mut self) -> Result<McpRoute, BuildError> {
        let registry = &self.shared.registry;
        let mut entries = HashMap::with_capacity(self.config.mcp.servers.len());
        let mut servers = Vec::with_capacity(self.config.mcp.servers.len());
        for config in &self.config.mcp.servers {
            let wire = self.wire(config)?;
            let operations = self.shared.operations.server(&config.name);
            let metrics = Arc::new(McpMetrics::with(registry, &config.name, operations));
            servers.push(Server::new(config, wire, metrics)?);
            let name: Arc<str> = format!("mcp/{}", config.name).into();
            let entry = McpEntry {
                authenticator: self.authenticator(&config.name, &config.auth)?,
                metrics: Arc::new(RouteMetrics::new(registry, &name)),
                metadata_url: Metadata::url(self.config, config),
                path: format!("{}/{}", self.config.mcp.path, config.name).into(),
                name,
            };
            entries.insert(config.name.clone(), entry);
        }
        let service = McpService::new(
            &self.config.mcp,
            &self.config.sessions,
            Arc::clone(self.ring),
            Arc::clone(&self.shared.mcp),
            servers,
        );
        let (service, merged) = self.merged(service)?;
        Ok(McpRoute {
            name: "mcp".into(),
            path: self.config.mcp.path.as_str().into(),
            metrics: Arc::new(RouteMetrics::new(registry, "mcp")),
            service,
            merged,
            entries,
        })
    }

    /// The merged endpoint, if it is wanted. Whoever may call it must be who may call its members, so a server with other rules is none.
    fn merged(&self, service: McpService) -> Result<(McpService, Option<McpEntry>), BuildError> {
        let federation = &self.config.mcp.federation;
        if !federation.enabled {
            return Ok((service, None));
        }
        let rules = |auth| holdfast_identity::effective(auth, &self.config.auth);
        let members = self.config.mcp.servers.iter().filter(|server| {
            let same = rules(&server.auth) == rules(&federation.auth);
            if !same {
                tracing::warn!(
                    server = server.name,
                    "not a member of the merged endpoint: its `auth` is another"
                );
            }
            same
        });
        let name: Arc<str> = "mcp".into();
        let entry = McpEntry {
            authenticator: self.authenticator("mcp.federation", &federation.auth)?,
            metrics: Arc::new(RouteMetrics::new(&self.shared.registry, &name)),
            metadata_url: Metadata::merged_url(self.config),
            path: self.config.mcp.path.as_str().into(),
            name,
        };
        let members = members.map(|server| server.name.as_str());
        // Of all servers, so of none by name.
        let operations = self.shared.operations.server("");
        Ok((service.merged(federation, members, operations), Some(entry)))
    }

    fn api(&mut self, config: &holdfast_config::Api) -> Result<ApiEntry, BuildError> {
        let upstream = self.upstream(UpstreamKind::Api, &config.upstream)?;
        let metrics = Arc::new(RouteMetrics::new(&self.shared.registry, &config.name));
        Ok(ApiEntry {
            name: config.name.as_str().into(),
            path: config.path_prefix.as_str().into(),
            authenticator: self.authenticator(&config.name, &config.auth)?,
            route: ApiRoute::build(config, &self.config.server, upstream, Arc::clone(&metrics))
                .map_err(|source| BuildError::Api { name: config.name.clone(), source })?,
            metrics,
        })
    }
}
