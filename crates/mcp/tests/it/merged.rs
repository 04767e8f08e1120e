//! The merged endpoint: all servers as one, and none of them able to spoil it for the others.

use super::{
    gateway::{Answer, modern_message, request},
    upstream::{Act, Seen, Upstream as Server},
    wait,
};
use bytes::Bytes;
use holdfast_config::{ProcessEnv, Role, Source};
use holdfast_edge::{ConnectionInfo, ContextDefaults, DrainHandle, HttpVersion, Phase, RequestContext};
use holdfast_identity::Principal;
use holdfast_mcp::{McpService, McpState, Server as McpServer, key_ring, seal::KeyRing};
use holdfast_resilience::Deadline;
use holdfast_store::{Limits, Store};
use holdfast_telemetry::{McpMetrics, Registry, metrics::Operations};
use holdfast_upstream::{Background, Shared, Upstream};
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// A replica that shows several servers as one.
pub(crate) struct Merged {
    service: McpService,
    pub(crate) ring: Arc<KeyRing>,
    drain: DrainHandle,
    pub(crate) begin: Box<dyn Fn(Phase) + Send + Sync>,
    pub(crate) principal: Arc<Principal>,
    _background: Vec<Background>,
}

impl Merged {
    pub(crate) fn of(servers: &[(&str, &Server)], federation: &str, ring: Option<Arc<KeyRing>>) -> Self {
        Self::new(servers, "era: modern", federation, ring)
    }

    /// With a line for every server.
    pub(crate) fn new(
        servers: &[(&str, &Server)],
        line: &str,
        federation: &str,
        ring: Option<Arc<KeyRing>>,
    ) -> Self {
        Self::start(servers, line, &format!("federation: {{ {federation} }}"), ring)
    }

    /// With rules for all servers.
    pub(crate) fn with_rules(servers: &[(&str, &Server)], line: &str, rules: &str) -> Self {
        Self::start(servers, line, &format!("rules: {rules}"), None)
    }

    fn start(servers: &[(&str, &Server)], line: &str, mcp: &str, ring: Option<Arc<KeyRing>>) -> Self {
        let mut text = format!("sessions:\n  ephemeral_key: true\nmcp:\n  {mcp}\n  servers:\n");
        for (name, server) in servers {
            let lines = [
                format!("    - name: {name}"),
                format!("      {line}"),
                "      health_check: { enabled: false }".to_owned(),
                format!("      endpoints: \"{}\"\n", server.url()),
            ];
            text.push_str(&lines.join("\n"));
        }
        let source = Source::Text { name: "test".into(), text };
        let config = match holdfast_config::load(&[source], &ProcessEnv, Role::Serve) {
            Ok(loaded) => loaded.config,
            Err(report) => panic!("{report:?}"),
        };
        let registry = Registry::new(&BTreeMap::new()).unwrap();
        let shared = Shared::build(&config, &registry, None).unwrap();
        let mut background = Vec::new();
        let mut members = Vec::new();
        for server in &config.mcp.servers {
            let upstream = Upstream::build(&server.upstream, &shared, None).unwrap();
            background.push(upstream.start(&tokio::runtime::Handle::current()));
            let metrics = Arc::new(McpMetrics::new(&registry, &server.name));
            members.push(McpServer::new(server, upstream, metrics).unwrap());
        }
        let ring = ring.unwrap_or_else(|| key_ring(&config.sessions).unwrap());
        let store = Store::memory(Limits::new(&config.sessions));
        let state = McpState::new(&config.sessions, &store);
        let names: Vec<&str> = config.mcp.servers.iter().map(|server| &*server.name).collect();
        let service = McpService::new(&config.mcp, &config.sessions, Arc::clone(&ring), state, members)
            .merged(&config.mcp.federation, names, Operations::new(&registry, 10).server(""));
        let (drain, begin) = DrainHandle::driven();
        let principal = Principal::anonymous();
        Self { service, ring, drain, begin: Box::new(begin), principal, _background: background }
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        self.send_as(&self.principal, request).await
    }

    /// One request of somebody.
    pub(crate) async fn send_as(&self, who: &Arc<Principal>, request: Request<Full<Bytes>>) -> Answer {
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
        ctx.principal = Arc::clone(who);
        Answer(self.service.handle_merged(&mut ctx, request, &connection).await)
    }

    /// A POST of somebody.
    pub(crate) async fn post_as(
        &self,
        who: &Arc<Principal>,
        message: &Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.send_as(who, request("POST", message.to_string(), headers)).await
    }

    pub(crate) async fn modern(&self, method: &str, params: Value) -> Answer {
        self.modern_as(&self.principal, method, params).await
    }

    /// A modern request of somebody.
    pub(crate) async fn modern_as(&self, who: &Arc<Principal>, method: &str, params: Value) -> Answer {
        let (message, name) = modern_message(7, method, params);
        let mut headers = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
        if let Some(name) = &name {
            headers.push(("mcp-name", name));
        }
        self.post_as(who, &message, &headers).await
    }

    /// The names of a list's first page, and its cursor.
    pub(crate) async fn list(
        &self,
        method: &str,
        key: &str,
        name: &str,
        cursor: Option<&str>,
    ) -> (Vec<String>, Option<String>) {
        let params = cursor.map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
        let answer = self.modern(method, params).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let result = answer.json().await["result"].take();
        assert_eq!(result["resultType"], "complete");
        let names =
            result[key].as_array().unwrap().iter().map(|item| item[name].as_str().unwrap().to_owned());
        (names.collect(), result["nextCursor"].as_str().map(str::to_owned))
    }

    pub(crate) async fn tools(&self) -> Vec<String> {
        self.list("tools/list", "tools", "name", None).await.0
    }
}

pub(crate) fn complete(seen: &Seen, mut result: Value) -> Act {
    result["resultType"] = json!("complete");
    if result.get("ttlMs").is_none() {
        result["ttlMs"] = json!(0);
        result["cacheScope"] = json!("private");
    }
    Act::Json(StatusCode::OK, seen.result(result))
}

/// Two pages of tools, a prompt, two resources and a template; says who was called, and with what.
pub(crate) fn everything(name: &'static str) -> impl Fn(&Seen) -> Act + Send + Sync + 'static {
    move |seen| {
        let params = &seen.message["params"];
        assert_eq!(
            seen.header("mcp-method"),
            Some(seen.rpc()),
            "a real server refuses headers that differ from the body"
        );
        match seen.rpc() {
            "tools/list" if params["cursor"] == "more" => {
                complete(seen, json!({"tools": [{"name": "last", "inputSchema": {}}]}))
            }
            "tools/list" => complete(
                seen,
                json!({"tools": [{"name": "echo", "inputSchema": {}, "x": 1}], "nextCursor": "more"}),
            ),
            "prompts/list" => complete(seen, json!({"prompts": [{"name": "greet"}]})),
            "resources/list" => complete(
                seen,
                json!({"resources": [{"uri": "file:///shared", "name": "s"}, {"uri": format!("{name}:///own"), "name": "o"}]}),
            ),
            "resources/templates/list" => complete(
                seen,
                json!({"resourceTemplates": [{"uriTemplate": format!("{name}:///items/{{id}}"), "name": "t"}]}),
            ),
            "server/discover" => complete(
                seen,
                json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {"listChanged": true}}, "instructions": format!("I am {name}.")}),
            ),
            _ => complete(seen, json!({"from": name, "params": params, "header": seen.header("mcp-name")})),
        }
    }
}

async fn two() -> (Server, Server) {
    (Server::start(everything("one")).await, Server::start(everything("two")).await)
}

#[tokio::test]
async fn lists_show_all_members_in_the_order_of_the_configuration_and_page_together() {
    let (one, two) = two().await;
    let gateway = Merged::of(&[("b", &one), ("a", &two)], "enabled: true", None);
    let (first, cursor) = gateway.list("tools/list", "tools", "name", None).await;
    assert_eq!(first, ["b__echo", "a__echo"]);
    // Any replica goes on with the cursor.
    let other = Merged::of(&[("b", &one), ("a", &two)], "enabled: true", Some(Arc::clone(&gateway.ring)));
    let (second, end) = other.list("tools/list", "tools", "name", cursor.as_deref()).await;
    assert_eq!((second, end), (vec!["b__last".to_owned(), "a__last".to_owned()], None));
    let (prompts, _) = gateway.list("prompts/list", "prompts", "name", None).await;
    assert_eq!(prompts, ["b__greet", "a__greet"]);
    // A cursor is for one list and one caller.
    let wrong = other.modern("prompts/list", json!({"cursor": cursor})).await;
    assert_eq!((wrong.status(), wrong.code().await), (StatusCode::BAD_REQUEST, -32602));
    let forged = other.modern("tools/list", json!({"cursor": "more"})).await;
    assert_eq!(forged.code().await, -32602);
}

#[tokio::test]
async fn what_names_one_thing_goes_to_its_member_under_the_members_own_name() {
    let (one, two) = two().await;
    let gateway = Merged::of(&[("one", &one), ("two", &two)], "enabled: true", None);
    for (method, name) in [("tools/call", "two__echo"), ("prompts/get", "two__greet")] {
        let result = gateway.modern(method, json!({"name": name})).await.json().await["result"].take();
        let own = name.trim_start_matches("two__");
        assert_eq!((&result["from"], &result["header"]), (&json!("two"), &json!(own)), "{method}");
        assert_eq!(result["params"]["name"], own);
    }
    for name in ["echo", "three__echo", "one_echo", ""] {
        let answer = gateway.modern("tools/call", json!({ "name": name })).await;
        assert_eq!((answer.status(), answer.code().await), (StatusCode::BAD_REQUEST, -32602), "{name:?}");
    }
    assert_eq!(gateway.modern("holdfast/unheard-of", json!({})).await.code().await, -32601);
}

#[tokio::test]
async fn a_resource_is_read_where_it_is_whether_a_list_was_asked_for_or_not() {
    let (one, two) = two().await;
    let gateway = Merged::of(&[("one", &one), ("two", &two)], "enabled: true", None);
    let read = async |uri: &str| {
        let result =
            gateway.modern("resources/read", json!({ "uri": uri })).await.json().await["result"].take();
        (result["from"].as_str().unwrap().to_owned(), result["params"]["uri"].as_str().unwrap().to_owned())
    };
    let pair = |from: &str, uri: &str| (from.to_owned(), uri.to_owned());
    assert_eq!(read("two:///own").await, pair("two", "two:///own"));
    assert_eq!(read("two:///items/7").await, pair("two", "two:///items/7"), "by its template");
    let (uris, _) = gateway.list("resources/list", "resources", "uri", None).await;
    assert_eq!(uris, ["file:///shared", "one:///own", "holdfast://two/file:///shared", "two:///own"]);
    assert_eq!(read("file:///shared").await, pair("one", "file:///shared"));
    assert_eq!(read("holdfast://two/file:///shared").await, pair("two", "file:///shared"));
    let (templates, _) =
        gateway.list("resources/templates/list", "resourceTemplates", "uriTemplate", None).await;
    assert_eq!(templates, ["one:///items/{id}", "two:///items/{id}"]);
    let reference = json!({"ref": {"type": "ref/resource", "uri": "two:///items/{id}"}, "argument": {"name": "id", "value": "1"}});
    let result = gateway.modern("completion/complete", reference).await.json().await["result"].take();
    assert_eq!(
        (&result["from"], &result["params"]["ref"]["uri"]),
        (&json!("two"), &json!("two:///items/{id}"))
    );
    let reference =
        json!({"ref": {"type": "ref/prompt", "name": "one__greet"}, "argument": {"name": "a", "value": ""}});
    let result = gateway.modern("completion/complete", reference).await.json().await["result"].take();
    assert_eq!((&result["from"], &result["params"]["ref"]["name"]), (&json!("one"), &json!("greet")));
    let unknown = gateway.modern("resources/read", json!({"uri": "nobody:///x"})).await;
    assert_eq!(unknown.code().await, -32602);
}

#[tokio::test]
async fn all_are_discovered_as_one() {
    let (one, two) = two().await;
    let gateway = Merged::of(&[("one", &one), ("two", &two)], "enabled: true", None);
    let result = gateway.modern("server/discover", json!({})).await.json().await["result"].take();
    assert_eq!(result["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(result["capabilities"], json!({"tools": {"listChanged": true}}));
    assert_eq!(result["instructions"], "one: I am one.\n\ntwo: I am two.");
}

#[tokio::test]
async fn a_member_that_hangs_neither_blocks_nor_empties_the_rest() {
    let (one, two) = two().await;
    let slow = Server::start(everything("slow")).await;
    let members = [("one", &one), ("slow", &slow), ("two", &two)];
    let gateway = Merged::of(&members, "list_timeout: 300ms, list_patience: 50ms", None);
    let whole = gateway.tools().await;
    assert_eq!(whole, ["one__echo", "slow__echo", "two__echo"]);
    let silent = Arc::new(AtomicBool::new(true));
    let (quiet, healthy) = (Arc::clone(&silent), everything("slow"));
    slow.script(move |seen| if quiet.load(Ordering::SeqCst) { Act::Silence } else { healthy(seen) });
    for _ in 0..5 {
        assert_eq!(gateway.tools().await, whole, "its last good list stands in for it");
    }
    // Another caller has no last good list of it, and sees those that are there.
    let stranger = Merged { principal: Arc::new(principal("other")), ..gateway };
    assert_eq!(stranger.tools().await, ["one__echo", "two__echo"]);
    silent.store(false, Ordering::SeqCst);
    wait::until_async("the member to return", async || stranger.tools().await == whole).await;
}

pub(crate) fn principal(subject: &str) -> Principal {
    Principal::new("https://issuer.example", subject, None, Vec::new()).unwrap()
}

#[tokio::test]
async fn a_dead_member_is_left_out_where_that_is_wanted_and_no_member_at_all_is_an_error() {
    let (one, mut two) = two().await;
    let mut one = one;
    let gateway =
        Merged::of(&[("one", &one), ("two", &two)], "on_member_failure: omit, list_timeout: 300ms", None);
    assert_eq!(gateway.tools().await, ["one__echo", "two__echo"]);
    two.kill().await;
    assert_eq!(gateway.tools().await, ["one__echo"]);
    one.kill().await;
    let answer = gateway.modern("tools/list", json!({})).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn a_list_is_kept_for_as_long_as_its_member_says_and_not_shown_to_others() {
    let script = |seen: &Seen| {
        complete(
            seen,
            json!({"tools": [{"name": "t", "inputSchema": {}}], "ttlMs": 60_000, "cacheScope": "private"}),
        )
    };
    let server = Server::start(script).await;
    let gateway = Merged::of(&[("m", &server)], "enabled: true", None);
    for _ in 0..3 {
        assert_eq!(gateway.tools().await, ["m__t"]);
    }
    assert_eq!(server.saw("tools/list"), 1);
    let other = Merged { principal: Arc::new(principal("other")), ..gateway };
    assert_eq!(other.tools().await, ["m__t"]);
    assert_eq!(server.saw("tools/list"), 2, "another caller's list is another list");
}
