//! A scriptable MCP server: a real HTTP server on a port of its own that answers as the test says.

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Frame, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{convert::Infallible, io, net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};

/// One request as the server saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub headers: HeaderMap,
    /// The message; null without one.
    pub message: Value,
}

impl Seen {
    pub fn rpc(&self) -> &str {
        self.message["method"].as_str().unwrap_or("")
    }
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
    pub fn result(&self, result: Value) -> Value {
        json!({"jsonrpc": "2.0", "id": self.message["id"], "result": result})
    }
}

/// A piece of a scripted event stream.
#[derive(Clone)]
pub enum Step {
    /// These bytes.
    Raw(String),
    /// Nothing more until the test says so.
    Wait(Arc<Notify>),
    /// The connection breaks.
    Tear,
    /// Nothing more ever; the connection stays.
    Hang,
}

impl Step {
    /// A message event.
    pub fn message(message: &Value) -> Self {
        Self::Raw(format!("data: {message}\n\n"))
    }
    /// A message event with an id.
    pub fn named(id: &str, message: &Value) -> Self {
        Self::Raw(format!("id: {id}\ndata: {message}\n\n"))
    }
}

/// What the server does with a request.
pub enum Act {
    Json(StatusCode, Value),
    /// JSON with a session id.
    Opened(String, Value),
    Events(Vec<Step>),
    Status(StatusCode),
    /// The connection breaks before a head.
    Drop,
    /// No answer ever.
    Silence,
}

type Script = Arc<dyn Fn(&Seen) -> Act + Send + Sync>;

/// A running server. Dropping it kills it: its port is closed and its connections break.
pub struct Upstream {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Mutex<Script>>,
    /// Requests that were cut off before their answer was complete.
    pub cancelled: Arc<Mutex<usize>>,
    running: Option<tokio::task::JoinHandle<()>>,
}

impl Upstream {
    /// A server on a free port.
    pub async fn start(script: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, Arc::new(script))
    }

    fn on(listener: TcpListener, script: Script) -> Self {
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(script));
        let cancelled = Arc::new(Mutex::new(0));
        let running = tokio::spawn(serve(listener, Arc::clone(&seen), Arc::clone(&script), Arc::clone(&cancelled)));
        Self { address, seen, script, cancelled, running: Some(running) }
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// From now on.
    pub fn script(&self, script: impl Fn(&Seen) -> Act + Send + Sync + 'static) {
        *self.script.lock() = Arc::new(script);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// Requests with this JSON-RPC method (or HTTP method, for those without a message).
    pub fn saw(&self, method: &str) -> usize {
        self.seen.lock().iter().filter(|seen| seen.rpc() == method || seen.method.as_str() == method).count()
    }

    /// As SIGKILL does: the port closes, connections break.
    pub async fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
            let _ = running.await;
        }
    }

    /// The same address again, with nothing remembered.
    pub async fn restart(&mut self) {
        self.kill().await;
        let listener = TcpListener::bind(self.address).await.unwrap();
        let script = Arc::clone(&self.script.lock());
        *self = Self::on(listener, script);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

async fn serve(
    listener: TcpListener,
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Mutex<Script>>,
    cancelled: Arc<Mutex<usize>>,
) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        let (seen, script, cancelled) = (Arc::clone(&seen), Arc::clone(&script), Arc::clone(&cancelled));
        let service = service_fn(move |request| {
            let (seen, script, cancelled) = (Arc::clone(&seen), Arc::clone(&script), Arc::clone(&cancelled));
            async move { answer(request, &seen, &script, cancelled).await }
        });
        connections.spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Counts when it is dropped before it was disarmed.
struct Witness(Arc<Mutex<usize>>, bool);
impl Drop for Witness {
    fn drop(&mut self) {
        if self.1 {
            *self.0.lock() += 1;
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: &Mutex<Vec<Seen>>,
    script: &Mutex<Script>,
    cancelled: Arc<Mutex<usize>>,
) -> Result<Response<Body>, io::Error> {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let message = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let request = Seen { method: parts.method, headers: parts.headers, message };
    seen.lock().push(request.clone());
    let script = Arc::clone(&script.lock());
    let act = script(&request);
    let json = |status: StatusCode, value: &Value| {
        Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .body(full(value.to_string()))
            .unwrap()
    };
    Ok(match act {
        Act::Json(status, value) => json(status, &value),
        Act::Opened(session, value) => {
            let mut response = json(StatusCode::OK, &value);
            response.headers_mut().insert("mcp-session-id", session.parse().unwrap());
            response
        }
        Act::Events(steps) => Response::builder()
            .header("content-type", "text/event-stream")
            .body(events(steps, cancelled))
            .unwrap(),
        Act::Status(status) => Response::builder().status(status).body(full(String::new())).unwrap(),
        Act::Drop => return Err(io::Error::other("scripted")),
        Act::Silence => {
            let _witness = Witness(cancelled, true);
            std::future::pending::<Infallible>().await;
            unreachable!()
        }
    })
}

fn full(text: String) -> Body {
    http_body_util::Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {}).boxed_unsync()
}

fn events(steps: Vec<Step>, cancelled: Arc<Mutex<usize>>) -> Body {
    let state = (steps.into_iter(), Witness(cancelled, true));
    let frames = stream::unfold(state, |(mut steps, mut witness)| async move {
        loop {
            match steps.next() {
                None => {
                    witness.1 = false;
                    return None;
                }
                Some(Step::Raw(text)) => return Some((Ok(Frame::data(Bytes::from(text))), (steps, witness))),
                Some(Step::Wait(signal)) => signal.notified().await,
                Some(Step::Hang) => std::future::pending::<()>().await,
                Some(Step::Tear) => {
                    witness.1 = false;
                    return Some((Err(io::Error::other("scripted")), (steps, witness)));
                }
            }
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

/// A legacy server with sessions `<name>-1`, `<name>-2`, ...: answers `initialize`, refuses sessions it does not know with 404,
/// and leaves the rest to `act`.
pub fn legacy(
    name: &'static str,
    act: impl Fn(&Seen) -> Act + Send + Sync + 'static,
) -> impl Fn(&Seen) -> Act + Send + Sync + 'static {
    let sessions: Mutex<Vec<String>> = Mutex::new(Vec::new());
    move |seen| {
        if seen.rpc() == "initialize" {
            let mut sessions = sessions.lock();
            let session = format!("{name}-{}", sessions.len() + 1);
            sessions.push(session.clone());
            let version = &seen.message["params"]["protocolVersion"];
            let result = json!({"protocolVersion": version, "capabilities": {}, "serverInfo": {"name": name, "version": "1"}});
            return Act::Opened(session, seen.result(result));
        }
        let known = seen.header("mcp-session-id").is_some_and(|id| sessions.lock().iter().any(|known| known == id));
        if !known {
            return Act::Status(StatusCode::NOT_FOUND);
        }
        if seen.method == Method::DELETE {
            let id = seen.header("mcp-session-id").unwrap_or_default();
            sessions.lock().retain(|known| known != id);
            return Act::Status(StatusCode::OK);
        }
        if seen.message.get("id").is_none() && seen.method == Method::POST {
            return Act::Status(StatusCode::ACCEPTED);
        }
        act(seen)
    }
}

/// Answers every request with its server's name.
pub fn named(name: &'static str) -> impl Fn(&Seen) -> Act + Send + Sync + 'static {
    move |seen| match seen.message.get("result") {
        Some(_) => Act::Status(StatusCode::ACCEPTED),
        None => Act::Json(StatusCode::OK, seen.result(json!({"from": name}))),
    }
}
