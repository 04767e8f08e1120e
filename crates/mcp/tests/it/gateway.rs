//! The drivers in process, and a client that looks at every byte of theirs.

use super::upstream::Upstream as Server;
use bytes::Bytes;
use holdfast_config::{Config, ProcessEnv, Role, Source};
use holdfast_edge::{Body, ConnectionInfo, ContextDefaults, DrainHandle, HttpVersion, Phase, RequestContext};
use holdfast_identity::Principal;
use holdfast_mcp::{McpService, McpState, Server as McpServer, key_ring, seal::KeyRing};
use holdfast_resilience::Deadline;
use holdfast_store::{Limits, Store};
use holdfast_telemetry::{McpMetrics, Registry};
use holdfast_upstream::{Background, Shared, Upstream};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// One replica of the gateway.
pub(crate) struct Gateway {
    pub(crate) service: McpService,
    pub(crate) server: Arc<McpServer>,
    pub(crate) ring: Arc<KeyRing>,
    pub(crate) metrics: Arc<McpMetrics>,
    drain: DrainHandle,
    begin: Box<dyn Fn(Phase) + Send + Sync>,
    pub(crate) principal: Arc<Principal>,
    _background: Background,
}

/// What a test may change.
#[derive(Default)]
pub(crate) struct Options {
    /// Lines of the server's block, e.g. `session: replayable`.
    pub(crate) server: &'static str,
    /// Lines of `mcp`.
    pub(crate) mcp: &'static str,
    /// Lines of `sessions`.
    pub(crate) sessions: &'static str,
    /// Lines of the root.
    pub(crate) root: &'static str,
    /// The ring of another replica.
    pub(crate) ring: Option<Arc<KeyRing>>,
    /// The state of the snapshot before.
    pub(crate) state: Option<Arc<McpState>>,
    /// What it shares with other replicas.
    pub(crate) store: Option<Store>,
}

/// A replica in front of `servers` whose sessions may move.
pub(crate) fn replayable(servers: &[&Server]) -> Gateway {
    Gateway::new(servers, Options { server: "session: replayable", ..Options::default() })
}

/// Two replicas that share a key ring and a store, and have no channel to each other.
pub(crate) fn pair(servers: &[&Server]) -> [Gateway; 2] {
    let limits = Limits::new(&config(servers, &Options::default()).sessions);
    let store = Some(Store::memory_of_replicas(limits));
    let one = Gateway::new(servers, Options { store: store.clone(), ..Options::default() });
    let ring = Some(Arc::clone(&one.ring));
    let two = Gateway::new(servers, Options { ring, store, ..Options::default() });
    [one, two]
}

/// A replica with defaults.
pub(crate) fn plain(servers: &[&Server]) -> Gateway {
    Gateway::new(servers, Options::default())
}

fn config(servers: &[&Server], options: &Options) -> Config {
    let mut text = format!("{}\nsessions:\n  ephemeral_key: true\n", options.root);
    text.extend(options.sessions.lines().map(|line| format!("  {line}\n")));
    text.push_str("mcp:\n");
    text.extend(options.mcp.lines().map(|line| format!("  {line}\n")));
    text.push_str("  servers:\n    - name: it\n");
    text.push_str("      health_check: { enabled: false }\n      endpoints:\n");
    let endpoints = servers.iter().map(|server| format!("        - url: \"{}\"\n", server.url()));
    let lines = options.server.lines().map(|line| format!("      {line}\n"));
    text.extend(endpoints.chain(lines));
    let source = Source::Text { name: "test".into(), text };
    match holdfast_config::load(&[source], &ProcessEnv, Role::Serve) {
        Ok(loaded) => loaded.config,
        Err(report) => panic!("{report:?}"),
    }
}

impl Gateway {
    pub(crate) fn new(servers: &[&Server], options: Options) -> Self {
        let config = config(servers, &options);
        let registry = Registry::new(&BTreeMap::new()).unwrap();
        let shared = Shared::build(&config, &registry, None).unwrap();
        let server = &config.mcp.servers[0];
        let upstream = Upstream::build(&server.upstream, &shared, None).unwrap();
        let background = upstream.start(&tokio::runtime::Handle::current());
        let metrics = Arc::new(McpMetrics::new(&registry, "it"));
        let ring = options.ring.unwrap_or_else(|| key_ring(&config.sessions).unwrap());
        let store = options.store.unwrap_or_else(|| Store::memory(Limits::new(&config.sessions)));
        let state = options.state.unwrap_or_else(|| McpState::new(&config.sessions, &store));
        let mcp_server = McpServer::new(server, Arc::clone(&upstream), Arc::clone(&metrics)).unwrap();
        let service = McpService::new(&config.mcp, &config.sessions, Arc::clone(&ring), state, [mcp_server]);
        let server = Arc::clone(service.server("it").unwrap());
        let (drain, begin) = DrainHandle::driven();
        Self {
            service,
            server,
            ring,
            metrics,
            drain,
            begin: Box::new(begin),
            principal: Principal::anonymous(),
            _background: background,
        }
    }

    /// Closes the listeners, as far as anything behind them can tell.
    pub(crate) fn begin_drain(&self) {
        (self.begin)(Phase::Unready);
        (self.begin)(Phase::Closing);
    }

    /// One request.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        Answer(self.start(request).await)
    }

    async fn start(&self, request: Request<Full<Bytes>>) -> Response<Body> {
        let connection = ConnectionInfo {
            peer: ([127, 0, 0, 1], 50_000).into(),
            client: [127, 0, 0, 1].into(),
            local: ([127, 0, 0, 1], 8443).into(),
            listener: "test".into(),
            tls: None,
            http: HttpVersion::Http1,
            trusted: Arc::from([]),
            drain: self.drain.clone(),
        };
        let deadline = Deadline::after(Instant::now(), Duration::from_mins(1));
        let mut rng = fastrand::Rng::new();
        let mut ctx =
            RequestContext::begin(&request, &connection, deadline, &mut rng, &ContextDefaults::default());
        ctx.principal = Arc::clone(&self.principal);
        self.service.handle(&mut ctx, request, &self.server, &connection).await
    }

    /// A POST of a message as an MCP client sends it, with more headers.
    pub(crate) async fn post(&self, message: &Value, headers: &[(&str, &str)]) -> Answer {
        self.post_text(message.to_string(), headers).await
    }

    pub(crate) async fn post_text(&self, body: String, headers: &[(&str, &str)]) -> Answer {
        self.send(request("POST", body, headers)).await
    }

    /// Opens a session in `version` and says `initialized`.
    pub(crate) async fn open(&self, version: &str) -> Session<'_> {
        let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}});
        let answer = self.post(&message, &[]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let token = answer.header("mcp-session-id").expect("a session").to_owned();
        let session = Session { gateway: self, token, version: version.to_owned() };
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(session.post(&initialized).await.status(), StatusCode::ACCEPTED);
        session
    }

    /// A modern request; `params` without `_meta`.
    pub(crate) async fn modern(&self, method: &str, params: Value) -> Answer {
        let (message, name) = modern_message(7, method, params);
        let mut headers = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
        if let Some(name) = &name {
            headers.push(("mcp-name", name));
        }
        self.post(&message, &headers).await
    }
}

/// A modern message and the name its header needs.
pub(crate) fn modern_message(id: u64, method: &str, mut params: Value) -> (Value, Option<String>) {
    params["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}});
    let name = ["name", "uri", "taskId"].iter().find_map(|key| params[*key].as_str()).map(str::to_owned);
    (json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}), name)
}

/// A request as MCP clients make it.
pub(crate) fn request(method: &str, body: String, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request =
        Request::builder().method(method).uri("/mcp/it").body(Full::new(Bytes::from(body))).unwrap();
    let defaults = [
        ("host", "127.0.0.1:8443"),
        ("content-type", "application/json"),
        ("accept", if method == "GET" { "text/event-stream" } else { "application/json, text/event-stream" }),
    ];
    for (name, value) in defaults.iter().chain(headers) {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

/// A legacy session as its client holds it.
pub(crate) struct Session<'g> {
    pub(crate) gateway: &'g Gateway,
    pub(crate) token: String,
    pub(crate) version: String,
}

impl Session<'_> {
    /// The same session at another replica.
    pub(crate) fn at<'o>(&self, other: &'o Gateway) -> Session<'o> {
        Session { gateway: other, token: self.token.clone(), version: self.version.clone() }
    }
    fn headers<'s>(&'s self, more: &[(&'s str, &'s str)]) -> Vec<(&'s str, &'s str)> {
        let mut headers = vec![("mcp-session-id", &*self.token), ("mcp-protocol-version", &*self.version)];
        headers.extend_from_slice(more);
        headers
    }
    pub(crate) async fn post(&self, message: &Value) -> Answer {
        self.gateway.post(message, &self.headers(&[])).await
    }
    pub(crate) async fn call(&self, id: u64, method: &str, params: Value) -> Answer {
        self.post(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await
    }
    pub(crate) async fn get(&self, last_event_id: Option<&str>) -> Answer {
        let more: Vec<(&str, &str)> = last_event_id.map(|id| ("last-event-id", id)).into_iter().collect();
        self.gateway.send(request("GET", String::new(), &self.headers(&more))).await
    }
    pub(crate) async fn delete(&self) -> Answer {
        self.gateway.send(request("DELETE", String::new(), &self.headers(&[]))).await
    }
}

/// A response.
pub(crate) struct Answer(pub Response<Body>);

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status()
    }
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.0.headers().get(name).and_then(|value| value.to_str().ok())
    }
    pub(crate) async fn text(self) -> String {
        let bytes = super::wait::soon("the body", self.0.into_body().collect()).await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }
    pub(crate) async fn json(self) -> Value {
        let text = self.text().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
    }
    /// The message of a JSON answer, or the last message of an event stream.
    pub(crate) async fn message(self) -> Value {
        if self.header("content-type") == Some("application/json") {
            return self.json().await;
        }
        self.events().await.pop().expect("an event").message()
    }
    /// All events to the end.
    pub(crate) async fn events(self) -> Vec<Event> {
        let mut events = self.follow();
        let mut all = Vec::new();
        while let Some(event) = events.next().await {
            all.push(event);
        }
        all
    }
    /// Event by event.
    pub(crate) fn follow(self) -> Events {
        assert_eq!(self.header("content-type"), Some("text/event-stream"), "{:?}", self.status());
        Events { body: self.0.into_body(), text: String::new() }
    }
    /// Error code of a JSON error.
    pub(crate) async fn code(self) -> i64 {
        self.json().await["error"]["code"].as_i64().expect("an error code")
    }
}

/// An open event stream.
pub(crate) struct Events {
    body: Body,
    text: String,
}

/// One event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) retry: Option<u64>,
    pub(crate) data: Option<String>,
}

impl Event {
    pub(crate) fn message(&self) -> Value {
        serde_json::from_str(self.data.as_deref().expect("data")).expect("a message")
    }
}

impl Events {
    /// The next event; `None` at a clean end. Comments are skipped.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = parse(block);
                self.text = rest.to_string();
                match event {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let frame = super::wait::soon("an event", self.body.frame()).await?;
            let data = frame.expect("a whole stream").into_data().unwrap_or_default();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }
}

fn parse(block: &str) -> Option<Event> {
    let mut event = Event::default();
    let mut fields = 0;
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "id" => event.id = Some(value),
            "retry" => event.retry = value.parse().ok(),
            "data" => event.data = Some(value),
            "event" => {}
            _ => continue,
        }
        fields += 1;
    }
    (fields > 0).then_some(event)
}
