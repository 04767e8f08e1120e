//! The entry: what every request has to pass before an era's driver sees it.

use crate::{
    batch::{self, Batch},
    caller::{Caller, Notes, reason},
    era::{Era, Version, classify},
    errors::{McpError, Problem, Refusal as _},
    frame::{Frame, FrameError, Kind, Limits, Member},
    headers,
    legacy::{self, Reach},
    modern,
    origin::OriginPolicy,
    reply,
    seal::{KeyRing, KeyRingError},
    server::Server,
    shared::Shared,
    source::{Unread, whole},
    state::McpState,
};
use bytes::Bytes;
use holdfast_config::{EraMode, Mcp, Sessions};
use holdfast_edge::{Body, ConnectionInfo, DrainHandle, RequestContext};
use holdfast_telemetry::{Inline, McpCall, RecordOutcome, metrics::McpOutcome};
use holdfast_upstream::{EndpointKey, clock};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// From the first byte of a body to its last. The accept side bounds the pauses in between.
const BODY_TIMEOUT: Duration = Duration::from_mins(1);
/// What a POST's client must take ("MUST include an Accept header, listing both").
const POST_ACCEPTS: [&str; 2] = ["application/json", "text/event-stream"];

/// MCP of one snapshot.
pub struct McpService {
    shared: Arc<Shared>,
    servers: BTreeMap<Box<str>, Arc<Server>>,
}

/// The key ring of a configuration. A ring of one key that ends with the process if `sessions.ephemeral_key` is set and no key
/// is configured: make it once and keep it across reloads.
pub fn key_ring(sessions: &Sessions) -> Result<Arc<KeyRing>, KeyRingError> {
    if sessions.keys.is_empty() && sessions.ephemeral_key {
        return KeyRing::ephemeral().map(Arc::new);
    }
    KeyRing::from_base64(sessions.keys.iter().map(|key| (&*key.id, key.key.expose()))).map(Arc::new)
}

impl McpService {
    /// The service of a snapshot. `state` and, with an ephemeral key, `ring` outlive it.
    pub fn new(
        mcp: &Mcp,
        sessions: &Sessions,
        ring: Arc<KeyRing>,
        state: Arc<McpState>,
        servers: impl IntoIterator<Item = Server>,
    ) -> Self {
        let shared = Shared {
            ring,
            state,
            session_ttl: sessions.absolute_ttl,
            keep_alive: mcp.keep_alive,
            response_max: mcp.max_response_bytes.as_usize(),
            responses_max: mcp.response_bytes_total.as_usize(),
            origins: OriginPolicy::new(&mcp.allowed_origins, &mcp.allowed_hosts, mcp.public_url.as_deref()),
            path: mcp.path.clone(),
            message: Limits { bytes_max: mcp.max_message_bytes.as_usize(), depth_max: mcp.max_depth },
            batch_max: mcp.max_batch,
        };
        let servers =
            servers.into_iter().map(|server| (Box::from(server.name()), Arc::new(server))).collect();
        Self { shared: Arc::new(shared), servers }
    }

    /// A server by its name in the path.
    pub fn server(&self, name: &str) -> Option<&Arc<Server>> {
        self.servers.get(name)
    }

    /// The way to a server of this snapshot, for what no client asked for.
    pub fn reach(&self, name: &str) -> Option<Reach> {
        self.servers.get(name).map(|server| Reach::new(&self.shared, server))
    }

    /// State that outlives this snapshot.
    pub fn state(&self) -> &Arc<McpState> {
        &self.shared.state
    }

    /// The answer at the path itself and at names that are not configured: a typed error that names the servers.
    pub fn no_server(&self, name: Option<&str>) -> Response<Body> {
        let paths: Vec<String> =
            self.servers.keys().map(|server| format!("{}/{server}", self.shared.path)).collect();
        let problem = if name.is_some() { Problem::UnknownServer } else { Problem::NotMerged };
        let error = McpError::new(problem).list("servers", paths.iter().map(String::as_str));
        reply::error(&error, None)
    }

    /// Lets the page of an allowed origin read a refusal that was decided before [`Self::handle`]: a browser's client has to see the
    /// challenge of a 401 to act on it. Any other origin gets the answer as it is, which a browser keeps from its page.
    pub fn readable(
        &self,
        response: Response<Body>,
        asked: &HeaderMap,
        authority: Option<&str>,
        connection: &ConnectionInfo,
    ) -> Response<Body> {
        let Some(origin) = asked.get(header::ORIGIN) else { return response };
        let (local, tls) = (connection.local.ip(), connection.tls.is_some());
        match self.shared.origins.check(asked, authority, local, tls) {
            Ok(()) => with_cors(response, Some(origin.clone())),
            Err(_) => response,
        }
    }

    /// Answers one request for `server`. The credential that authenticated the caller must have been removed; what is left of
    /// `Authorization` and cookies goes no further either.
    ///
    /// Dropping the future cancels a modern request and never a legacy one.
    pub async fn handle<B>(
        &self,
        ctx: &mut RequestContext,
        request: Request<B>,
        server: &Arc<Server>,
        connection: &ConnectionInfo,
    ) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send,
    {
        let (parts, body) = request.into_parts();
        let authority = parts.uri.authority().map(http::uri::Authority::as_str);
        let tls = connection.tls.is_some();
        if let Err(error) = self.shared.origins.check(&parts.headers, authority, connection.local.ip(), tls) {
            return refused(ctx, &error);
        }
        let origin = parts.headers.get(header::ORIGIN).cloned();
        let response = if parts.method == Method::OPTIONS {
            preflight(&parts.headers)
        } else {
            let caller = self.caller(ctx, parts.headers, server, &connection.drain);
            let response = self.route(ctx, &caller, &parts.method, body).await;
            note(ctx, &caller, response.status());
            response
        };
        with_cors(response, origin)
    }

    async fn route<B>(
        &self,
        ctx: &mut RequestContext,
        caller: &Arc<Caller>,
        method: &Method,
        body: B,
    ) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send,
    {
        if *method == Method::POST {
            return match self.read(caller, body).await {
                Ok(Message::One(frame)) => {
                    ctx.record.bytes_in = frame.bytes().len() as u64;
                    one(ctx, caller, frame).await
                }
                Ok(Message::Many(frames)) => Box::pin(legacy::post_batch(Arc::clone(caller), frames)).await,
                Err((error, id)) => {
                    caller.note_outcome(McpOutcome::Refused, reason(&error));
                    reply::error(&error, id.as_deref())
                }
            };
        }
        // 2026-07-28 "Earlier Streamable HTTP Revisions": GET and DELETE get 405.
        let modern =
            caller.text(&headers::PROTOCOL_VERSION).and_then(Version::parse).is_some_and(Version::is_modern);
        let stateless = modern || caller.server.era == EraMode::Modern;
        if stateless || !(*method == Method::GET || *method == Method::DELETE) {
            let error = McpError::new(Problem::MethodNotAllowed);
            caller.note_outcome(McpOutcome::Refused, reason(&error));
            let mut response = reply::error(&error, None);
            let allow = if stateless { "POST" } else { "POST, GET, DELETE" };
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
            return response;
        }
        if *method == Method::DELETE {
            return Box::pin(legacy::delete(Arc::clone(caller))).await;
        }
        if let Err(error) = headers::check_accept(&caller.headers, &POST_ACCEPTS[1..]) {
            return reply::error(&error, None);
        }
        Box::pin(legacy::get(Arc::clone(caller))).await
    }

    /// Reads and parses a POST's body.
    async fn read<B>(&self, caller: &Caller, body: B) -> Result<Message, (McpError, Option<Bytes>)>
    where
        B: http_body::Body<Data = Bytes> + Send,
    {
        headers::check_content_type(&caller.headers).map_err(|error| (error, None))?;
        headers::check_accept(&caller.headers, &POST_ACCEPTS).map_err(|error| (error, None))?;
        let limits = &self.shared.message;
        let too_large = || McpError::new(Problem::PayloadTooLarge).detail("more than mcp.max_message_bytes");
        if body.size_hint().lower() > limits.bytes_max as u64 {
            return Err((too_large(), None));
        }
        let bytes = match clock::timeout(BODY_TIMEOUT, whole(body, limits.bytes_max, None)).await {
            Err(clock::Elapsed) | Ok(Err(Unread::Torn)) => {
                return Err((McpError::new(Problem::BodyIncomplete), None));
            }
            Ok(Err(Unread::TooLarge | Unread::NoRoom)) => return Err((too_large(), None)),
            Ok(Ok(bytes)) => bytes,
        };
        if batch::is_batch(&bytes) {
            let batch = Batch::parse(bytes, limits, self.shared.batch_max)
                .map_err(|error| (error.to_mcp(), error.id))?;
            return Ok(Message::Many(batch.frames().collect()));
        }
        Frame::parse(bytes, limits).map(Message::One).map_err(|error| (error.to_mcp(), error.id))
    }

    fn caller(
        &self,
        ctx: &RequestContext,
        headers: HeaderMap,
        server: &Arc<Server>,
        drain: &DrainHandle,
    ) -> Arc<Caller> {
        Arc::new(Caller {
            shared: Arc::clone(&self.shared),
            server: Arc::clone(server),
            principal: ctx.principal.binding(),
            id: ctx.id,
            trace: ctx.trace,
            headers,
            until: clock::after(clock::now(), server.request_timeout),
            drain: drain.clone(),
            notes: Mutex::new(Notes::default()),
            using: OnceLock::new(),
        })
    }
}

#[allow(clippy::large_enum_variant, reason = "moved once per message; a box would cost an allocation")]
enum Message {
    One(Frame),
    /// Each element read for itself: a bad one is answered by one error, the others stand.
    Many(Vec<Result<Frame, FrameError>>),
}

async fn one(ctx: &mut RequestContext, caller: &Arc<Caller>, frame: Frame) -> Response<Body> {
    let header = match headers::legacy_version(&caller.headers) {
        Ok(header) => header,
        Err(error) => return reply::error(&error, frame.id()),
    };
    let is_modern = matches!(classify(&frame, header, None), Era::Modern);
    let name = match frame.kind() {
        Kind::Request => frame.text(Member::Name).unwrap_or_default(),
        Kind::Notification | Kind::Response | Kind::ErrorResponse => "".into(),
    };
    ctx.record.mcp = Some(McpCall {
        method: Inline::new(&frame.method()),
        era: if is_modern { "modern" } else { "legacy" },
        name: Inline::new(&name),
    });
    drop(name);
    if is_modern {
        modern::post(Arc::clone(caller), frame).await
    } else {
        legacy::post(Arc::clone(caller), frame).await
    }
}

fn refused(ctx: &mut RequestContext, error: &McpError) -> Response<Body> {
    ctx.record.reason = reason(error);
    ctx.record.outcome = RecordOutcome::Rejected;
    reply::error(error, None)
}

fn note(ctx: &mut RequestContext, caller: &Caller, status: StatusCode) {
    let notes = caller.notes.lock();
    let record = &mut ctx.record;
    record.upstream = Some(Arc::clone(&caller.server.name));
    record.endpoint = notes.endpoint.as_ref().map(EndpointKey::shared);
    record.attempts = notes.attempts;
    record.reason = notes.reason;
    record.streaming = notes.streaming;
    record.outcome = match notes.failure {
        // Refused before a driver had anything to note: no session, a bad header.
        None if status.is_client_error() => RecordOutcome::Rejected,
        None => RecordOutcome::Ok,
        Some(McpOutcome::Refused) => RecordOutcome::Rejected,
        Some(McpOutcome::Timeout) => RecordOutcome::Timeout,
        Some(_) => RecordOutcome::UpstreamError,
    };
}

/// Answers a CORS preflight. It carries no credential, so it must come here before authentication.
fn preflight(request: &HeaderMap) -> Response<Body> {
    let mut response = reply::empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static("POST, GET, DELETE, OPTIONS"));
    headers
        .insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET, DELETE, OPTIONS"));
    let asked = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS).and_then(|value| value.to_str().ok());
    let allowed: Vec<&str> =
        asked.unwrap_or_default().split(',').map(str::trim).filter(|name| is_allowed(name)).collect();
    if let Ok(value) = HeaderValue::from_str(&allowed.join(", "))
        && !allowed.is_empty()
    {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, value);
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// All `Mcp-*` headers, and those that MCP clients send beside them.
fn is_allowed(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("mcp-")
        || matches!(
            &*name,
            "accept"
                | "authorization"
                | "content-type"
                | "last-event-id"
                | "traceparent"
                | "tracestate"
                | "x-api-key"
                | "x-request-id"
        )
}

/// Lets the pages of an allowed origin read the answer and the headers that MCP clients need. `origin` has passed the check.
pub fn with_cors(mut response: Response<Body>, origin: Option<HeaderValue>) -> Response<Body> {
    const EXPOSED: HeaderValue = HeaderValue::from_static(
        "mcp-session-id, mcp-protocol-version, www-authenticate, retry-after, x-request-id",
    );
    const VARY_ORIGIN: HeaderValue = HeaderValue::from_static("origin");
    let Some(origin) = origin else { return response };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.append(header::VARY, VARY_ORIGIN);
    response
}
