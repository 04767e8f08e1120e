//! A service that plays a script, and a conversation with it.

use super::{Comeback, Conversation, MessageLimits, Opening, Origin};
use crate::{Service, queue};
use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture, stream};
use holdfast_config::{ByteSize, Conversations};
use holdfast_edge::{Body, ConnectionInfo, ContextDefaults, DrainHandle, HttpVersion, RequestContext};
use holdfast_frames::{frame::Limits, sse};
use holdfast_resilience::Deadline;
use holdfast_telemetry::{
    Registry,
    metrics::{Carrier, ConversationEnd, FrontMetrics},
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, task::JoinHandle};

pub(crate) type Play = dyn Fn(&Seen) -> BoxFuture<'static, Response<Body>> + Send + Sync;

/// A request as the service got it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) session: Option<String>,
    pub(crate) last_event: Option<String>,
    pub(crate) body: String,
}

pub(crate) struct Script {
    pub(crate) play: Box<Play>,
    pub(crate) seen: Mutex<Vec<Seen>>,
    pub(crate) welcome: AtomicBool,
    /// Answers under way.
    pub(crate) open: Arc<AtomicUsize>,
}

pub(crate) struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Service for Script {
    fn answer<'s>(
        &'s self,
        _: &'s mut RequestContext,
        request: Request<Full<Bytes>>,
        _: &'s ConnectionInfo,
    ) -> BoxFuture<'s, Response<Body>> {
        async move {
            self.open.fetch_add(1, Relaxed);
            let _open = Open(Arc::clone(&self.open));
            let text = |name: &str| request.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
            let (session, last_event) = (text("mcp-session-id"), text("last-event-id"));
            let method = request.method().clone();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let seen = Seen { method, session, last_event, body: String::from_utf8(body.to_vec()).unwrap() };
            self.seen.lock().push(seen.clone());
            (self.play)(&seen).await
        }
        .boxed()
    }

    fn is_welcome(&self) -> bool {
        self.welcome.load(Relaxed)
    }
}

/// A conversation under test.
pub(crate) struct Scene {
    pub(crate) script: Arc<Script>,
    pub(crate) metrics: Arc<FrontMetrics>,
    pub(crate) say: queue::Sender,
    pub(crate) told: queue::Receiver,
    pub(crate) run: JoinHandle<ConversationEnd>,
    pub(crate) leave: tokio::sync::oneshot::Sender<()>,
}

/// What a conversation with a script begins with.
pub(crate) fn opening(
    play: impl Fn(&Seen) -> BoxFuture<'static, Response<Body>> + Send + Sync + 'static,
) -> (Opening, Arc<Script>) {
    let script = Arc::new(Script {
        play: Box::new(play),
        seen: Mutex::default(),
        welcome: AtomicBool::new(true),
        open: Arc::default(),
    });
    let connection = Arc::new(ConnectionInfo {
        peer: "127.0.0.1:1".parse().unwrap(),
        client: "127.0.0.1".parse().unwrap(),
        local: "127.0.0.1:2".parse().unwrap(),
        listener: "server".into(),
        tls: None,
        http: HttpVersion::Http1,
        trusted: [].into(),
        drain: DrainHandle::new(),
    });
    let request = Request::get("/sse").body(()).unwrap();
    let context = RequestContext::begin(
        &request,
        &connection,
        Deadline::at(Instant::now()),
        &mut fastrand::Rng::with_seed(1),
        &ContextDefaults::default(),
    );
    let registry = Registry::new(&BTreeMap::new()).unwrap();
    let metrics = Arc::new(FrontMetrics::new(&registry));
    let opening = Opening {
        service: Arc::clone(&script) as Arc<dyn Service>,
        origin: Origin::new(&context),
        connection,
        host: HeaderValue::from_static("localhost"),
        carrier: Carrier::Sse,
        comeback: Comeback::default(),
        defaults: ContextDefaults::default(),
        path: "/mcp".into(),
        limits: Conversations {
            max: 10,
            max_in_flight: 4,
            max_in_flight_bytes: ByteSize(100_000),
            max_queued_bytes: ByteSize(2000),
            write_timeout: Duration::from_mins(1),
        },
        messages: MessageLimits { client: Limits::default(), batch: 10, server_bytes: 1 << 20 },
        metrics,
    };
    (opening, script)
}

pub(crate) fn begin(
    play: impl Fn(&Seen) -> BoxFuture<'static, Response<Body>> + Send + Sync + 'static,
) -> Scene {
    let (opening, script) = opening(play);
    let metrics = Arc::clone(&opening.metrics);
    let (mut conversation, say, told) = Conversation::new(opening);
    let (leave, left) = tokio::sync::oneshot::channel();
    let run = tokio::spawn(async move { conversation.run(left.map(drop), Duration::from_secs(30)).await });
    Scene { script, metrics, say, told, run, leave }
}

impl Scene {
    pub(crate) async fn say(&self, text: &str) {
        self.say.push(Bytes::copy_from_slice(text.as_bytes())).await.unwrap();
    }

    pub(crate) async fn told(&mut self) -> serde_json::Value {
        let message =
            tokio::time::timeout(Duration::from_secs(100), self.told.next()).await.unwrap().unwrap();
        serde_json::from_slice(&message).unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.script.seen.lock().clone()
    }

    /// Waits until the service has seen so many requests.
    pub(crate) async fn until_seen(&self, count: usize) {
        while self.script.seen.lock().len() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) async fn open_session(&mut self) {
        self.say(r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#).await;
        assert_eq!(self.told().await["id"], 0);
    }
}

pub(crate) fn id_of(body: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(body).unwrap();
    value["id"].to_string()
}

pub(crate) fn json(body: String) -> Response<Body> {
    Response::builder().header("content-type", "application/json").body(Body::full(body)).unwrap()
}

pub(crate) fn result(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"protocolVersion":"2025-11-25"}}}}"#)
}

pub(crate) fn accepted() -> Response<Body> {
    Response::builder().status(StatusCode::ACCEPTED).body(Body::Empty).unwrap()
}

pub(crate) fn with_session(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert("mcp-session-id", HeaderValue::from_static("s1"));
    response
}

/// An event stream that goes on as long as its sender lives.
pub(crate) fn events() -> (mpsc::UnboundedSender<Bytes>, Response<Body>) {
    let (send, events) = mpsc::unbounded_channel::<Bytes>();
    let events = stream::unfold(events, |mut events| async move {
        let event = events.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(event)), events))
    });
    let response = Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::boxed(StreamBody::new(events)))
        .unwrap();
    (send, response)
}

pub(crate) fn event(id: &str, data: &str) -> Bytes {
    let mut out = bytes::BytesMut::new();
    sse::message(&mut out, Some(id), data.as_bytes());
    out.freeze()
}

pub(crate) fn now(response: Response<Body>) -> BoxFuture<'static, Response<Body>> {
    std::future::ready(response).boxed()
}

/// A legacy server without a stream of its own; requests are answered by `call`.
pub(crate) fn legacy(
    seen: &Seen,
    call: impl FnOnce() -> BoxFuture<'static, Response<Body>>,
) -> BoxFuture<'static, Response<Body>> {
    if seen.method == Method::GET {
        return now(Response::builder().status(405).body(Body::Empty).unwrap());
    }
    if seen.body.contains("\"initialize\"") {
        return now(with_session(json(result(&id_of(&seen.body)))));
    }
    if seen.body.contains("notifications/") || seen.method == Method::DELETE {
        now(accepted())
    } else {
        call()
    }
}

pub(crate) const MODERN: &str = r#"{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"t","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
