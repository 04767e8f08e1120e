//! The links to one server, seen as a Streamable HTTP server: what is opened when, and for whom.

use crate::{
    carrier::Carrier,
    link::{Link, Sizes},
    places::{Places, Room},
    pool::Pool,
    remote::{self, BadCredential, Remote},
    session_id,
    start::Start,
    stdio::Stdio,
};
use holdfast_config::{Links as Config, McpServer, Transport};
use holdfast_resilience::EndpointSnapshot;
use holdfast_store::ReplicaId;
use holdfast_telemetry::{
    Registry,
    metrics::{LinkEnd, LinkMetrics},
};
use holdfast_upstream::{CallError, EndpointKey, Limit, Upstream, clock};
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::runtime::Handle;

/// Requests of one link, those included that nobody waits for any more.
const LINK_REQUESTS_MAX: usize = 1024;
/// Bounds of the pause between two looks for links that rest.
const SWEEP_MIN: Duration = Duration::from_millis(100);
const SWEEP_MAX: Duration = Duration::from_secs(15);

/// Links to one server. Outlives a reload that does not change the server.
pub struct Links {
    pub(crate) name: Arc<str>,
    pub(crate) replica: ReplicaId,
    /// This server: a session's own id says which replica holds it.
    pub(crate) anywhere: EndpointKey,
    pub(crate) metrics: Arc<LinkMetrics>,
    pub(crate) pool: Pool,
    pub(crate) in_flight: Arc<AtomicUsize>,
    pub(crate) requests_max: usize,
    config: McpServer,
    message_max: usize,
    pub(crate) carrier: Kind,
    pub(crate) start: Arc<Start>,
    pub(crate) places: Arc<Places>,
    pub(crate) sizes: Sizes,
    pub(crate) sharing: Config,
    pub(crate) numbers: AtomicU64,
    pub(crate) runtime: Handle,
}

/// What links are carried by.
pub(crate) enum Kind {
    /// Processes of a program.
    Program(Arc<dyn Carrier>),
    /// Connections to endpoints.
    Remote(Arc<Remote>),
}

impl Kind {
    pub(crate) fn get(&self) -> &dyn Carrier {
        match self {
            Self::Program(program) => &**program,
            Self::Remote(remote) => &**remote,
        }
    }
}

/// One link, for `/status`.
#[derive(Clone, Debug)]
pub struct LinkView {
    /// A process id or an address.
    pub label: String,
    /// Where it leads.
    pub endpoint: EndpointKey,
    /// Whether it is of one session.
    pub session: bool,
    /// Requests that somebody waits for.
    pub in_flight: usize,
    /// Since it was opened.
    pub age: Duration,
}

/// The links of one server, for `/status`.
#[derive(Clone, Debug)]
pub struct LinksView {
    /// Breaker of a program. Endpoints have theirs in their upstream.
    pub state: Option<EndpointSnapshot>,
    /// Links opened since the server was configured.
    pub opened: u64,
    /// Those that are open.
    pub links: Vec<LinkView>,
}

/// What links are made with.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Who this replica is.
    pub replica: ReplicaId,
    /// `mcp.max_response_bytes`.
    pub message_max: usize,
    /// For their metrics.
    pub registry: &'a Registry,
    /// Where they run.
    pub runtime: &'a Handle,
}

impl Links {
    /// The links to `server`, if it is one that Holdfast runs. Nothing is started before it is needed. What `previous` has goes on if the
    /// server is configured as before.
    pub fn program(server: &McpServer, parts: Parts<'_>, previous: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        let command = server.command.as_ref()?;
        if let Some(old) = previous.filter(|old| old.goes_on(server, parts)) {
            return Some(Arc::clone(old));
        }
        let metrics = Arc::new(LinkMetrics::new(parts.registry, &server.name));
        let endpoint = process_key(&server.name, parts.replica);
        let carrier = Stdio::new(&server.name, endpoint, command, parts.message_max, &metrics);
        let room = Room {
            all: (command.max_processes, Limit::Processes),
            of_one: (command.max_processes_per_principal, Limit::ProcessesPerPrincipal),
        };
        let policy = holdfast_upstream::endpoint_policy(&server.upstream.policy);
        let start = Start::new(Some(&policy), &metrics);
        let carrier = Kind::Program(Arc::new(carrier));
        Some(Self::over(carrier, server, (room, start), metrics, parts))
    }

    /// The links to `server`, if its endpoints speak something else than Streamable HTTP; `upstream` has them. What `previous` has goes on
    /// if the server is configured as before, and as far as it leads to endpoints that stay.
    pub fn remote(
        server: &McpServer,
        upstream: &Arc<Upstream>,
        parts: Parts<'_>,
        previous: Option<&Arc<Self>>,
    ) -> Result<Option<Arc<Self>>, BadCredential> {
        if server.transport == Transport::StreamableHttp {
            return Ok(None);
        }
        if let Some(old) = previous.filter(|old| old.goes_on(server, parts))
            && let Kind::Remote(remote) = &old.carrier
        {
            remote.renew(upstream);
            old.close_elsewhere();
            return Ok(Some(Arc::clone(old)));
        }
        let metrics = Arc::new(LinkMetrics::new(parts.registry, &server.name));
        let carrier = Kind::Remote(Arc::new(Remote::new(server, upstream, parts.message_max)?));
        let room = Room {
            all: (server.links.max_links, Limit::Links),
            of_one: (server.links.max_links_per_principal, Limit::LinksPerPrincipal),
        };
        let start = Start::new(None, &metrics);
        Ok(Some(Self::over(carrier, server, (room, start), metrics, parts)))
    }

    /// Whether what there is serves `server` as it is configured now.
    fn goes_on(&self, server: &McpServer, parts: Parts<'_>) -> bool {
        let old = &self.config;
        self.message_max == parts.message_max
            && old.command == server.command
            && old.transport == server.transport
            && old.links == server.links
            && old.upstream_auth == server.upstream_auth
            && old.request_timeout == server.request_timeout
            && (old.upstream.policy == server.upstream.policy || server.command.is_none())
    }

    fn over(
        carrier: Kind,
        server: &McpServer,
        (room, start): (Room, Arc<Start>),
        metrics: Arc<LinkMetrics>,
        parts: Parts<'_>,
    ) -> Arc<Self> {
        let scheme = match (&carrier, server.transport) {
            (Kind::Program(_), _) => "stdio",
            (Kind::Remote(_), Transport::Sse) => "sse",
            (Kind::Remote(_), _) => "ws",
        };
        let links = Arc::new(Self {
            name: (&*server.name).into(),
            replica: parts.replica,
            anywhere: EndpointKey::from(&*format!("{scheme}:{}", server.name)),
            pool: Pool::default(),
            in_flight: Arc::default(),
            requests_max: server.upstream.policy.max_requests,
            config: server.clone(),
            message_max: parts.message_max,
            carrier,
            start,
            places: Places::new(room, metrics.open.clone()),
            sizes: Sizes {
                queue_messages: server.links.queue_messages,
                queue_bytes: usize::try_from(server.links.queue_bytes.0).unwrap_or(usize::MAX),
                message_max: parts.message_max,
                requests: LINK_REQUESTS_MAX,
            },
            sharing: server.links.clone(),
            numbers: AtomicU64::new(0),
            runtime: parts.runtime.clone(),
            metrics,
        });
        parts.runtime.spawn(sweep(Arc::downgrade(&links), server.links.idle));
        links
    }

    /// The server's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where requests without a session may go now.
    pub fn endpoints(&self) -> Vec<EndpointKey> {
        self.carrier.get().endpoints()
    }

    /// The endpoint that sessions are bound to, whichever replica holds them.
    pub fn session_endpoint(&self) -> &EndpointKey {
        &self.anywhere
    }

    /// The other replica that holds the link of a session.
    pub fn holder(&self, session: &str) -> Option<ReplicaId> {
        session_id::replica(session).filter(|replica| *replica != self.replica)
    }

    /// The endpoint that processes at a replica are bound by: what was sealed for one leads back to its replica. `None` for endpoints,
    /// which every replica reaches.
    pub fn process_at(&self, replica: ReplicaId) -> Option<EndpointKey> {
        matches!(self.carrier, Kind::Program(_)).then(|| process_key(&self.name, replica))
    }

    /// The other replica whose processes an endpoint stands for.
    pub fn runner(&self, endpoint: &EndpointKey) -> Option<ReplicaId> {
        let (_, replica) = endpoint.as_str().rsplit_once('@')?;
        let replica = u64::from_str_radix(replica, 16).ok().map(ReplicaId)?;
        let other = replica != self.replica && self.process_at(replica).as_ref() == Some(endpoint);
        other.then_some(replica)
    }

    /// A picture of this moment.
    pub fn view(&self) -> LinksView {
        let now = clock::now();
        let view = |link: Arc<Link>| LinkView {
            label: link.label.clone(),
            endpoint: link.endpoint.clone(),
            session: link.session.is_some(),
            in_flight: link.in_flight(),
            age: now.saturating_duration_since(link.opened),
        };
        LinksView {
            state: self.start.snapshot(),
            opened: self.numbers.load(Ordering::Relaxed),
            links: self.pool.all().into_iter().map(view).collect(),
        }
    }

    /// Opens no link any more and closes those there are: the server is gone from the configuration, or the process ends.
    pub fn retire(&self) {
        for link in self.pool.retire() {
            link.close(LinkEnd::Retired);
        }
    }

    /// As [`Links::retire`]; waits until nothing is left of them. `false` if that took longer than `limit`.
    pub async fn finish(&self, limit: Duration) -> bool {
        self.retire();
        tokio::time::timeout(limit, self.places.empty()).await.is_ok()
    }

    /// How long [`Links::finish`] may take.
    pub fn end_max(&self) -> Duration {
        self.config.command.as_ref().map_or(remote::CLOSING, |command| command.stop_grace * 2)
    }

    pub(crate) fn late(&self) -> CallError {
        CallError::Deadline { upstream: (&*self.name).into(), sent: holdfast_resilience::Sent::Nothing }
    }

    pub(crate) fn gone(&self) -> CallError {
        CallError::NoEndpoint {
            upstream: (&*self.name).into(),
            reason: "it is not run any more",
            retry_after: Some(Duration::from_secs(1)),
        }
    }

    pub(crate) fn at_limit(&self) -> CallError {
        CallError::Overloaded { upstream: (&*self.name).into(), limit: Limit::Requests }
    }

    /// Closes links to endpoints that are no more.
    fn close_elsewhere(&self) {
        let endpoints = self.endpoints();
        // Before its names are looked up anew, an upstream knows none of their addresses.
        for link in self.pool.all() {
            if !endpoints.is_empty() && !endpoints.contains(&link.endpoint) {
                link.close(LinkEnd::Retired);
            }
        }
    }

    /// Closes links that rest: those of no session after `idle`, those of a session whose client never came back after its first message.
    fn close_idle(&self, idle: Duration) {
        self.start.show();
        let now = clock::now();
        for link in self.pool.all() {
            let Some((since, came_back)) = link.rests_since() else { continue };
            let rests = link.session.is_none() || !came_back;
            if rests && now.saturating_duration_since(since) >= idle {
                link.close(LinkEnd::Idle);
            }
        }
    }
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").field("name", &self.name).finish_non_exhaustive()
    }
}

fn process_key(server: &str, replica: ReplicaId) -> EndpointKey {
    EndpointKey::from(&*format!("stdio:{server}@{replica}"))
}

async fn sweep(links: Weak<Links>, idle: Duration) {
    let pause = (idle / 4).clamp(SWEEP_MIN, SWEEP_MAX);
    loop {
        tokio::time::sleep(pause).await;
        let Some(links) = links.upgrade() else { return };
        links.close_idle(idle);
    }
}
