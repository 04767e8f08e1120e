//! Sessions at the merged endpoint: one for the client, one behind it at every member.

use super::{
    gateway::{Answer, request},
    merged::{Merged, principal},
    upstream::{Act, Seen, Step, Upstream as Server, legacy},
    wait,
};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Notify;

const VERSION: &str = "2025-11-25";

/// A session as its client holds it.
struct Session<'g> {
    gateway: &'g Merged,
    token: String,
}

impl Session<'_> {
    async fn open(gateway: &Merged) -> Session<'_> {
        let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}});
        let answer = gateway.send(request("POST", message.to_string(), &[])).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let token = answer.header("mcp-session-id").expect("a session").to_owned();
        let result = answer.json().await["result"].take();
        assert_eq!(
            (&result["protocolVersion"], &result["serverInfo"]["name"]),
            (&json!(VERSION), &json!("holdfast"))
        );
        let session = Session { gateway, token };
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(session.post(&initialized).await.status(), StatusCode::ACCEPTED);
        session
    }
    fn at<'o>(&self, gateway: &'o Merged) -> Session<'o> {
        Session { gateway, token: self.token.clone() }
    }
    async fn ask(&self, method: &str, body: String, more: &[(&str, &str)]) -> Answer {
        let mut headers = vec![("mcp-session-id", &*self.token), ("mcp-protocol-version", VERSION)];
        headers.extend_from_slice(more);
        self.gateway.send(request(method, body, &headers)).await
    }
    async fn post(&self, message: &Value) -> Answer {
        self.ask("POST", message.to_string(), &[]).await
    }
    async fn call(&self, id: u64, method: &str, params: Value) -> Answer {
        self.post(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await
    }
    async fn tools(&self) -> Vec<String> {
        let result = self.call(1, "tools/list", json!({})).await.message().await["result"].take();
        assert!(result.get("resultType").is_none(), "this version has none: {result}");
        result["tools"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect()
    }
    /// Who answered a call, and in which of its sessions.
    async fn who(&self, tool: &str) -> (String, String) {
        let result = self.call(2, "tools/call", json!({"name": tool})).await.message().await["result"].take();
        let text = |key: &str| result[key].as_str().unwrap_or_else(|| panic!("{result}")).to_owned();
        (text("from"), text("session"))
    }
}

/// Lists one tool, and answers everything else with its name and the session it was asked in.
fn server(name: &'static str) -> impl Fn(&Seen) -> Act + Send + Sync + 'static {
    legacy(name, move |seen| match seen.rpc() {
        "tools/list" => {
            Act::Json(StatusCode::OK, seen.result(json!({"tools": [{"name": "t", "inputSchema": {}}]})))
        }
        _ if seen.method == Method::GET => Act::Status(StatusCode::METHOD_NOT_ALLOWED),
        _ => {
            let session = seen.header("mcp-session-id");
            Act::Json(
                StatusCode::OK,
                seen.result(json!({"from": name, "session": session, "params": seen.message["params"]})),
            )
        }
    })
}

async fn two() -> (Server, Server) {
    (Server::start(server("one")).await, Server::start(server("two")).await)
}

fn gateway(servers: &[(&str, &Server)]) -> Merged {
    Merged::new(servers, "era: legacy", "list_timeout: 500ms", None)
}

fn pair(from: &str, session: &str) -> (String, String) {
    (from.to_owned(), session.to_owned())
}

#[tokio::test]
async fn one_session_of_the_client_is_one_at_every_member_and_any_replica_goes_on_with_it() {
    let (one, two) = two().await;
    let servers = [("one", &one), ("two", &two)];
    let gateway = gateway(&servers);
    let session = Session::open(&gateway).await;
    assert_eq!(session.tools().await, ["one__t", "two__t"]);
    assert_eq!(session.who("two__t").await, pair("two", "two-1"));
    let other = Merged::new(&servers, "era: legacy", "enabled: true", Some(Arc::clone(&gateway.ring)));
    let there = session.at(&other);
    assert_eq!(there.who("one__t").await, pair("one", "one-1"));
    assert_eq!(there.who("two__t").await, pair("two", "two-1"));
    for server in [&one, &two] {
        assert_eq!((server.saw("initialize"), server.saw("notifications/initialized")), (1, 1));
    }
    assert_eq!(there.call(3, "ping", json!({})).await.json().await["result"], json!({}));
    assert_eq!(
        there.call(3, "logging/setLevel", json!({"level": "info"})).await.json().await["result"],
        json!({})
    );
    assert_eq!((one.saw("logging/setLevel"), two.saw("logging/setLevel"), one.saw("ping")), (1, 1, 0));
    let unknown = there.call(4, "tools/call", json!({"name": "t"})).await;
    assert_eq!(unknown.status(), StatusCode::OK);
    assert_eq!(unknown.json().await["error"]["code"], -32602);
}

#[tokio::test]
async fn a_member_that_was_not_there_is_bound_when_it_is_first_used() {
    let (one, mut two) = two().await;
    two.kill().await;
    let gateway = gateway(&[("one", &one), ("two", &two)]);
    let session = Session::open(&gateway).await;
    assert_eq!(session.tools().await, ["one__t"]);
    two.restart().await;
    wait::until_async("the member to be bound", async || session.tools().await.len() == 2).await;
    assert_eq!(session.who("two__t").await, pair("two", "two-1"));
    assert_eq!(session.who("one__t").await, pair("one", "one-1"));
    assert_eq!(two.saw("initialize"), 1);
}

#[tokio::test]
async fn a_pinned_part_that_is_lost_ends_the_session_and_nothing_is_made_up() {
    let (one, mut two) = two().await;
    let gateway = gateway(&[("one", &one), ("two", &two)]);
    let session = Session::open(&gateway).await;
    two.restart().await;
    two.script(server("two"));
    let answer = session.call(2, "tools/call", json!({"name": "two__t"})).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND, "its state is gone, and its client must know");
    assert_eq!(session.who("one__t").await, pair("one", "one-1"));
}

#[tokio::test]
async fn questions_of_two_members_with_equal_ids_find_their_way_back() {
    let asking = |name: &'static str, done: Arc<Notify>| {
        legacy(name, move |seen| match seen.rpc() {
            "tools/call" => Act::Events(vec![
                Step::message(&json!({"jsonrpc": "2.0", "id": 1, "method": "roots/list"})),
                Step::Wait(Arc::clone(&done)),
                Step::message(&seen.result(json!({"from": name}))),
            ]),
            _ if seen.method == Method::GET => Act::Status(StatusCode::METHOD_NOT_ALLOWED),
            _ => {
                done.notify_one();
                Act::Status(StatusCode::ACCEPTED)
            }
        })
    };
    let (one, two) = (
        Server::start(asking("one", Arc::default())).await,
        Server::start(asking("two", Arc::default())).await,
    );
    let gateway = gateway(&[("one", &one), ("two", &two)]);
    let session = Session::open(&gateway).await;
    let mut streams = Vec::new();
    for (id, tool) in [(5, "one__t"), (6, "two__t")] {
        streams.push((id, tool, session.call(id, "tools/call", json!({"name": tool})).await.follow()));
    }
    let mut questions = Vec::new();
    for (_, _, events) in &mut streams {
        loop {
            let event = events.next().await.unwrap();
            if event.data.as_deref().is_some_and(|data| !data.is_empty()) {
                questions.push(event.message()["id"].clone());
                break;
            }
        }
    }
    assert_ne!(questions[0], questions[1]);
    for (question, roots) in questions.iter().zip(["file:///one", "file:///two"]).rev() {
        let answer = json!({"jsonrpc": "2.0", "id": question, "result": {"roots": [{"uri": roots}]}});
        assert_eq!(session.post(&answer).await.status(), StatusCode::ACCEPTED);
    }
    for (id, tool, mut events) in streams {
        let last = events.next().await.unwrap().message();
        assert_eq!((&last["id"], last["result"]["from"].as_str()), (&json!(id), tool.split("__").next()));
    }
    for (server, roots) in [(&one, "file:///one"), (&two, "file:///two")] {
        let seen = server.seen();
        let answers: Vec<_> = seen.iter().filter(|seen| seen.message.get("result").is_some()).collect();
        assert_eq!(answers.len(), 1);
        assert_eq!(
            (&answers[0].message["id"], &answers[0].message["result"]["roots"][0]["uri"]),
            (&json!(1), &json!(roots))
        );
    }
    let stray = json!({"jsonrpc": "2.0", "id": "hmthree.hf0n.1", "result": {}});
    assert_eq!(session.post(&stray).await.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn one_stream_says_what_all_members_say_and_is_taken_up_where_it_was_left() {
    let telling = |name: &'static str, go: Arc<Notify>| {
        legacy(name, move |seen| {
            let event = |level: &str| {
                Step::message(
                    &json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": level, "logger": name, "data": 1}}),
                )
            };
            match seen.rpc() {
                _ if seen.method == Method::GET => {
                    Act::Events(vec![event("info"), Step::Wait(Arc::clone(&go)), event("error"), Step::Hang])
                }
                _ => Act::Json(StatusCode::OK, seen.result(json!({}))),
            }
        })
    };
    let go = [Arc::new(Notify::new()), Arc::new(Notify::new())];
    let one = Server::start(telling("one", Arc::clone(&go[0]))).await;
    let two = Server::start(telling("two", Arc::clone(&go[1]))).await;
    let quiet = Server::start(server("quiet")).await;
    let gateway = gateway(&[("one", &one), ("two", &two), ("quiet", &quiet)]);
    let session = Session::open(&gateway).await;
    let mut events = session.ask("GET", String::new(), &[]).await.follow();
    let mut heard = Vec::new();
    let mut last = None;
    while heard.len() < 2 {
        let event = events.next().await.unwrap();
        last = event.id.clone().or(last);
        if event.data.as_deref().is_some_and(|data| !data.is_empty()) {
            let params = event.message()["params"].take();
            heard.push(format!(
                "{} {}",
                params["logger"].as_str().unwrap(),
                params["level"].as_str().unwrap()
            ));
        }
    }
    heard.sort();
    assert_eq!(heard, ["one info", "two info"]);
    drop(events);
    for go in &go {
        go.notify_one();
    }
    let last = last.unwrap();
    let mut events = session.ask("GET", String::new(), &[("last-event-id", &last)]).await.follow();
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let event = events.next().await.unwrap();
        if event.data.as_deref().is_some_and(|data| !data.is_empty()) {
            let params = event.message()["params"].take();
            heard.push(format!(
                "{} {}",
                params["logger"].as_str().unwrap(),
                params["level"].as_str().unwrap()
            ));
        }
    }
    heard.sort();
    assert_eq!(heard, ["one error", "two error"], "each once, and nothing again");
}

#[tokio::test]
async fn the_end_of_a_session_reaches_every_member_and_a_token_is_for_its_owner() {
    let (one, two) = two().await;
    let servers = [("one", &one), ("two", &two)];
    let gateway = gateway(&servers);
    let session = Session::open(&gateway).await;
    let mut stranger = Merged::new(&servers, "era: legacy", "enabled: true", Some(Arc::clone(&gateway.ring)));
    stranger.principal = Arc::new(principal("other"));
    let stolen = session.at(&stranger).call(1, "tools/list", json!({})).await;
    assert_eq!(stolen.status(), StatusCode::NOT_FOUND);
    assert_eq!(session.ask("DELETE", String::new(), &[]).await.status(), StatusCode::NO_CONTENT);
    assert_eq!((one.saw("DELETE"), two.saw("DELETE")), (1, 1));
    assert_eq!(session.call(1, "tools/list", json!({})).await.status(), StatusCode::NOT_FOUND);
    let none = gateway
        .send(request("POST", json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string(), &[]))
        .await;
    assert_eq!(none.status(), StatusCode::BAD_REQUEST);
}
