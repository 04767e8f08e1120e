//! The entry: what every request has to pass before an era's driver sees it.

use crate::{
    batch::{self, Batch},
    caller::{Caller, reason},
    cors::{preflight, with_cors},
    era::Version,
    errors::{McpError, Problem, Refusal as _},
    federation::{self, Federation, Names, Patience},
    frame::{Frame, FrameError, Limits},
    guest::Guest,
    headers::{self, Mirrored},
    legacy::{self, Reach},
    message::{merged, one},
    modern,
    origin::OriginPolicy,
    record::{note, refused},
    reply,
    seal::{KeyRing, KeyRingError},
    server::Server,
    shared::Shared,
    source::{Unread, whole},
    state::McpState,
};
use bytes::Bytes;
use holdfast_config::{EraMode, Mcp, OnMemberFailure, Sessions};
use holdfast_edge::{Body, ConnectionInfo, DrainHandle, RequestContext, unshared};
use holdfast_telemetry::metrics::{Carrier, McpOutcome, ServerOperations};
use holdfast_upstream::clock;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// From the first byte of a body to its last. The accept side bounds the pauses in between.
const BODY_TIMEOUT: Duration = Duration::from_mins(1);
/// What a POST's client must take ("MUST include an Accept header, listing both").
const POST_ACCEPTS: [&str; 2] = ["application/json", "text/event-stream"];

/// MCP of one snapshot.
pub struct McpService {
    shared: Arc<Shared>,
    servers: BTreeMap<Box<str>, Arc<Server>>,
    /// The merged endpoint, if there is one.
    federation: Option<Arc<Federation>>,
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
        let governed = |mut server: Server| {
            server.govern(&mcp.rules, &shared.state);
            (Box::from(server.name()), Arc::new(server))
        };
        let servers = servers.into_iter().map(governed).collect();
        Self { shared: Arc::new(shared), servers, federation: None }
    }

    /// Shows these servers as one at the merged endpoint, in this order. Names that are no server of the service are passed over.
    #[must_use]
    pub fn merged<'m>(
        mut self,
        config: &holdfast_config::Federation,
        members: impl IntoIterator<Item = &'m str>,
        operations: Arc<ServerOperations>,
    ) -> Self {
        let members = members.into_iter().filter_map(|name| self.servers.get(name).map(Arc::clone)).collect();
        self.federation = Some(Arc::new(Federation {
            members,
            names: Names::new(&config.separator, config.name_max),
            patience: Patience {
                with_last_good: config.list_patience,
                without: config.list_timeout,
                last_good: config.on_member_failure == OnMemberFailure::LastGood,
            },
            cursor_ttl: config.cursor_ttl,
            operations,
        }));
        self
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
            let mirrored = Mirrored::is_in(&parts.extensions);
            let guest =
                self.guest(ctx, kept(&parts.method, parts.headers, mirrored), mirrored, &connection.drain);
            let mut caller = guest.into_caller(server);
            let response = self.route(ctx, &mut caller, &parts.method, body).await;
            note(ctx, &caller, response.status());
            response
        };
        with_cors(response, origin)
    }

    /// Answers one request for the merged endpoint; as [`Self::handle`] does for a server.
    pub async fn handle_merged<B>(
        &self,
        ctx: &mut RequestContext,
        request: Request<B>,
        connection: &ConnectionInfo,
    ) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send,
    {
        let (parts, body) = request.into_parts();
        let Some(federation) = &self.federation else { return self.no_server(None) };
        let authority = parts.uri.authority().map(http::uri::Authority::as_str);
        let tls = connection.tls.is_some();
        if let Err(error) = self.shared.origins.check(&parts.headers, authority, connection.local.ip(), tls) {
            return refused(ctx, &error);
        }
        let origin = parts.headers.get(header::ORIGIN).cloned();
        if parts.method == Method::OPTIONS {
            return with_cors(preflight(&parts.headers), origin);
        }
        let mirrored = Mirrored::is_in(&parts.extensions);
        let guest =
            self.guest(ctx, kept(&parts.method, parts.headers, mirrored), mirrored, &connection.drain);
        let version = guest.headers.get(&headers::PROTOCOL_VERSION).and_then(|value| value.to_str().ok());
        // 2026-07-28 "Earlier Streamable HTTP Revisions": GET and DELETE get 405.
        let stateless = version.and_then(Version::parse).is_some_and(Version::is_modern);
        let response = match parts.method {
            Method::POST => match self.read(&guest.headers, body).await {
                Ok(Message::One(frame)) => merged(ctx, guest, federation, frame).await,
                Ok(Message::Many(_)) => {
                    let error = McpError::new(Problem::InvalidRequest);
                    refused(ctx, &error.detail("the merged endpoint takes no batches: send one message"))
                }
                Err((error, id)) => {
                    refused(ctx, &error);
                    reply::error(&error, id.as_deref())
                }
            },
            Method::GET if !stateless => Box::pin(federation::get(guest, federation)).await,
            Method::DELETE if !stateless => Box::pin(federation::delete(guest, federation)).await,
            _ => {
                let mut response = refused(ctx, &McpError::new(Problem::MethodNotAllowed));
                let allow = if stateless { "POST" } else { "POST, GET, DELETE" };
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
                response
            }
        };
        with_cors(response, origin)
    }

    async fn route<B>(
        &self,
        ctx: &mut RequestContext,
        caller: &mut Arc<Caller>,
        method: &Method,
        body: B,
    ) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send,
    {
        if *method == Method::POST {
            return match self.read(&caller.headers, body).await {
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
    async fn read<B>(&self, headers: &HeaderMap, body: B) -> Result<Message, (McpError, Option<Bytes>)>
    where
        B: http_body::Body<Data = Bytes> + Send,
    {
        headers::check_content_type(headers).map_err(|error| (error, None))?;
        headers::check_accept(headers, &POST_ACCEPTS).map_err(|error| (error, None))?;
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

    fn guest(&self, ctx: &RequestContext, headers: HeaderMap, mirrored: bool, drain: &DrainHandle) -> Guest {
        Guest {
            shared: Arc::clone(&self.shared),
            principal: ctx.principal.binding(),
            who: Arc::clone(&ctx.principal),
            id: ctx.id,
            trace: ctx.trace,
            spans: ctx.record.trace.clone(),
            piped: ctx.record.carrier == Some(Carrier::Stdio),
            headers,
            mirrored,
            drain: drain.clone(),
        }
    }
}

/// The headers of a request; those of one that may be open for hours keep nothing else alive.
fn kept(method: &Method, headers: HeaderMap, mirrored: bool) -> HeaderMap {
    let listens = |name: &HeaderValue| name == modern::LISTEN;
    if *method == Method::GET || headers.get(&headers::METHOD).is_some_and(listens) {
        // Those that were made of a message are in memory of their own already. A clone has room for no more than there is.
        return if mirrored { headers.clone() } else { unshared(&headers) };
    }
    headers
}

#[allow(clippy::large_enum_variant, reason = "moved once per message; a box would cost an allocation")]
enum Message {
    One(Frame),
    /// Each element read for itself: a bad one is answered by one error, the others stand.
    Many(Vec<Result<Frame, FrameError>>),
}
