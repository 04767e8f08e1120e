//! Rules: who may use what, wherever a name can pass.

use super::{
    gateway::{Gateway, Options},
    upstream::{Act, Seen, Step, Upstream as Server, legacy},
};
use holdfast_identity::Principal;
use holdfast_telemetry::metrics::{Denied, Label as _};
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

/// `reader` may use what reads, `admin` everything, and nobody what is dangerous.
const MODERN: &str = "era: modern
rules: [{scopes: reader, tools: ['read_*'], prompts: [ask], resources: ['file:///pub/*']}, {roles: admin}, {effect: deny, tools: '*_danger'}]";
const LEGACY: &str = "era: legacy
rules: [{scopes: reader, tools: ['read_*'], prompts: [ask], resources: ['file:///pub/*']}, {roles: admin}, {effect: deny, tools: '*_danger'}]";
pub(crate) const NOT_PERMITTED: i64 = -31033;
pub(crate) const LISTS: [(&str, &str, &str); 4] = [
    ("tools/list", "tools", "name"),
    ("prompts/list", "prompts", "name"),
    ("resources/list", "resources", "uri"),
    ("resources/templates/list", "resourceTemplates", "uriTemplate"),
];

pub(crate) fn reader() -> Arc<Principal> {
    Arc::new(Principal::new("i", "reader", None, vec!["reader".into()]).unwrap())
}

pub(crate) fn admin() -> Arc<Principal> {
    Arc::new(Principal::new("i", "admin", None, Vec::new()).unwrap().with_roles(vec!["admin".into()]))
}

pub(crate) fn nobody() -> Arc<Principal> {
    Arc::new(Principal::new("i", "nobody", None, vec!["other".into()]).unwrap())
}

/// What a server lists, and how long and by whom that may be kept.
fn listed(method: &str) -> Option<Value> {
    let mut result = match method {
        "tools/list" => json!({"tools": [{"name": "read_a"}, {"name": "write_a"}, {"name": "read_danger"}]}),
        "prompts/list" => json!({"prompts": [{"name": "ask"}, {"name": "tell"}]}),
        "resources/list" => json!({"resources": [
            {"uri": "file:///pub/a", "name": "a"}, {"uri": "file:///key", "name": "k"}, {"uri": "file:///pub/../key", "name": "d"}]}),
        "resources/templates/list" => json!({"resourceTemplates": [
            {"uriTemplate": "file:///pub/{name}", "name": "p"}, {"uriTemplate": "file:///{+all}", "name": "all"}]}),
        _ => return None,
    };
    result["resultType"] = json!("complete");
    result["ttlMs"] = json!(60_000);
    result["cacheScope"] = json!("public");
    Some(result)
}

/// What is left of the lists for each caller, in the order of [`LISTS`].
pub(crate) fn expected(who: &Principal) -> [Vec<&'static str>; 4] {
    match &**who.subject() {
        "reader" => [vec!["read_a"], vec!["ask"], vec!["file:///pub/a"], vec!["file:///pub/{name}"]],
        "admin" => [
            vec!["read_a", "write_a"],
            vec!["ask", "tell"],
            vec!["file:///pub/a", "file:///key", "file:///pub/../key"],
            vec!["file:///pub/{name}", "file:///{+all}"],
        ],
        _ => [vec![], vec![], vec![], vec![]],
    }
}

/// Lists as one JSON answer, or with `streams` as an event stream; says of everything else that it was done.
pub(crate) fn answers(streams: bool) -> impl Fn(&Seen) -> Act + Send + Sync + 'static {
    move |seen| {
        match listed(seen.rpc()) {
        Some(result) if streams => {
            let note = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": 1}});
            let secret = json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "file:///key"}});
            let twice = r#"data: {"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"write_a"}],"tools":[]}}"#;
            Act::Events(vec![
                Step::message(&note),
                Step::message(&secret),
                Step::Raw(format!("{twice}\n\n")),
                Step::named("e1", &seen.result(result)),
            ])
        }
        Some(result) => Act::Json(StatusCode::OK, seen.result(result)),
        None => Act::Json(
            StatusCode::OK,
            seen.result(json!({"resultType": "complete", "done": seen.message["params"], "ttlMs": 0, "cacheScope": "public"})),
        ),
    }
    }
}

pub(crate) fn names(result: &Value, key: &str, name: &str) -> Vec<String> {
    let items = result[key].as_array().unwrap_or_else(|| panic!("no list: {result}"));
    items.iter().map(|item| item[name].as_str().unwrap().to_owned()).collect()
}

fn gateway(server: &Server, line: &'static str, who: Arc<Principal>) -> Gateway {
    let mut gateway = Gateway::new(&[server], Options { server: line, ..Options::default() });
    gateway.principal = who;
    gateway
}

fn denied(gateway: &Gateway) -> u64 {
    Denied::ALL.iter().map(|kind| gateway.metrics.denied.get(*kind).get()).sum()
}

/// Requests that a reader may not make: of what is there and of what is not.
pub(crate) fn forbidden() -> Vec<(&'static str, Value)> {
    vec![
        ("tools/call", json!({"name": "write_a"})),
        ("tools/call", json!({"name": "no_such_tool"})),
        ("tools/call", json!({"name": "read_danger"})),
        ("prompts/get", json!({"name": "tell"})),
        ("resources/read", json!({"uri": "file:///key"})),
        ("resources/read", json!({"uri": "file:///nothing"})),
        ("resources/read", json!({"uri": "file:///pub/../key"})),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "tell"}, "argument": {"name": "a", "value": ""}}),
        ),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/resource", "uri": "file:///{+all}"}, "argument": {"name": "a", "value": ""}}),
        ),
    ]
}

/// And such as it may.
fn allowed() -> Vec<(&'static str, Value)> {
    vec![
        ("tools/call", json!({"name": "read_a"})),
        ("prompts/get", json!({"name": "ask"})),
        ("resources/read", json!({"uri": "file:///pub/a"})),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "ask"}, "argument": {"name": "a", "value": ""}}),
        ),
    ]
}

#[tokio::test]
async fn what_no_rule_allows_never_reaches_its_server_and_nobody_learns_whether_it_exists() {
    let server = Server::start(answers(false)).await;
    let gateway = gateway(&server, MODERN, reader());
    let mut bodies = Vec::new();
    for (method, params) in forbidden() {
        let answer = gateway.modern(method, params.clone()).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{method} {params}");
        let body = answer.json().await;
        assert_eq!(body["error"]["code"], NOT_PERMITTED, "{method} {params}");
        bodies.push(body.to_string());
        assert_eq!(server.saw(method), 0, "{method} {params}");
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "one answer for all: {bodies:?}");
    assert_eq!(denied(&gateway), forbidden().len() as u64);
    let unheard = gateway.modern("skills/get", json!({"name": "read_a"})).await;
    assert_eq!(
        (unheard.code().await, server.saw("skills/get")),
        (NOT_PERMITTED, 0),
        "no rule can speak of it"
    );
    for (method, params) in allowed() {
        let answer = gateway.modern(method, params).await.json().await;
        assert_eq!(answer["result"]["cacheScope"], "private", "{method}: others may not be shown it");
        assert!(server.saw(method) > 0, "{method}");
    }
    assert_eq!(gateway.modern("server/discover", json!({})).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn in_a_session_a_denied_request_is_an_answer_and_the_session_goes_on() {
    let server = Server::start(legacy("a", answers(false))).await;
    let mut gateway = gateway(&server, LEGACY, reader());
    let session = gateway.open("2025-11-25").await;
    let more = [
        ("resources/subscribe", json!({"uri": "file:///key"})),
        ("resources/unsubscribe", json!({"uri": "file:///key"})),
    ];
    for (method, params) in forbidden().into_iter().chain(more) {
        let answer = session.call(1, method, params.clone()).await;
        assert_eq!(answer.status(), StatusCode::OK, "some clients would take the connection for broken");
        assert_eq!(answer.code().await, NOT_PERMITTED, "{method} {params}");
        assert_eq!(server.saw(method), 0, "{method} {params}");
    }
    for (method, params) in allowed() {
        let answer = session.call(2, method, params).await.json().await;
        assert!(answer["result"].is_object(), "{method} {answer}");
    }
    assert!(session.call(3, "tasks/list", json!({})).await.json().await["result"].is_object());
    assert!(session.call(3, "ping", json!({})).await.json().await["result"].is_object());
    // What the caller may do is judged with each request, not with the session.
    let token = session.token.clone();
    gateway.principal = Arc::new(Principal::new("i", "reader", None, Vec::new()).unwrap());
    let headers = [("mcp-session-id", &*token), ("mcp-protocol-version", "2025-11-25")];
    let calls = server.saw("tools/call");
    let message = json!({"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": {"name": "read_a"}});
    assert_eq!(gateway.post(&message, &headers).await.code().await, NOT_PERMITTED);
    let task = json!({"jsonrpc": "2.0", "id": 5, "method": "tasks/get", "params": {"taskId": "1"}});
    assert_eq!(gateway.post(&task, &headers).await.code().await, NOT_PERMITTED);
    assert_eq!((server.saw("tools/call"), server.saw("tasks/get")), (calls, 0));
}

#[tokio::test]
async fn every_list_shows_its_reader_what_it_may_use_in_both_eras_as_json_and_as_a_stream() {
    for streams in [false, true] {
        for who in [reader(), admin(), nobody()] {
            let expected = expected(&who);
            let server = Server::start(answers(streams)).await;
            let modern = gateway(&server, MODERN, Arc::clone(&who));
            for ((method, key, name), expected) in LISTS.iter().zip(&expected) {
                let answer = modern.modern(method, json!({})).await;
                let message = answer.message().await;
                assert_eq!(names(&message["result"], key, name), *expected, "{method} {}", who.subject());
                assert_eq!(message["result"]["cacheScope"], "private", "{method}");
            }
            let old = Server::start(legacy("a", answers(streams))).await;
            let gateway = gateway(&old, LEGACY, Arc::clone(&who));
            let session = gateway.open("2025-03-26").await;
            for ((method, key, name), expected) in LISTS.iter().zip(&expected) {
                let answer = session.call(1, method, json!({})).await;
                let text = answer.text().await;
                let last = text.lines().rfind(|line| line.contains("\"result\"")).unwrap();
                let message: Value =
                    serde_json::from_str(last.strip_prefix("data: ").unwrap_or(last)).unwrap();
                assert_eq!(names(&message["result"], key, name), *expected, "{method} {}", who.subject());
                let may_see_all = &**who.subject() == "admin";
                assert!(may_see_all || !text.contains("write_a") && !text.contains("file:///key"), "{text}");
            }
            let batch = json!([
                {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
                {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "read_danger"}},
            ]);
            let text = session.post(&batch).await.text().await;
            let shown = ["read_a", "write_a"].map(|tool| text.contains(&format!("\"name\":\"{tool}\"")));
            assert_eq!(shown, ["read_a", "write_a"].map(|tool| expected[0].contains(&tool)), "{text}");
            assert!(text.contains("-31033") && !text.contains("\"name\":\"read_danger\""), "{text}");
            assert_eq!(old.saw("tools/call"), 0);
        }
    }
}

#[tokio::test]
async fn a_subscription_is_not_agreed_to_for_what_may_not_be_read() {
    let server = Server::start(|seen: &Seen| {
        let meta = json!({"io.modelcontextprotocol/subscriptionId": seen.message["id"]});
        let event = |method: &str, mut params: Value| {
            params["_meta"] = meta.clone();
            Step::message(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
        };
        let filter = seen.message["params"]["notifications"].clone();
        Act::Events(vec![
            event("notifications/subscriptions/acknowledged", json!({"notifications": filter})),
            event("notifications/resources/updated", json!({"uri": "file:///key"})),
            event("notifications/resources/updated", json!({"uri": "file:///pub/a"})),
            Step::Hang,
        ])
    })
    .await;
    let gateway = gateway(&server, MODERN, reader());
    let filter = json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": ["file:///key", "file:///pub/a"]}});
    let mut events = gateway.modern("subscriptions/listen", filter).await.follow();
    let agreed = events.next().await.unwrap().message()["params"]["notifications"].take();
    assert_eq!(agreed, json!({"toolsListChanged": true, "resourceSubscriptions": ["file:///pub/a"]}));
    let asked = server.seen()[0].message["params"]["notifications"]["resourceSubscriptions"].clone();
    assert_eq!(asked, json!(["file:///pub/a"]));
    let updated = events.next().await.unwrap().message();
    assert_eq!(updated["params"]["uri"], "file:///pub/a", "nor is anything heard of it");
}

#[tokio::test]
async fn rules_for_all_servers_close_those_that_they_do_not_name() {
    let server = Server::start(answers(false)).await;
    let with = |rules: &'static str| {
        Gateway::new(&[&server], Options { server: "era: modern", mcp: rules, ..Options::default() })
    };
    let call =
        async |gateway: &Gateway| gateway.modern("tools/call", json!({"name": "read_a"})).await.status();
    assert_eq!(call(&with("max_depth: 100")).await, StatusCode::OK, "no rule, no limit");
    assert_eq!(call(&with("rules: [{servers: it, subjects: anonymous}]")).await, StatusCode::OK);
    assert_eq!(call(&with("rules: [{servers: 'i*', subjects: somebody}]")).await, StatusCode::FORBIDDEN);
    assert_eq!(call(&with("rules: [{}, {effect: deny, servers: it}]")).await, StatusCode::FORBIDDEN);
    assert_eq!(server.saw("tools/call"), 2);
}
