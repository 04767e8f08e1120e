//! `serve --stdio`: the one client is at the other end of standard input and output, and nothing listens.

use crate::dispatch::front::{Target, entry, mcp_route};
use crate::gateway::Gateway;
use crate::serve::ServeError;
use holdfast_config::Config;
use holdfast_edge::{ConnectionInfo, ContextDefaults, DrainHandle, HttpVersion, Phase, RequestContext};
use holdfast_fronts::stdio::{LineLimits, carry};
use holdfast_fronts::{Carriage, Comeback, Conversation, MessageLimits, Opening, Origin};
use holdfast_identity::Principal;
use holdfast_resilience::Deadline;
use holdfast_telemetry::metrics::{Carrier, ConversationEnd};
use holdfast_telemetry::{RecordOutcome, RouteMetrics};
use http::{HeaderValue, Request};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Who vouches for the client: whoever started this process.
const ISSUER: &str = "stdio";
/// Name of the listener in records.
const LISTENER: &str = "stdio";

/// What a configuration means here: no listener, no admin port, and nothing on standard output but messages.
pub(crate) fn adapt(config: &mut Config) {
    config.listeners.clear();
    config.admin.enabled = false;
    config.server.workers = 1;
    // Nobody asks `/ready`.
    config.server.drain_delay = Duration::ZERO;
    if config.observability.access_log.enabled && config.observability.access_log.path.is_none() {
        config.observability.access_log.enabled = false;
    }
}

/// The client of this process, ready to be carried.
pub(crate) struct Stdio {
    gateway: Arc<Gateway>,
    context: RequestContext,
    opening: Opening,
    metrics: Arc<RouteMetrics>,
    drain: DrainHandle,
}

impl Stdio {
    /// As configured in `mcp.stdio`.
    pub(crate) fn new(gateway: &Arc<Gateway>, drain: DrainHandle) -> Result<Self, ServeError> {
        let runtime = gateway.runtime();
        let mcp = &runtime.config.mcp;
        let name = match (&mcp.stdio.server, &mcp.servers[..]) {
            (Some(name), _) => Some(name.as_str()),
            (None, [only]) => Some(only.name.as_str()),
            (None, _) => None,
        };
        Self::of(gateway, drain, name)
    }

    /// As configured in `mcp.stdio`, at this server; `None` = all of them as one.
    pub(crate) fn of(
        gateway: &Arc<Gateway>,
        drain: DrainHandle,
        name: Option<&str>,
    ) -> Result<Self, ServeError> {
        let runtime = gateway.runtime();
        let mcp = &runtime.config.mcp;
        let environment = |text: &str| ServeError::Environment(text.to_owned());
        let route = mcp_route(&runtime).ok_or_else(|| environment("--stdio: there is no MCP server"))?;
        let entry = entry(route, name).ok_or_else(|| {
            environment(
                "--stdio: mcp.stdio.server must be one of the servers, or there must be a merged endpoint",
            )
        })?;
        let principal = match &mcp.stdio.subject {
            None => Principal::anonymous(),
            Some(subject) => {
                let scopes = mcp.stdio.scopes.iter().map(|scope| scope.as_str().into()).collect();
                let principal = Principal::new(ISSUER, subject, mcp.stdio.tenant.as_deref(), scopes);
                let roles = mcp.stdio.roles.iter().map(|role| role.as_str().into()).collect();
                let principal =
                    principal.map_err(|error| environment(&format!("--stdio: mcp.stdio: {error}")))?;
                Arc::new(principal.with_roles(roles))
            }
        };
        let target = Target {
            gateway: Arc::clone(gateway),
            server: name.map(Box::from),
            credential: None,
            principal: principal.binding(),
        };
        let connection = Arc::new(connection(drain.clone()));
        let mut context = context(&connection, principal);
        context.route = Arc::clone(&entry.name);
        context.record.route = Some(Arc::clone(&entry.name));
        context.record.upstream = name.map(Arc::from);
        let opening = Opening {
            service: Arc::new(target),
            origin: Origin::new(&context),
            connection,
            host: HeaderValue::from_static("localhost"),
            carrier: Carrier::Stdio,
            comeback: Comeback::default(),
            defaults: gateway.defaults.clone(),
            path: Arc::clone(&entry.path),
            limits: mcp.conversations.clone(),
            messages: MessageLimits::new(mcp),
            metrics: Arc::clone(gateway.fronts.metrics()),
        };
        let (gateway, metrics) = (Arc::clone(gateway), Arc::clone(&entry.metrics));
        Ok(Self { gateway, context, opening, metrics, drain })
    }

    /// What a conversation of this client begins with.
    pub(crate) fn into_opening(self) -> Opening {
        self.opening
    }

    /// Carries the client to its end, then ends the process in order.
    pub(crate) async fn run(self) {
        let Self { gateway, context, opening, metrics, drain } = self;
        let config = Arc::clone(&gateway.runtime().config);
        let (mut record, started) = (context.record, context.started);
        let limits = LineLimits {
            line_max: opening.messages.client.bytes_max,
            write_timeout: opening.limits.write_timeout,
            grace: grace(&config),
        };
        let streams = match (own(std::io::stdin()), own(std::io::stdout())) {
            (Ok(input), Ok(output)) => (input, output),
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(%error, "standard input or output cannot be used");
                gateway.begin_drain("no standard input and output");
                return;
            }
        };
        // No other clients come back at the same time: there is nothing to spread.
        let leave = drain.reached(Phase::Unready);
        let end = carry(Conversation::new(opening), streams, limits, leave).await;
        gateway.fronts.metrics().ends.get(Carrier::Stdio).inc(end);
        record.status = 200;
        record.streaming = true;
        record.duration = started.elapsed();
        record.outcome = match end {
            ConversationEnd::Whole | ConversationEnd::Unwelcome => RecordOutcome::Ok,
            ConversationEnd::Gone | ConversationEnd::Stuck | ConversationEnd::Broken => {
                RecordOutcome::ClientAbort
            }
            ConversationEnd::Drained => RecordOutcome::EndedDrain,
        };
        metrics.count(&record);
        record.emit();
        holdfast_telemetry::flush_records();
        if !drain.is_draining() {
            gateway.begin_drain("end of the input");
        }
    }
}

/// A handle of our own on one of the process's streams: what is read and written passes no buffer of the standard library.
fn own(stream: impl AsFd) -> std::io::Result<tokio::fs::File> {
    let stream = stream.as_fd().try_clone_to_owned()?;
    Ok(tokio::fs::File::from_std(std::fs::File::from(stream)))
}

/// What is in flight at the end is answered within this time.
pub(crate) fn grace(config: &Config) -> Duration {
    Carriage::new(&config.server).grace
}

fn connection(drain: DrainHandle) -> ConnectionInfo {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    ConnectionInfo {
        peer: SocketAddr::new(here, 0),
        client: here,
        local: SocketAddr::new(here, 0),
        listener: LISTENER.into(),
        tls: None,
        http: HttpVersion::Http1,
        trusted: Arc::new([]),
        drain,
    }
}

fn context(connection: &ConnectionInfo, principal: Arc<Principal>) -> RequestContext {
    let request = Request::new(());
    let now = Instant::now();
    let (deadline, mut rng) = (Deadline::at(now), fastrand::Rng::new());
    let mut context =
        RequestContext::begin(&request, connection, deadline, &mut rng, &ContextDefaults::default());
    context.record.subject = Some(Arc::clone(principal.subject()));
    context.principal = principal;
    context
}
