//! The way of a request through a snapshot: health, metadata, route, identity, service, record.

pub(crate) mod front;

use crate::gateway::Gateway;
use crate::local;
use crate::metadata::WELL_KNOWN;
use crate::runtime::{McpRoute, Route, Runtime};
use front::Front;
use holdfast_edge::{Body, ConnectionInfo, ContextDefaults, Handler, LongLived, RequestBody, RequestContext};
use holdfast_identity::{AuthError, Authenticator};
use holdfast_resilience::Deadline;
use holdfast_telemetry::{RecordOutcome, RouteMetrics};
use http::header::Entry;
use http::{Method, Request, Response};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Widest deadline a request starts with; each route narrows it.
const DEADLINE_MAX: Duration = Duration::from_hours(1);

thread_local! {
    /// One generator per worker: request ids and spans.
    static RNG: RefCell<fastrand::Rng> = RefCell::new(fastrand::Rng::new());
}

impl Handler for Gateway {
    async fn handle(
        self: &Arc<Self>,
        request: &mut Request<RequestBody>,
        connection: &Arc<ConnectionInfo>,
    ) -> Response<Body> {
        let runtime = self.runtime();
        let path = request.uri().path();
        if let Some(response) = self.health(request) {
            return response;
        }
        if path.starts_with(WELL_KNOWN) {
            return runtime.metadata.get(path).map_or_else(local::no_route, local::metadata);
        }
        match runtime.routes.find(path) {
            Some(Route::Api(entry)) => {
                // In place: a future of its own would copy the context once more.
                let mut context = begin(request, connection, (&entry.name, &entry.path), &self.defaults);
                let pending = Pending::new(&mut context, &entry.metrics);
                let response = match identify(&entry.authenticator, request, pending.context) {
                    Ok(()) => entry.route.handle(pending.context, request, connection).await,
                    Err(error) => local::unauthenticated(&error, None),
                };
                pending.finish();
                recorded(response, context, &entry.metrics)
            }
            Some(Route::Mcp(route)) => {
                let request = std::mem::take(request);
                match Front::below(&runtime, &request) {
                    Some(front) => Box::pin(self.front(&runtime, route, front, request, connection)).await,
                    None => Box::pin(self.mcp(&runtime, route, request, connection)).await,
                }
            }
            None => match Front::alone(&runtime, request) {
                Some((route, front)) => {
                    let request = std::mem::take(request);
                    Box::pin(self.front(&runtime, route, front, request, connection)).await
                }
                None => self.unrouted(request, connection),
            },
        }
    }
}

impl Gateway {
    /// `/health`, `/ready`, `/healthz` on every listener: not recorded, not counted, nothing asked of anybody.
    fn health(&self, request: &Request<RequestBody>) -> Option<Response<Body>> {
        let response = match request.uri().path() {
            "/health" => local::alive(),
            "/ready" | "/healthz" => local::ready(self.is_ready()),
            _ => return None,
        };
        match *request.method() {
            Method::GET | Method::HEAD => Some(response),
            _ => Some(local::method_not_allowed()),
        }
    }

    async fn mcp(
        &self,
        runtime: &Runtime,
        route: &McpRoute,
        mut request: Request<RequestBody>,
        connection: &Arc<ConnectionInfo>,
    ) -> Response<Body> {
        let name = server_name(runtime, request.uri().path());
        let entry = match name {
            Some(name) => {
                route.entries.get(name).and_then(|entry| Some((entry, Some(route.service.server(name)?))))
            }
            None => route.merged.as_ref().map(|entry| (entry, None)),
        };
        let Some((entry, server)) = entry else {
            let mut context = begin(&request, connection, (&route.name, &route.path), &self.defaults);
            context.record.outcome = RecordOutcome::Rejected;
            context.record.reason = "no_server";
            return recorded(route.service.no_server(name), context, &route.metrics);
        };
        let mut context = begin(&request, connection, (&entry.name, &entry.path), &self.defaults);
        let pending = Pending::new(&mut context, &entry.metrics);
        // A preflight carries no credential (Fetch, "CORS-preflight request"); the service answers it and nothing else.
        let outcome = if request.method() == Method::OPTIONS {
            Ok(())
        } else {
            identify(&entry.authenticator, &mut request, pending.context)
        };
        let response = match outcome {
            Ok(()) => match server {
                Some(server) => route.service.handle(pending.context, request, server, connection).await,
                None => route.service.handle_merged(pending.context, request, connection).await,
            },
            Err(error) => {
                let refusal = local::unauthenticated(&error, entry.metadata_url.as_deref());
                let authority = request.uri().authority().map(http::uri::Authority::as_str);
                route.service.readable(refusal, request.headers(), authority, connection)
            }
        };
        pending.finish();
        recorded(response, context, &entry.metrics)
    }

    fn unrouted(&self, request: &Request<RequestBody>, connection: &Arc<ConnectionInfo>) -> Response<Body> {
        let mut context =
            begin(request, connection, (&self.no_route_name, &self.no_route_name), &self.defaults);
        context.record.outcome = RecordOutcome::Rejected;
        context.record.reason = "no_route";
        recorded(local::no_route(), context, &self.no_route_metrics)
    }
}

/// The path segment behind `mcp.path`; `None` for the path itself.
fn server_name<'a>(runtime: &Runtime, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(runtime.config.mcp.path.as_str())?;
    let name = rest.trim_matches('/');
    (!name.is_empty()).then_some(name)
}

/// Names the principal by the route's rules and removes what authenticated it.
fn identify(
    authenticator: &Authenticator,
    request: &mut Request<RequestBody>,
    context: &mut RequestContext,
) -> Result<(), AuthError> {
    if !authenticator.is_required() {
        return Ok(());
    }
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match authenticator.authenticate(request.headers(), unix) {
        Ok(principal) => {
            context.record.subject = Some(Arc::clone(principal.subject()));
            context.principal = principal;
            authenticator.strip(request.headers_mut());
            Ok(())
        }
        Err(error) => {
            context.record.outcome = RecordOutcome::Rejected;
            context.record.reason = error.reason();
            Err(error)
        }
    }
}

/// The context of a request that belongs to `route`; `path` is what such requests have in common.
fn begin(
    request: &Request<RequestBody>,
    connection: &Arc<ConnectionInfo>,
    (route, path): (&Arc<str>, &Arc<str>),
    defaults: &ContextDefaults,
) -> RequestContext {
    let started = Instant::now();
    let times = (started, Deadline::after(started, DEADLINE_MAX));
    // A generator of its own for each request: the context is then made where it stays.
    let mut rng = RNG.with_borrow_mut(fastrand::Rng::fork);
    let mut context = RequestContext::begin_at(request, connection, times, &mut rng, defaults);
    context.route = Arc::clone(route);
    context.record.route = Some(Arc::clone(route));
    context.record_spans(defaults, path);
    context
}

/// Hands the record of an answered request to the body, which completes it.
fn recorded(
    mut response: Response<Body>,
    mut context: RequestContext,
    metrics: &Arc<RouteMetrics>,
) -> Response<Body> {
    if response.extensions().get::<holdfast_apis::Tunnelled>().is_some() {
        // The tunnel took the record and writes it when it ends.
        return response;
    }
    if response.extensions().get::<LongLived>().is_some() {
        context.unshare();
    }
    if let Entry::Vacant(absent) = response.headers_mut().entry(holdfast_edge::REQUEST_ID) {
        absent.insert(context.id_value());
    }
    let mut record = context.record;
    record.status = response.status().as_u16();
    record.first_byte = Some(context.started.elapsed());
    let body = std::mem::take(response.body_mut());
    *response.body_mut() = body.recorded(record, Some(Arc::clone(metrics)), context.started);
    response
}

/// A request that has no answer yet. Dropped without [`Pending::finish`], the client went away first, and the record says so.
struct Pending<'a> {
    context: &'a mut RequestContext,
    metrics: &'a RouteMetrics,
    finished: bool,
}

impl<'a> Pending<'a> {
    fn new(context: &'a mut RequestContext, metrics: &'a RouteMetrics) -> Self {
        Self { context, metrics, finished: false }
    }

    fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let record = &mut self.context.record;
        record.duration = self.context.started.elapsed();
        if record.outcome == RecordOutcome::Ok {
            record.outcome = RecordOutcome::ClientAbort;
        }
        self.metrics.count(record);
        record.emit();
    }
}
