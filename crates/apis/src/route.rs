//! One route: from a client's request to the upstream's answer.

use crate::{
    failure,
    forward::{self, Forwarding},
    path::{check_path, prefix_len},
    problem::Problem,
    request_body::{self, BodyLimits},
    scan::{self, Found},
    tunnel::{Tunnel, TunnelLimits, TunnelRecord},
    upgrade::{self, Tunnelled},
};
use holdfast_config as config;
use holdfast_edge::{Body, ConnectionInfo, REQUEST_ID, RequestBody, RequestContext};
use holdfast_resilience::Safety;
use holdfast_telemetry::RouteMetrics;
use holdfast_upstream::{Call, CallBody, CallError, Reply, Target, Upstream, safety_of};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{ALLOW, MAX_FORWARDS},
    uri::PathAndQuery,
};
use http_body::Body as _;
use hyper::upgrade::OnUpgrade;
use std::{
    fmt,
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    sync::Arc,
    time::Duration,
};

/// `Idempotency-Key`: the client says that a repeated request has no second effect.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A plain HTTP route. Shared by all workers; keeps nothing of a request.
pub struct ApiRoute {
    name: Arc<str>,
    prefix: Box<str>,
    strip_prefix: bool,
    upstream: Arc<Upstream>,
    upstream_name: Arc<str>,
    metrics: Arc<RouteMetrics>,
    timeout: Duration,
    limits: BodyLimits,
    forwarding: Forwarding,
    tunnels: TunnelLimits,
    /// The balancer goes by a key.
    hashed: bool,
}

impl fmt::Debug for ApiRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiRoute")
            .field("name", &self.name)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Why a route cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// `upstream_auth` does not form a header.
    #[error(
        "apis `{route}`: upstream_auth does not form a header: {what}; check its {what} for spaces and line ends"
    )]
    UpstreamAuth {
        /// The route.
        route: String,
        /// `header` or `value`.
        what: &'static str,
    },
}

/// What a request needs besides its call.
struct Asked<'a> {
    context: &'a mut RequestContext,
    connection: &'a ConnectionInfo,
    upgrade: Option<OnUpgrade>,
}

impl ApiRoute {
    /// A route as configured, over an upstream that is built already.
    pub fn build(
        cfg: &config::Api,
        server: &config::Server,
        upstream: Arc<Upstream>,
        metrics: Arc<RouteMetrics>,
    ) -> Result<Self, BuildError> {
        let policy = &cfg.upstream.policy;
        let replay = if policy.retry.enabled { policy.retry.replay_buffer.0 } else { 0 };
        Ok(Self {
            name: cfg.name.as_str().into(),
            prefix: cfg.path_prefix.trim_end_matches('/').into(),
            strip_prefix: cfg.strip_prefix,
            upstream,
            upstream_name: cfg.upstream.name.as_str().into(),
            metrics,
            timeout: policy.timeout,
            hashed: matches!(policy.strategy, config::Strategy::RingHash | config::Strategy::Maglev),
            limits: BodyLimits { max: cfg.max_body_bytes.0, replay },
            forwarding: Forwarding {
                preserve_host: cfg.preserve_host,
                forward_authorization: cfg.forward_authorization,
                upstream_auth: cfg
                    .upstream_auth
                    .as_ref()
                    .map(|auth| credential(&cfg.name, auth))
                    .transpose()?,
            },
            tunnels: TunnelLimits {
                idle: server.stream_idle_timeout,
                handshake: server.write_timeout,
                // Half of the drain, so that the last of them ends well before the hard stop.
                spread: server.max_drain / 2,
            },
        })
    }

    /// The route's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The route's upstream.
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Answers one request, whose credential was judged and stripped, and fills its record as far as it is known. The
    /// caller writes the record when the body ends, unless the response is [`Tunnelled`].
    ///
    /// Cancel safe: dropping the future drops the attempt.
    pub async fn handle(
        &self,
        context: &mut RequestContext,
        request: &mut Request<RequestBody>,
        connection: &Arc<ConnectionInfo>,
    ) -> Response<Body> {
        match self.pass(request, context, connection).await {
            Ok(response) => response,
            Err(problem) => {
                context.record.outcome = problem.outcome;
                context.record.reason = problem.code;
                problem.response(&self.name, context.id.as_str(), request.method())
            }
        }
    }

    async fn pass(
        &self,
        request: &mut Request<RequestBody>,
        context: &mut RequestContext,
        connection: &ConnectionInfo,
    ) -> Result<Response<Body>, Problem> {
        let mut found = scan::request(request.headers());
        check(request, &found)?;
        let host = forward::host(request.uri(), &mut found).map_err(|_| Problem::HOST)?;
        if host.is_none() && request.version() >= Version::HTTP_11 {
            return Err(Problem::HOST);
        }
        if found.max_forwards
            && *request.method() == Method::OPTIONS
            && let Some(answer) = last_hop(request.headers_mut())
        {
            return Ok(answer);
        }
        let target = self.target(request.uri())?;
        let upgrade = upgrade::wanted(request, &found, connection);
        let method = request.method().clone();
        let mut headers = std::mem::take(request.headers_mut());
        let safety = safety(&method, &headers);
        let body = if request.body().is_end_stream() {
            CallBody::Empty
        } else {
            let body = std::mem::take(request.body_mut());
            let record = &mut context.record;
            // In a box: most requests have no body, and their futures no room for one.
            Box::pin(request_body::prepare(body, &headers, &found, safety, self.limits, record)).await?
        };
        self.forwarding.apply(&mut headers, &found, host, context);
        if upgrade.is_some() {
            upgrade::announce(&mut headers);
        }
        let mut call = Call::new(method, target, context.deadline.within(context.started, self.timeout));
        call.headers = headers;
        call.body = body;
        call.safety = safety;
        call.hash = self.hashed.then(|| hash_of(context));
        call.streaming = found.event_stream;
        call.upgrade = upgrade.is_some();
        call.trace = context.span();
        context.record.upstream = Some(Arc::clone(&self.upstream_name));
        let sent = self.upstream.send(call).await;
        self.answer(sent, Asked { context, connection, upgrade })
    }

    fn answer(&self, sent: Result<Reply, CallError>, asked: Asked<'_>) -> Result<Response<Body>, Problem> {
        let context = &mut *asked.context;
        let reply = match sent {
            Ok(reply) => reply,
            Err(error) => {
                tracing::debug!(route = %self.name, request_id = %context.id, %error, "no response from the upstream");
                return Err(failure::problem(&error));
            }
        };
        context.record.attempts = reply.attempts;
        context.record.endpoint = Some(reply.endpoint.shared());
        if reply.response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(reply, asked);
        }
        let (mut head, body) = reply.response.into_parts();
        scan::clean_response(&mut head.headers);
        // Whatever the upstream speaks, the client's connection speaks its own version.
        head.version = Version::HTTP_11;
        context.record.streaming = reply.event_stream;
        Ok(Response::from_parts(head, Body::Reply(body)))
    }

    /// The upstream agreed to an upgrade. One that nobody asked for is a breach of the protocol (RFC 9110 section
    /// 15.2.2).
    fn switch(&self, reply: Reply, asked: Asked<'_>) -> Result<Response<Body>, Problem> {
        let (Some(client), Some(upstream)) = (asked.upgrade, reply.upgraded) else {
            return Err(Problem::UNASKED_UPGRADE);
        };
        let (mut head, _) = reply.response.into_parts();
        scan::clean_response(&mut head.headers);
        upgrade::announce(&mut head.headers);
        head.headers.insert(REQUEST_ID, asked.context.id.header_value());
        head.version = Version::HTTP_11;
        head.extensions.insert(Tunnelled);
        let record = TunnelRecord::new(asked.context, Arc::clone(&self.metrics));
        let tunnel = Tunnel::new(client, *upstream, self.tunnels, asked.connection.drain.clone(), record);
        // It outlives the request; it ends by its own limits, or with its worker.
        drop(tokio::spawn(tunnel.run()));
        Ok(Response::from_parts(head, Body::Empty))
    }

    /// Where the request goes below the endpoint's base path.
    fn target(&self, uri: &Uri) -> Result<Target, Problem> {
        let whole = uri.path_and_query().ok_or(Problem::PATH)?;
        if !whole.path().starts_with('/') {
            return Err(Problem::PATH);
        }
        if !self.strip_prefix {
            return Ok(Target::Path(whole.clone()));
        }
        let at = prefix_len(whole.path(), &self.prefix).ok_or(Problem::PATH)?;
        let rest = whole.as_str().get(at..).unwrap_or_default();
        let rest = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
        PathAndQuery::try_from(rest).map(Target::Path).map_err(|_| Problem::PATH)
    }
}

/// What is refused whatever the upstream would say.
fn check(request: &Request<RequestBody>, found: &Found) -> Result<(), Problem> {
    // TRACE shows a client headers that it did not send (RFC 9110 section 9.3.8); CONNECT is for forward proxies.
    if matches!(*request.method(), Method::TRACE | Method::CONNECT) {
        return Err(Problem::METHOD);
    }
    if found.unknown_expectation {
        return Err(Problem::EXPECTATION);
    }
    check_path(request.uri().path()).map_err(|_| Problem::PATH)
}

/// RFC 9110 section 7.6.2: OPTIONS is answered by the last hop it may reach, else the count goes down by one.
fn last_hop(headers: &mut HeaderMap) -> Option<Response<Body>> {
    let left: u64 = headers.get(MAX_FORWARDS)?.to_str().ok()?.trim().parse().ok()?;
    if left > 0 {
        headers.insert(MAX_FORWARDS, HeaderValue::from(left - 1));
        return None;
    }
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(crate::problem::ALLOWED));
    Some(response)
}

/// RFC 9110 section 9.2, and what the client says of it.
fn safety(method: &Method, headers: &HeaderMap) -> Safety {
    match safety_of(method) {
        Safety::Unsafe if headers.contains_key(IDEMPOTENCY_KEY) => Safety::Idempotent,
        safety => safety,
    }
}

/// The key of hash balancers: the client. The same in every process, so that all replicas agree.
fn hash_of(context: &RequestContext) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(context.client)
}

fn credential(route: &str, auth: &config::UpstreamAuth) -> Result<(HeaderName, HeaderValue), BuildError> {
    let wrong = |what| BuildError::UpstreamAuth { route: route.to_owned(), what };
    let name = HeaderName::try_from(auth.header.as_str()).map_err(|_| wrong("header"))?;
    let mut value = HeaderValue::from_str(auth.value.expose()).map_err(|_| wrong("value"))?;
    value.set_sensitive(true);
    Ok((name, value))
}
