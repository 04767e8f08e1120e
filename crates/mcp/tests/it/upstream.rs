//! A scriptable MCP server: a real HTTP server on a port of its own that answers as the test says.

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Frame, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
    task::JoinSet,
};

/// One request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    /// The message; null without one.
    pub(crate) message: Value,
}

impl Seen {
    pub(crate) fn rpc(&self) -> &str {
        self.message["method"].as_str().unwrap_or("")
    }
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
    pub(crate) fn result(&self, result: Value) -> Value {
        json!({"jsonrpc": "2.0", "id": self.message["id"], "result": result})
    }
}

/// A progress notification.
pub(crate) fn progress(n: u64) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": "p", "progress": n}})
}

/// The answer that ends a call.
pub(crate) fn done(seen: &Seen) -> Value {
    seen.result(json!({"done": true}))
}

/// A piece of a scripted event stream.
#[derive(Clone)]
pub(crate) enum Step {
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
    pub(crate) fn message(message: &Value) -> Self {
        Self::Raw(format!("data: {message}\n\n"))
    }
    /// A message event with an id.
    pub(crate) fn named(id: &str, message: &Value) -> Self {
        Self::Raw(format!("id: {id}\ndata: {message}\n\n"))
    }
}

/// What the server does with a request.
pub(crate) enum Act {
    Json(StatusCode, Value),
    /// JSON with a session id.
    Opened(String, Value),
    Events(Vec<Step>),
    /// JSON in pieces.
    Pieces(Vec<Step>),
    Status(StatusCode),
    /// The connection breaks before a head.
    Drop,
    /// No answer ever.
    Silence,
    /// This, once the gate lets it out.
    Behind(Inside, Box<Act>),
}

/// Holds answers back and counts them.
pub(crate) struct Gate {
    open: Semaphore,
    inside: AtomicUsize,
    most: AtomicUsize,
}

/// One answer at the gate.
pub(crate) struct Inside(Arc<Gate>);

impl Gate {
    pub(crate) fn closed() -> Arc<Self> {
        Arc::new(Self {
            open: Semaphore::new(0),
            inside: AtomicUsize::default(),
            most: AtomicUsize::default(),
        })
    }
    /// Everybody may go, also those who come later.
    pub(crate) fn open(&self) {
        self.open.close();
    }
    pub(crate) fn enter(self: &Arc<Self>) -> Inside {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        Inside(Arc::clone(self))
    }
    pub(crate) fn inside(&self) -> usize {
        self.inside.load(Ordering::SeqCst)
    }
    /// The most that were inside at once.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

type Script = Arc<dyn Fn(&Seen) -> Act + Send + Sync>;

/// How answers ended.
#[derive(Default)]
pub(crate) struct Ended {
    /// Cut off by the other side before they were complete.
    pub(crate) cancelled: AtomicUsize,
    /// Sent to their end, as the script has it.
    pub(crate) finished: AtomicUsize,
}

/// A running server. Dropping it kills it: its port is closed and its connections break.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Mutex<Script>>,
    /// Event streams by how they ended.
    ended: Arc<Ended>,
    running: Option<tokio::task::JoinHandle<()>>,
}

impl Upstream {
    /// A server on a free port.
    pub(crate) async fn start(script: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, Arc::new(script))
    }

    fn on(listener: TcpListener, script: Script) -> Self {
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(script));
        let ended = Arc::new(Ended::default());
        let running =
            tokio::spawn(serve(listener, Arc::clone(&seen), Arc::clone(&script), Arc::clone(&ended)));
        Self { address, seen, script, ended, running: Some(running) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// From now on.
    pub(crate) fn script(&self, script: impl Fn(&Seen) -> Act + Send + Sync + 'static) {
        *self.script.lock() = Arc::new(script);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// Requests with this JSON-RPC method (or HTTP method, for those without a message).
    pub(crate) fn saw(&self, method: &str) -> usize {
        self.seen.lock().iter().filter(|seen| seen.rpc() == method || seen.method.as_str() == method).count()
    }

    /// Answers that the other side cut off.
    pub(crate) fn cancelled(&self) -> usize {
        self.ended.cancelled.load(Ordering::SeqCst)
    }

    /// Answers that were sent whole.
    pub(crate) fn finished(&self) -> usize {
        self.ended.finished.load(Ordering::SeqCst)
    }

    /// As SIGKILL does: the port closes, connections break.
    pub(crate) async fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
            let _ = running.await;
        }
    }

    /// The same address again, with nothing remembered.
    pub(crate) async fn restart(&mut self) {
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
    ended: Arc<Ended>,
) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        let (seen, script, ended) = (Arc::clone(&seen), Arc::clone(&script), Arc::clone(&ended));
        let service = service_fn(move |request| {
            let (seen, script, ended) = (Arc::clone(&seen), Arc::clone(&script), Arc::clone(&ended));
            async move { answer(request, &seen, &script, ended).await }
        });
        connections.spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Counts an answer when it is dropped.
struct Witness(Arc<Ended>, bool);
impl Drop for Witness {
    fn drop(&mut self) {
        let count = if self.1 { &self.0.finished } else { &self.0.cancelled };
        count.fetch_add(1, Ordering::SeqCst);
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: &Mutex<Vec<Seen>>,
    script: &Mutex<Script>,
    ended: Arc<Ended>,
) -> Result<Response<Body>, io::Error> {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let message = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let request = Seen { method: parts.method, headers: parts.headers, message };
    seen.lock().push(request.clone());
    let script = Arc::clone(&script.lock());
    let mut act = script(&request);
    if let Act::Behind(inside, held) = act {
        // An error says that the gate is open.
        let _ = inside.0.open.acquire().await;
        act = *held;
    }
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
            .body(events(steps, ended))
            .unwrap(),
        Act::Pieces(steps) => {
            Response::builder().header("content-type", "application/json").body(events(steps, ended)).unwrap()
        }
        Act::Status(status) => Response::builder().status(status).body(full(String::new())).unwrap(),
        Act::Drop => return Err(io::Error::other("scripted")),
        Act::Behind(..) => unreachable!("one gate at a time"),
        Act::Silence => {
            let _witness = Witness(ended, false);
            std::future::pending::<Infallible>().await;
            unreachable!()
        }
    })
}

fn full(text: String) -> Body {
    http_body_util::Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {}).boxed_unsync()
}

fn events(steps: Vec<Step>, ended: Arc<Ended>) -> Body {
    let state = (steps.into_iter(), Witness(ended, false));
    let frames = stream::unfold(state, |(mut steps, mut witness)| async move {
        loop {
            match steps.next() {
                None => {
                    let Witness(_, whole) = &mut witness;
                    *whole = true;
                    return None;
                }
                Some(Step::Raw(text)) => return Some((Ok(Frame::data(Bytes::from(text))), (steps, witness))),
                Some(Step::Wait(signal)) => signal.notified().await,
                Some(Step::Hang) => std::future::pending::<()>().await,
                Some(Step::Tear) => {
                    witness.1 = true;
                    return Some((Err(io::Error::other("scripted")), (steps, witness)));
                }
            }
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

/// A legacy server with sessions `<name>-1`, `<name>-2`, ...: answers `initialize`, refuses sessions it does not know with 404,
/// and leaves the rest to `act`.
pub(crate) fn legacy(
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
        let known =
            seen.header("mcp-session-id").is_some_and(|id| sessions.lock().iter().any(|known| known == id));
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
pub(crate) fn named(name: &'static str) -> impl Fn(&Seen) -> Act + Send + Sync + 'static {
    move |seen| match seen.message.get("result") {
        Some(_) => Act::Status(StatusCode::ACCEPTED),
        None => Act::Json(StatusCode::OK, seen.result(json!({"from": name}))),
    }
}
