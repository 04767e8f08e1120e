//! The links to one server, seen as a Streamable HTTP server: what is opened when, and for whom.

use crate::{
    carrier::{Carrier, OpenError},
    link::{For, Link, Sizes, carry},
    places::{Place, Places},
    pool::{Pool, Retired, Shelf},
    session_id,
    start::{Start, Started, TooSoon},
    stdio::Stdio,
    switchboard::{Owner, Sharing},
};
use holdfast_config::{Command, Links as Config, McpServer};
use holdfast_resilience::EndpointSnapshot;
use holdfast_store::ReplicaId;
use holdfast_telemetry::{
    Registry,
    metrics::{LinkEnd, LinkMetrics, LinkOpening},
};
use holdfast_upstream::{CallError, EndpointKey, Limit, clock};
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
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
    /// This server at this replica: where requests without a session go, and what is bound to their process leads back to.
    pub(crate) endpoint: EndpointKey,
    /// This server: a session's own id says which replica holds it.
    pub(crate) anywhere: EndpointKey,
    pub(crate) metrics: Arc<LinkMetrics>,
    pub(crate) pool: Pool,
    pub(crate) in_flight: Arc<AtomicUsize>,
    pub(crate) requests_max: usize,
    config: McpServer,
    message_max: usize,
    carrier: Arc<dyn Carrier>,
    start: Arc<Start>,
    places: Arc<Places>,
    sizes: Sizes,
    sharing: Config,
    numbers: AtomicU64,
    runtime: Handle,
}

/// One link, for `/status`.
#[derive(Clone, Debug)]
pub struct LinkView {
    /// A process id or an address.
    pub label: String,
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
    /// Breaker and openings.
    pub state: EndpointSnapshot,
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

/// A link that was just opened: dropped without [`Opened::keep`], it is closed.
pub(crate) struct Opened(Option<Arc<Link>>);

impl Links {
    /// The links to `server`, if it is one that Holdfast runs. Nothing is started before it is needed. What `previous` has goes on if the
    /// server is configured as before.
    pub fn build(server: &McpServer, parts: Parts<'_>, previous: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        let command = server.command.as_ref()?;
        let same = previous.filter(|old| {
            old.message_max == parts.message_max
                && old.config.command == server.command
                && old.config.links == server.links
                && old.config.upstream.policy == server.upstream.policy
        });
        if let Some(old) = same {
            return Some(Arc::clone(old));
        }
        let metrics = Arc::new(LinkMetrics::new(parts.registry, &server.name));
        let carrier = Arc::new(Stdio::new(&server.name, command, parts.message_max, &metrics));
        Some(Self::over(carrier, "stdio", server, command, metrics, parts))
    }

    fn over(
        carrier: Arc<dyn Carrier>,
        scheme: &str,
        server: &McpServer,
        command: &Command,
        metrics: Arc<LinkMetrics>,
        parts: Parts<'_>,
    ) -> Arc<Self> {
        let (name, replica) = (&*server.name, parts.replica);
        let policy = holdfast_upstream::endpoint_policy(&server.upstream.policy);
        let links = Arc::new(Self {
            name: name.into(),
            replica,
            endpoint: EndpointKey::from(&*format!("{scheme}:{name}@{replica}")),
            anywhere: EndpointKey::from(&*format!("{scheme}:{name}")),
            pool: Pool::default(),
            in_flight: Arc::default(),
            requests_max: server.upstream.policy.max_requests,
            config: server.clone(),
            message_max: parts.message_max,
            carrier,
            start: Start::new(&policy, &metrics),
            places: Places::new(
                command.max_processes,
                command.max_processes_per_principal,
                metrics.open.clone(),
            ),
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

    /// The endpoint that requests without a session go to.
    pub fn endpoint(&self) -> &EndpointKey {
        &self.endpoint
    }

    /// The endpoint that sessions are bound to, whichever replica holds them.
    pub fn session_endpoint(&self) -> &EndpointKey {
        &self.anywhere
    }

    /// A picture of this moment.
    pub fn view(&self) -> LinksView {
        let now = clock::now();
        let view = |link: Arc<Link>| LinkView {
            label: link.label.clone(),
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
        self.config.command.as_ref().map_or(Duration::ZERO, |command| command.stop_grace * 2)
    }

    /// The link that a request of `owner` without a session goes over. Opened if need be; one of those who wait opens it.
    pub(crate) async fn shared(
        self: &Arc<Self>,
        owner: Owner,
        until: Instant,
    ) -> Result<Arc<Link>, CallError> {
        let (shelf, sharing) = if self.sharing.shared {
            (self.pool.least_busy(self.sharing.pool), Sharing::Everybody)
        } else {
            (Shelf::Of(owner), Sharing::Principal)
        };
        let opening = match self.pool.shelf(shelf) {
            Ok(link) => return Ok(link),
            Err(opening) => opening,
        };
        let Ok(_turn) = clock::timeout_at(until, opening.lock()).await else { return Err(self.late()) };
        if let Ok(link) = self.pool.shelf(shelf) {
            return Ok(link);
        }
        let whom = For { number: self.number(), session: None, owner, sharing };
        let link = self.open(whom, Some(shelf), until).await?.keep();
        link.ok_or_else(|| self.gone())
    }

    /// A link for a new session of `owner`.
    pub(crate) async fn session(self: &Arc<Self>, owner: Owner, until: Instant) -> Result<Opened, CallError> {
        let session = session_id::new(self.replica).ok_or_else(|| self.gone())?;
        let whom = For { number: self.number(), session: Some(session), owner, sharing: Sharing::Session };
        self.open(whom, None, until).await
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    async fn open(
        self: &Arc<Self>,
        whom: For,
        shelf: Option<Shelf>,
        until: Instant,
    ) -> Result<Opened, CallError> {
        let owner = (whom.sharing != Sharing::Everybody).then_some(whom.owner);
        let place = self.places.take(owner).map_err(|limit| {
            self.metrics.openings.inc(LinkOpening::Full);
            CallError::Overloaded { upstream: (&*self.name).into(), limit }
        })?;
        let started = self.start.admit(until).await.map_err(|TooSoon { retry_after }| {
            CallError::Refused { upstream: (&*self.name).into(), retry_after: Some(retry_after) }
        })?;
        // Where links run, and to its end whoever waits for it: nothing is left half open.
        let opening = self.runtime.spawn(Arc::clone(self).begin(whom, shelf, (place, started), until));
        match clock::timeout_at(until, opening).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(_)) => Err(self.gone()),
            Err(clock::Elapsed) => Err(self.late()),
        }
    }

    async fn begin(
        self: Arc<Self>,
        whom: For,
        shelf: Option<Shelf>,
        (place, started): (Place, Started),
        until: Instant,
    ) -> Result<Opened, CallError> {
        let carried = match tokio::time::timeout_at(until.into(), self.carrier.open(whom.owner, until)).await
        {
            Ok(Ok(carried)) => carried,
            Ok(Err(error)) => {
                started.failed();
                tracing::warn!(server = &*self.name, %error, "no link");
                let OpenError(source) = error;
                return Err(CallError::Connect { endpoint: self.endpoint.clone(), source });
            }
            Err(_) => {
                started.failed();
                return Err(self.late());
            }
        };
        let (link, letters) = Link::new(whom, carried.label.clone(), self.sizes, &self.metrics);
        if let Err(Retired) = self.pool.put(&link, shelf) {
            link.close(LinkEnd::Retired);
        }
        let (links, task) = (Arc::clone(&self), Arc::clone(&link));
        tokio::spawn(async move {
            carry(Arc::clone(&task), carried, letters, started, || links.pool.remove(&task)).await;
            drop(place);
        });
        Ok(Opened(Some(link)))
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

impl Opened {
    /// The link stays open.
    pub(crate) fn keep(mut self) -> Option<Arc<Link>> {
        self.0.take()
    }

    pub(crate) fn link(&self) -> Option<&Arc<Link>> {
        self.0.as_ref()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // One that is found on its shelf rests there.
        if let Some(link) = self.0.take().filter(|link| link.session.is_some()) {
            link.close(LinkEnd::Closed);
        }
    }
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").field("name", &self.name).finish_non_exhaustive()
    }
}

async fn sweep(links: Weak<Links>, idle: Duration) {
    let pause = (idle / 4).clamp(SWEEP_MIN, SWEEP_MAX);
    loop {
        tokio::time::sleep(pause).await;
        let Some(links) = links.upgrade() else { return };
        links.close_idle(idle);
    }
}
