//! Clients that do not speak Streamable HTTP: `/mcp/{server}/sse`, `/mcp/{server}/messages`, upgrades of `/mcp/{server}`.

use super::{Pending, begin, identify, local, recorded};
use crate::gateway::Gateway;
use crate::runtime::{McpEntry, McpRoute, Route, Runtime};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use holdfast_apis::Tunnelled;
use holdfast_edge::{Body, ConnectionInfo, RequestBody, RequestContext, unshared, unshared_value};
use holdfast_fronts::websocket::{self, Sequel, Upgrade};
use holdfast_fronts::{Carriage, Comeback, Desk, MessageLimits, Opening, Origin, Service, Stream};
use holdfast_mcp::errors::{McpError, Problem};
use holdfast_mcp::origin::OriginPolicy;
use holdfast_mcp::with_cors;
use holdfast_telemetry::{RecordOutcome, metrics::Carrier};
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body_util::Full;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Behind the path of a server.
const SSE: &str = "/sse";
const MESSAGES: &str = "/messages";
/// What seals the names of the merged endpoint's streams; no server has such a name.
const MERGED: &str = "";

/// What a client wants that does not speak Streamable HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// The event stream of HTTP+SSE.
    Stream,
    /// To say something in one.
    Messages,
    WebSocket,
}

/// A request of such a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Front {
    want: Want,
    /// `None`: the path names none.
    server: Option<Box<str>>,
    /// Where messages go.
    messages_path: Box<str>,
}

impl Front {
    /// The front that a request below `mcp.path` is for, if it is for one.
    pub(super) fn below(runtime: &Runtime, request: &Request<RequestBody>) -> Option<Self> {
        let mcp = &runtime.config.mcp;
        let path = request.uri().path();
        if mcp.websocket.enabled
            && request.headers().contains_key(header::UPGRADE)
            && websocket::is_asked(request.headers())
        {
            let server = super::server_name(runtime, path).map(Box::from);
            return Some(Self { want: Want::WebSocket, server, messages_path: Box::default() });
        }
        if !mcp.sse.enabled {
            return None;
        }
        let (base, want) = match (path.strip_suffix(SSE), path.strip_suffix(MESSAGES)) {
            (Some(base), _) => (base, Want::Stream),
            (None, Some(base)) => (base, Want::Messages),
            (None, None) => return None,
        };
        let server = super::server_name(runtime, base)?;
        Some(Self { want, server: Some(server.into()), messages_path: format!("{base}{MESSAGES}").into() })
    }

    /// The same for a path that no route has: those of the only server, or of all as one.
    pub(super) fn alone<'r>(
        runtime: &'r Runtime,
        request: &Request<RequestBody>,
    ) -> Option<(&'r McpRoute, Self)> {
        let (sse, path) = (&runtime.config.mcp.sse, request.uri().path());
        let want = match path {
            _ if !sse.enabled => return None,
            path if path == sse.path => Want::Stream,
            path if path == sse.messages_path => Want::Messages,
            _ => return None,
        };
        let route = mcp_route(runtime)?;
        let server = match &runtime.config.mcp.servers[..] {
            [only] => Some(only.name.as_str().into()),
            _ => None,
        };
        Some((route, Self { want, server, messages_path: sse.messages_path.as_str().into() }))
    }
}

impl Gateway {
    /// Answers a request of a client that does not speak Streamable HTTP.
    pub(super) async fn front(
        self: &Arc<Self>,
        runtime: &Runtime,
        route: &McpRoute,
        front: Front,
        request: Request<RequestBody>,
        connection: &Arc<ConnectionInfo>,
    ) -> Response<Body> {
        let name = front.server.as_deref();
        let Some(entry) = entry(route, name) else {
            let mut context = begin(&request, connection, (&route.name, &route.path), &self.defaults);
            context.record.outcome = RecordOutcome::Rejected;
            context.record.reason = "no_server";
            return recorded(route.service.no_server(name), context, &route.metrics);
        };
        let mut context = begin(&request, connection, (&entry.name, &entry.path), &self.defaults);
        let pending = Pending::new(&mut context, &entry.metrics);
        let desk = Reception { gateway: self, runtime, route, entry, front: &front, connection };
        let response = desk.answer(request, pending.context).await;
        pending.finish();
        recorded(response, context, &entry.metrics)
    }
}

/// Where a request of a front is judged and begun.
struct Reception<'r> {
    gateway: &'r Arc<Gateway>,
    runtime: &'r Runtime,
    route: &'r McpRoute,
    entry: &'r McpEntry,
    front: &'r Front,
    connection: &'r Arc<ConnectionInfo>,
}

impl Reception<'_> {
    async fn answer(
        &self,
        mut request: Request<RequestBody>,
        context: &mut RequestContext,
    ) -> Response<Body> {
        // A preflight carries no credential (Fetch, "CORS-preflight request"); the service answers it and nothing else.
        if request.method() == Method::OPTIONS {
            return ask(self.route, self.front.server.as_deref(), context, request, self.connection).await;
        }
        if let Err(error) = self.check_origin(&request) {
            return refused(context, &error);
        }
        let origin = request.headers().get(header::ORIGIN).cloned();
        let before = request.headers().clone();
        let response = match identify(&self.entry.authenticator, &mut request, context) {
            Ok(()) => self.begin(request, before, context).await,
            Err(error) => local::unauthenticated(&error, self.entry.metadata_url.as_deref()),
        };
        with_cors(response, origin)
    }

    fn check_origin(&self, request: &Request<RequestBody>) -> Result<(), McpError> {
        let mcp = &self.runtime.config.mcp;
        let policy = OriginPolicy::new(&mcp.allowed_origins, &mcp.allowed_hosts, mcp.public_url.as_deref());
        let authority = request.uri().authority().map(http::uri::Authority::as_str);
        let (local, tls) = (self.connection.local.ip(), self.connection.tls.is_some());
        policy.check(request.headers(), authority, local, tls)
    }

    async fn begin(
        &self,
        request: Request<RequestBody>,
        before: HeaderMap,
        context: &mut RequestContext,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let config = &self.runtime.config;
        let carriage = Carriage::new(&config.server);
        context.record.upstream = self.front.server.as_deref().map(Arc::from);
        match self.front.want {
            Want::Messages if parts.method == Method::POST => {
                let desk = Desk {
                    ring: &self.runtime.ring,
                    peers: self.gateway.peers.as_deref(),
                    principal: context.principal.binding(),
                    server: self.front.server.as_deref().unwrap_or(MERGED),
                    messages: MessageLimits::new(&config.mcp),
                };
                let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
                context.record.bytes_in = length.and_then(|length| length.parse().ok()).unwrap_or_default();
                let response = self.gateway.fronts.post(desk, &parts, body).await;
                if response.status().is_client_error() {
                    context.record.outcome = RecordOutcome::Rejected;
                }
                response
            }
            Want::Stream if parts.method == Method::GET => {
                let opening = self.opening(&parts, before, context, Carrier::Sse);
                context.record.streaming = true;
                let stream = Stream {
                    ring: &self.runtime.ring,
                    life: config.sessions.absolute_ttl,
                    server: self.front.server.as_deref().unwrap_or(MERGED),
                    messages_path: &self.front.messages_path,
                    keep_alive: config.mcp.keep_alive,
                };
                let opened = self.gateway.fronts.open_sse(stream, opening, carriage);
                opened.unwrap_or_else(|error| refused(context, &error))
            }
            Want::WebSocket => {
                let opening = self.opening(&parts, before, context, Carrier::WebSocket);
                let upgrade = match Upgrade::accept(parts, config.mcp.websocket.require_subprotocol) {
                    Ok(upgrade) => upgrade,
                    Err(response) => {
                        context.record.outcome = RecordOutcome::Rejected;
                        context.record.reason = "websocket_handshake";
                        return *response;
                    }
                };
                self.upgrade(upgrade, opening, carriage, context)
            }
            Want::Messages => not_allowed(context, "POST"),
            Want::Stream => not_allowed(context, "GET"),
        }
    }

    fn upgrade(
        &self,
        upgrade: Upgrade,
        opening: Opening,
        carriage: Carriage,
        context: &mut RequestContext,
    ) -> Response<Body> {
        let place = match self.gateway.fronts.place(opening.limits.max) {
            Ok(place) => place,
            Err(error) => return refused(context, &error),
        };
        let id = context.id.header_value();
        context.unshare();
        let sequel = Sequel::new(context, &self.entry.metrics);
        let ping_interval = self.runtime.config.mcp.websocket.ping_interval;
        let fronts = &self.gateway.fronts;
        let mut response =
            fronts.open_websocket(upgrade, opening, (carriage, ping_interval), (place, sequel));
        response.headers_mut().insert(holdfast_edge::REQUEST_ID, id);
        response.extensions_mut().insert(Tunnelled);
        response
    }

    fn opening(
        &self,
        parts: &http::request::Parts,
        before: HeaderMap,
        context: &RequestContext,
        carrier: Carrier,
    ) -> Opening {
        let mcp = &self.runtime.config.mcp;
        let authority = parts.uri.authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok());
        let host = parts.headers.get(header::HOST).cloned().or(authority);
        // What authenticated the client was taken out of its headers, and is needed to see whether it still would.
        let credential = before
            .into_iter()
            .filter_map(|(name, value)| Some((name?, value)))
            .filter(|(name, _)| !parts.headers.contains_key(name));
        let target = Target {
            gateway: Arc::clone(self.gateway),
            server: self.front.server.clone(),
            credential: Some(unshared(&credential.collect())),
            principal: context.principal.binding(),
        };
        let comeback =
            if carrier == Carrier::WebSocket { Comeback::of(&parts.headers) } else { Comeback::default() };
        Opening {
            service: Arc::new(target),
            origin: Origin::new(context),
            connection: Arc::clone(self.connection),
            host: host.map_or_else(|| HeaderValue::from_static("localhost"), |host| unshared_value(&host)),
            carrier,
            comeback,
            defaults: self.gateway.defaults.clone(),
            path: Arc::clone(&self.entry.path),
            limits: mcp.conversations.clone(),
            messages: MessageLimits::new(mcp),
            metrics: Arc::clone(self.gateway.fronts.metrics()),
        }
    }
}

/// The MCP servers of a snapshot, if it has any.
pub(crate) fn mcp_route(runtime: &Runtime) -> Option<&McpRoute> {
    runtime.routes.values().find_map(|route| match route {
        Route::Mcp(route) => Some(&**route),
        Route::Api(_) => None,
    })
}

/// A server's part of the route, or that of all as one.
pub(crate) fn entry<'r>(route: &'r McpRoute, server: Option<&str>) -> Option<&'r McpEntry> {
    match server {
        Some(name) => route.entries.get(name),
        None => route.merged.as_ref(),
    }
}

async fn ask<B>(
    route: &McpRoute,
    server: Option<&str>,
    context: &mut RequestContext,
    request: Request<B>,
    connection: &ConnectionInfo,
) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send,
{
    match server.map(|name| (name, route.service.server(name))) {
        None => route.service.handle_merged(context, request, connection).await,
        Some((_, Some(server))) => route.service.handle(context, request, server, connection).await,
        // A reload took it away.
        Some((name, None)) => route.service.no_server(Some(name)),
    }
}

fn refused(context: &mut RequestContext, error: &McpError) -> Response<Body> {
    context.record.outcome = RecordOutcome::Rejected;
    context.record.reason = error.problem().row().reason;
    error.response(None).map(Body::full)
}

/// Clients of several transports try Streamable HTTP first; the status is what tells them (2025-11-25 "Backwards Compatibility").
fn not_allowed(context: &mut RequestContext, allow: &'static str) -> Response<Body> {
    let mut response = refused(context, &McpError::new(Problem::MethodNotAllowed));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

/// A server of whatever snapshot is the current one, for one client.
pub(crate) struct Target {
    pub(crate) gateway: Arc<Gateway>,
    /// `None`: all as one.
    pub(crate) server: Option<Box<str>>,
    /// The headers that authenticated it; `None`: whoever started this process did.
    pub(crate) credential: Option<HeaderMap>,
    pub(crate) principal: [u8; 32],
}

impl Service for Target {
    fn answer<'s>(
        &'s self,
        context: &'s mut RequestContext,
        request: Request<Full<Bytes>>,
        connection: &'s ConnectionInfo,
    ) -> BoxFuture<'s, Response<Body>> {
        async move {
            let runtime = self.gateway.runtime();
            match mcp_route(&runtime) {
                Some(route) => ask(route, self.server.as_deref(), context, request, connection).await,
                // A reload took all of them away.
                None => McpError::new(Problem::UnknownServer).response(None).map(Body::full),
            }
        }
        .boxed()
    }

    fn is_welcome(&self) -> bool {
        let Some(credential) = &self.credential else { return true };
        let runtime = self.gateway.runtime();
        // A server that is gone answers so by itself.
        let Some(entry) = mcp_route(&runtime).and_then(|route| entry(route, self.server.as_deref())) else {
            return true;
        };
        if !entry.authenticator.is_required() {
            return true;
        }
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let who = entry.authenticator.authenticate(credential, unix);
        who.is_ok_and(|principal| principal.binding() == self.principal)
    }
}
