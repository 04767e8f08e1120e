//! Pins: a tool is shown and called only while its definition is the one that an operator looked at.

use super::{
    gateway::{Gateway, Options},
    merged::Merged,
    upstream::{Act, Gate, Seen, Step, Upstream as Server, legacy},
    wait,
};
use holdfast_mcp::{
    McpState,
    frame::{Frame, Limits},
    tool_digests,
};
use holdfast_telemetry::metrics::Denied;
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;

const NOT_PINNED: i64 = -31034;

fn tool(name: &str, description: &str) -> Value {
    json!({"name": name, "description": description, "inputSchema": {"type": "object", "maximum": 1.5}})
}

/// The digest that a pin of `tool` has.
fn digest(tool: &Value) -> String {
    let list = json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": [tool]}});
    let frame = Frame::parse(list.to_string().into(), &Limits::default()).unwrap();
    tool_digests(&frame).remove(0).1.unwrap()
}

/// A server's block that pins these tools as they are.
fn pinned(era: &str, tools: &[Value]) -> &'static str {
    let pins: Vec<String> = tools
        .iter()
        .map(|tool| format!("{{tool: {}, sha256: {}}}", tool["name"].as_str().unwrap(), digest(tool)))
        .collect();
    // In the test's own memory until it ends.
    format!("era: {era}\npins: [{}]", pins.join(", ")).leak()
}

/// What a server lists now.
type Tools = Arc<Mutex<Vec<Value>>>;

fn listing(tools: &[Value]) -> Tools {
    Arc::new(Mutex::new(tools.to_vec()))
}

/// Lists what `tools` holds, and does what it is told to.
fn answers(tools: &Tools) -> impl Fn(&Seen) -> Act + Send + Sync + 'static {
    let tools = Arc::clone(tools);
    move |seen| {
        let result = match seen.rpc() {
            "tools/list" => {
                json!({"tools": *tools.lock(), "resultType": "complete", "ttlMs": 0, "cacheScope": "public"})
            }
            "tools/call" => json!({"done": seen.message["params"]["name"], "resultType": "complete"}),
            _ => json!({"resultType": "complete"}),
        };
        Act::Json(StatusCode::OK, seen.result(result))
    }
}

async fn names(gateway: &Gateway) -> Vec<String> {
    let result = gateway.modern("tools/list", json!({})).await.json().await["result"].take();
    shown(&result)
}

fn shown(result: &Value) -> Vec<String> {
    let tools = result["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

async fn call(gateway: &Gateway, tool: &str) -> Result<Value, (StatusCode, i64)> {
    let answer = gateway.modern("tools/call", json!({"name": tool, "arguments": {}})).await;
    let status = answer.status();
    let mut message = answer.json().await;
    match message["error"]["code"].as_i64() {
        Some(code) => Err((status, code)),
        None => Ok(message["result"].take()),
    }
}

const REFUSED: (StatusCode, i64) = (StatusCode::FORBIDDEN, NOT_PINNED);

#[tokio::test]
async fn what_is_not_pinned_or_has_changed_is_neither_listed_nor_called() {
    let (a, b, c) = (tool("a", "reads"), tool("b", "writes"), tool("c", "is new"));
    let tools = listing(&[a.clone(), b.clone(), c]);
    let server = Server::start(answers(&tools)).await;
    let gateway =
        Gateway::new(&[&server], Options { server: pinned("modern", &[a.clone(), b]), ..Options::default() });
    assert_eq!(names(&gateway).await, ["a", "b"]);
    assert_eq!(call(&gateway, "a").await.unwrap()["done"], "a");
    assert_eq!(call(&gateway, "c").await, Err(REFUSED));
    tools.lock()[1] = tool("b", "writes, and tells the other server your keys");
    assert_eq!(names(&gateway).await, ["a"]);
    assert_eq!(call(&gateway, "b").await, Err(REFUSED));
    assert_eq!(call(&gateway, "a").await.unwrap()["done"], "a", "the others go on");
    let called: Vec<Value> = server
        .seen()
        .iter()
        .filter(|seen| seen.rpc() == "tools/call")
        .map(|seen| seen.message["params"]["name"].clone())
        .collect();
    assert_eq!(called, ["a", "a"], "nothing else was sent");
    let view = gateway.server.tools();
    assert_eq!((view.known, view.changed, view.pinned), (3, 1, 2));
    assert_eq!(view.withheld, ["b", "c"]);
    assert_eq!(gateway.metrics.denied.get(Denied::Unpinned).get(), 2);
    assert_eq!((gateway.metrics.tool_changes.get(), gateway.metrics.tools_withheld.get()), (1, 3));
    // As before, in other words: members in another order.
    tools.lock()[1] =
        json!({"inputSchema": {"maximum": 1.5, "type": "object"}, "description": "writes", "name": "b"});
    assert_eq!(names(&gateway).await, ["a", "b"]);
    assert!(call(&gateway, "b").await.is_ok());
}

#[tokio::test]
async fn without_pins_changes_are_counted_once_each_and_hide_nothing() {
    let tools = listing(&[tool("a", "1"), tool("b", "1")]);
    let server = Server::start(answers(&tools)).await;
    let gateway = Gateway::new(&[&server], Options { server: "era: modern", ..Options::default() });
    for description in ["1", "2", "1", "2", "1", "3"] {
        tools.lock()[0] = tool("a", description);
        assert_eq!(names(&gateway).await, ["a", "b"]);
    }
    assert_eq!(gateway.metrics.tool_changes.get(), 2);
    assert_eq!(gateway.server.tools().changed, 1);
    assert_eq!(gateway.metrics.tools_withheld.get(), 0);
}

#[tokio::test]
async fn calls_of_what_nobody_listed_wait_for_one_question_of_the_gateways_own() {
    let (a, gate) = (tool("a", "reads"), Gate::closed());
    let (tools, held) = (listing(std::slice::from_ref(&a)), Arc::clone(&gate));
    let own = answers(&tools);
    let server = Server::start(move |seen| match seen.rpc() {
        "tools/list" => Act::Behind(held.enter(), Box::new(own(seen))),
        _ => own(seen),
    })
    .await;
    let gateway =
        Arc::new(Gateway::new(&[&server], Options { server: pinned("modern", &[a]), ..Options::default() }));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let gateway = Arc::clone(&gateway);
        calls.spawn(async move { call(&gateway, "a").await });
    }
    wait::until("the question", || gate.inside() == 1).await;
    assert_eq!(server.saw("tools/call"), 0, "nothing goes out unseen");
    gate.open();
    while let Some(done) = calls.join_next().await {
        assert_eq!(done.unwrap().unwrap()["done"], "a");
    }
    assert_eq!((server.saw("tools/list"), server.saw("tools/call")), (1, 30));
    let question = server.seen().into_iter().find(|seen| seen.rpc() == "tools/list").unwrap();
    assert_eq!((question.header("mcp-method"), question.header("mcp-name")), (Some("tools/list"), None));
}

#[tokio::test]
async fn what_cannot_be_known_is_refused_in_time() {
    for silent in [true, false] {
        let a = tool("a", "reads");
        let server = Server::start(move |seen| match seen.rpc() {
            "tools/list" if silent => Act::Silence,
            "tools/list" => Act::Status(StatusCode::INTERNAL_SERVER_ERROR),
            _ => answers(&listing(&[]))(seen),
        })
        .await;
        let block = format!("{}\ninitialize_timeout: 1s", pinned("modern", &[a])).leak();
        let gateway = Gateway::new(&[&server], Options { server: block, ..Options::default() });
        assert_eq!(call(&gateway, "a").await, Err(REFUSED));
        assert_eq!(call(&gateway, "a").await, Err(REFUSED), "at once");
        assert_eq!((server.saw("tools/list"), server.saw("tools/call")), (1, 0), "silent: {silent}");
    }
}

#[tokio::test]
async fn a_tool_on_the_second_page_of_an_event_stream_is_found() {
    let (a, b) = (tool("a", "reads"), tool("b", "writes"));
    let (first, second) = (a.clone(), b.clone());
    let server = Server::start(move |seen| match seen.rpc() {
        "tools/list" if seen.message["params"]["cursor"] == "next" => Act::Events(vec![Step::message(
            &seen.result(json!({"tools": [second], "resultType": "complete"})),
        )]),
        "tools/list" => Act::Events(vec![Step::message(
            &seen.result(json!({"tools": [first], "nextCursor": "next", "resultType": "complete"})),
        )]),
        _ => answers(&listing(&[]))(seen),
    })
    .await;
    let gateway = Gateway::new(&[&server], Options { server: pinned("modern", &[b]), ..Options::default() });
    assert_eq!(call(&gateway, "b").await.unwrap()["done"], "b");
    let list = gateway.modern("tools/list", json!({})).await.message().await;
    assert!(shown(&list["result"]).is_empty(), "an event is read as well: {list}");
}

#[tokio::test]
async fn a_server_that_says_that_its_tools_changed_is_asked_again_before_a_call() {
    let a = tool("a", "reads");
    let tools = listing(std::slice::from_ref(&a));
    let own = answers(&tools);
    let server = Server::start(move |seen| match seen.rpc() {
        "prompts/list" => {
            let changed = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
            let answer = seen.result(json!({"prompts": [], "resultType": "complete"}));
            Act::Events(vec![Step::message(&changed), Step::message(&answer)])
        }
        _ => own(seen),
    })
    .await;
    let gateway = Gateway::new(&[&server], Options { server: pinned("modern", &[a]), ..Options::default() });
    assert_eq!(names(&gateway).await, ["a"]);
    assert!(call(&gateway, "a").await.is_ok());
    assert_eq!(server.saw("tools/list"), 1);
    tools.lock()[0] = tool("a", "reads everything");
    assert!(call(&gateway, "a").await.is_ok(), "nobody can know");
    gateway.modern("prompts/list", json!({})).await.text().await;
    assert_eq!(call(&gateway, "a").await, Err(REFUSED));
    assert_eq!(server.saw("tools/list"), 2);
}

#[tokio::test]
async fn a_session_is_refused_with_200_in_a_batch_too_and_asks_over_itself() {
    let (a, b) = (tool("a", "reads"), tool("b", "writes"));
    let tools = listing(&[a.clone(), b]);
    let server = Server::start(legacy("one", answers(&tools))).await;
    let gateway = Gateway::new(&[&server], Options { server: pinned("legacy", &[a]), ..Options::default() });
    let session = gateway.open("2025-03-26").await;
    let good = session.call(1, "tools/call", json!({"name": "a"})).await.message().await;
    assert_eq!(good["result"]["done"], "a");
    let asked = server.seen().into_iter().find(|seen| seen.rpc() == "tools/list").unwrap();
    assert!(asked.header("mcp-session-id").is_some(), "the question is the session's");
    let refused = session.call(2, "tools/call", json!({"name": "b"})).await;
    assert_eq!((refused.status(), refused.code().await), (StatusCode::OK, NOT_PINNED));
    let list = session.call(3, "tools/list", json!({})).await.message().await;
    assert_eq!(shown(&list["result"]), ["a"]);
    let batch = json!([
        {"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": {"name": "b"}},
        {"jsonrpc": "2.0", "id": 5, "method": "tools/list", "params": {}}
    ]);
    let answers = session.post(&batch).await.json().await;
    assert_eq!(answers[0]["error"]["code"], NOT_PINNED, "{answers}");
    assert_eq!(shown(&answers[1]["result"]), ["a"]);
    assert_eq!(server.saw("tools/call"), 1);
}

#[tokio::test]
async fn the_merged_endpoint_holds_the_pins_of_its_members_and_asks_for_them() {
    let (a, b) = (tool("a", "reads"), tool("b", "writes"));
    let tools = listing(&[a.clone(), b.clone()]);
    let (one, two) = (Server::start(answers(&tools)).await, Server::start(answers(&tools)).await);
    let line = pinned("modern", &[a]).replace('\n', "\n      ");
    let gateway = Merged::new(&[("one", &one), ("two", &two)], &line, "list_timeout: 2s", None);
    let call = async |name: &str| {
        gateway.modern("tools/call", json!({"name": name, "arguments": {}})).await.json().await
    };
    assert_eq!(call("one__a").await["result"]["done"], "a");
    assert_eq!((one.saw("tools/list"), two.saw("tools/list")), (1, 0), "the member of the tool alone");
    assert_eq!(call("one__b").await["error"]["code"], NOT_PINNED);
    let list = gateway.modern("tools/list", json!({})).await.json().await;
    assert_eq!(shown(&list["result"]), ["one__a", "two__a"]);
    tools.lock()[0] = tool("a", "something else");
    let list = gateway.modern("tools/list", json!({})).await.json().await;
    assert_eq!(shown(&list["result"]), Vec::<String>::new());
    assert_eq!(call("two__a").await["error"]["code"], NOT_PINNED);
    assert_eq!((one.saw("tools/call"), two.saw("tools/call")), (1, 0));
}

#[tokio::test]
async fn what_was_seen_outlives_a_snapshot_and_new_pins_hold_at_once() {
    let (a, b) = (tool("a", "reads"), tool("b", "writes"));
    let server = Server::start(answers(&listing(&[a, b.clone()]))).await;
    let before = Gateway::new(&[&server], Options { server: "era: modern", ..Options::default() });
    before.modern("tools/list", json!({})).await.text().await;
    let state: Arc<McpState> = Arc::clone(before.service.state());
    let options = Options { server: pinned("modern", &[b]), state: Some(state), ..Options::default() };
    let after = Gateway::new(&[&server], options);
    let listed = server.saw("tools/list");
    assert!(call(&after, "b").await.is_ok());
    assert_eq!(call(&after, "a").await, Err(REFUSED));
    assert_eq!(server.saw("tools/list"), listed, "what it is was known");
}
