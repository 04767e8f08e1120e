//! A server that runs `server.py`, and how to ask it.

use bytes::Bytes;
use holdfast_config::{Role, Source, load};
use holdfast_links::{LinkBody, LinkCall, LinkReply, Links, Parts};
use holdfast_store::ReplicaId;
use holdfast_telemetry::Registry;
use holdfast_upstream::CallError;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

pub(crate) const REPLICA: ReplicaId = ReplicaId(7);
pub(crate) const ME: [u8; 32] = [1; 32];
pub(crate) const YOU: [u8; 32] = [2; 32];
const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/server.py");

pub(crate) struct Server {
    pub(crate) links: Arc<Links>,
    pub(crate) registry: Registry,
}

/// A server with more keys, each `key: value`.
pub(crate) fn server(keys: &[&str]) -> Server {
    with(&["python3", SERVER], keys, 64 << 20)
}

/// As [`server`]; the program ends at once.
pub(crate) fn crashing(keys: &[&str]) -> Server {
    with(&["python3", SERVER, "crash"], keys, 64 << 20)
}

pub(crate) fn with(command: &[&str], keys: &[&str], message_max: usize) -> Server {
    let words: Vec<String> = command.iter().map(|word| format!("'{word}'")).collect();
    let mut text = format!("mcp:\n  servers:\n    - name: s\n      command: [{}]\n", words.join(", "));
    for key in keys {
        text.extend(["      ", key, "\n"]);
    }
    let source = Source::Text { name: "test".into(), text };
    let config = load(&[source], &BTreeMap::new(), Role::Any).map_err(|report| report.render(false)).unwrap();
    let registry = Registry::new(&BTreeMap::new()).unwrap();
    let parts = Parts { replica: REPLICA, message_max, registry: &registry, runtime: &Handle::current() };
    let links = Links::program(&config.config.mcp.servers[0], parts, None).unwrap();
    Server { links, registry }
}

pub(crate) fn call<'a>(session: Option<&'a str>, message: &Value) -> LinkCall<'a> {
    LinkCall {
        method: Method::POST,
        session,
        body: message.to_string().into(),
        principal: Some(ME),
        pin: None,
        avoid: &[],
        until: Instant::now() + Duration::from_secs(20),
        trace: None,
    }
}

pub(crate) fn request(id: impl Into<Value>, method: &str, params: &Value) -> Value {
    let id: Value = id.into();
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

impl Server {
    pub(crate) async fn send(&self, call: LinkCall<'_>) -> Result<LinkReply, CallError> {
        self.links.send(call).await
    }

    /// Opens a session.
    pub(crate) async fn session(&self) -> String {
        let reply = self.send(call(None, &request(0, "initialize", &json!({})))).await.unwrap();
        assert_eq!(reply.response.status(), StatusCode::OK);
        reply.response.headers()["mcp-session-id"].to_str().unwrap().to_owned()
    }

    /// Asks and reads the whole answer.
    pub(crate) async fn ask(&self, session: Option<&str>, message: &Value) -> Answer {
        read(self.send(call(session, message)).await.unwrap()).await
    }

    /// A metric's value.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let page = self.registry.render();
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series}")).parse().unwrap()
    }

    /// The bare request by another method.
    pub(crate) async fn bare(&self, method: Method, session: &str) -> LinkReply {
        let call = LinkCall { method, body: Bytes::new(), ..call(Some(session), &Value::Null) };
        self.send(call).await.unwrap()
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) streamed: bool,
    pub(crate) messages: Vec<Value>,
    pub(crate) torn: bool,
}

impl Answer {
    pub(crate) fn result(&self) -> &Value {
        &self.messages.last().unwrap()["result"]
    }
}

pub(crate) async fn read(reply: LinkReply) -> Answer {
    let (head, mut body) = reply.response.into_parts();
    let media = head.headers.get("content-type").map(|media| media.to_str().unwrap().to_owned());
    let streamed = media.as_deref() == Some("text/event-stream");
    let (mut messages, mut torn) = (Vec::new(), false);
    while let Some(message) = next(&mut body).await {
        match message {
            Ok(text) => messages.push(parse(&text, streamed)),
            Err(()) => torn = true,
        }
    }
    Answer { status: head.status, streamed, messages, torn }
}

/// The next message of a stream, in time.
pub(crate) async fn next(body: &mut LinkBody) -> Option<Result<String, ()>> {
    let frame = tokio::time::timeout(Duration::from_secs(20), body.frame()).await.unwrap()?;
    let data = frame.map(|frame| frame.into_data().unwrap());
    Some(data.map(|data| String::from_utf8(data.to_vec()).unwrap()).map_err(|_| ()))
}

fn parse(text: &str, streamed: bool) -> Value {
    let json = if streamed { text.strip_prefix("event: message\ndata: ").unwrap().trim_end() } else { text };
    serde_json::from_str(json).unwrap()
}

/// Waits for something that happens soon.
pub(crate) async fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < until, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process is there and not a zombie.
pub(crate) fn lives(pid: &Value) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_u64().unwrap()));
    stat.is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

/// Whether there is anything of a process, zombies included.
pub(crate) fn exists(pid: &Value) -> bool {
    std::fs::exists(format!("/proc/{}", pid.as_u64().unwrap())).unwrap()
}
