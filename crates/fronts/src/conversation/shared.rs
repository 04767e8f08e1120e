//! What the calls of one conversation share.

use super::{
    comeback::Comeback,
    listening::listen,
    talk::{Passed, Talk, TalkLimits, with_id},
};
use crate::{Service, queue::Sender};
use bytes::Bytes;
use holdfast_config as config;
use holdfast_edge::{Body, ConnectionInfo, ContextDefaults, RequestContext, RequestId, TraceContext};
use holdfast_frames::frame::{Frame, Kind, Limits, MAX_DEPTH, Member};
use holdfast_identity::Principal;
use holdfast_mcp::headers::Mirrored;
use holdfast_resilience::Deadline;
use holdfast_telemetry::{
    AccessRecord, RecordOutcome,
    metrics::{Carrier, FrontMetrics, MessageRefusal},
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body_util::Full;
use parking_lot::Mutex;
use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};
use tokio::task::AbortHandle;

/// Widest deadline of a message; its server narrows it.
const DEADLINE_MAX: Duration = Duration::from_hours(1);
const ACCEPT: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What a conversation begins with.
pub struct Opening {
    /// Where messages go.
    pub service: Arc<dyn Service>,
    /// Who began it.
    pub origin: Origin,
    /// The connection it came over.
    pub connection: Arc<ConnectionInfo>,
    /// `Host` of every message: the one that was checked when the conversation began.
    pub host: HeaderValue,
    /// What carries it.
    pub carrier: Carrier,
    /// Whether its session goes on beyond it, or comes from before it.
    pub comeback: Comeback,
    /// Whether, and how, spans of its messages are recorded.
    pub defaults: ContextDefaults,
    /// What its messages have in common.
    pub path: Arc<str>,
    /// Limits.
    pub limits: config::Conversations,
    /// Limits of messages.
    pub messages: MessageLimits,
    /// Where it is counted.
    pub metrics: Arc<FrontMetrics>,
}

/// What the context of the request, or of the process, that began a conversation says of all its messages.
#[derive(Clone, Debug)]
pub struct Origin {
    trace: TraceContext,
    client: IpAddr,
    proto: &'static str,
    principal: Arc<Principal>,
    route: Arc<str>,
}

impl Origin {
    /// Of a context.
    pub fn new(context: &RequestContext) -> Self {
        Self {
            trace: context.trace,
            client: context.client,
            proto: context.proto,
            principal: Arc::clone(&context.principal),
            route: Arc::clone(&context.route),
        }
    }

    /// Whose every message is.
    pub(crate) fn principal(&self) -> &Principal {
        &self.principal
    }
}

/// How large and deep messages may be.
#[derive(Clone, Copy, Debug)]
pub struct MessageLimits {
    /// Of the client.
    pub client: Limits,
    /// `mcp.max_batch`.
    pub batch: usize,
    /// Bytes of one of the server.
    pub server_bytes: usize,
}

impl MessageLimits {
    /// As configured.
    pub fn new(mcp: &config::Mcp) -> Self {
        Self {
            client: Limits { bytes_max: mcp.max_message_bytes.as_usize(), depth_max: mcp.max_depth },
            batch: mcp.max_batch,
            server_bytes: mcp.max_response_bytes.as_usize(),
        }
    }
}

/// A message on its way. Its spans end with its answer, or with the wait for it.
struct Asked(RequestContext);

impl Asked {
    fn answered(mut self, response: Response<Body>) -> Response<Body> {
        if self.0.record.trace.is_none() {
            return response;
        }
        let started = self.0.started;
        let mut record = std::mem::take(&mut self.0.record);
        record.status = response.status().as_u16();
        response.map(|body| body.recorded(record, None, started))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let record = &mut self.0.record;
        if record.trace.is_some() {
            record.duration = self.0.started.elapsed();
            record.outcome = RecordOutcome::ClientAbort;
            record.emit();
        }
    }
}

pub(super) struct Shared {
    pub(super) opening: Opening,
    pub(super) talk: Mutex<Talk>,
    pub(super) tell: Sender,
    listening: Mutex<Option<AbortHandle>>,
    /// The client's end was told, so nothing more is listened for.
    over: AtomicBool,
    /// The client has said that it will not come back.
    pub(super) parted: AtomicBool,
}

impl Shared {
    pub(super) fn new(opening: Opening, tell: Sender) -> Self {
        let limits = TalkLimits {
            requests: opening.limits.max_in_flight,
            bytes: opening.limits.max_in_flight_bytes.as_usize(),
            message: opening.messages.client,
            batch: opening.messages.batch,
        };
        let talk = Mutex::new(Talk::new(limits, opening.comeback.session()));
        let (over, parted) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { opening, talk, tell, listening: Mutex::default(), over, parted }
    }

    /// The headers that mirror a modern message.
    pub(super) fn mirrored(&self, frame: &Frame) -> HeaderMap {
        self.talk.lock().mirrored(frame)
    }

    /// One request to the service, as a Streamable HTTP client would send it. In a box: whoever asks may keep its answer for hours.
    pub(super) fn ask(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
    ) -> Pin<Box<impl Future<Output = Response<Body>> + Send>> {
        Box::pin(self.asked(method, headers, body))
    }

    async fn asked(&self, method: Method, mut headers: HeaderMap, body: Bytes) -> Response<Body> {
        headers.insert(header::HOST, self.opening.host.clone());
        if method == Method::POST {
            headers.insert(header::ACCEPT, ACCEPT);
            headers.insert(header::CONTENT_TYPE, JSON);
        } else {
            headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        request.extensions_mut().insert(Mirrored);
        let mut asked = Asked(self.context());
        if *request.method() == Method::POST {
            asked.0.record_spans(&self.opening.defaults, &self.opening.path);
        }
        let answer = self.opening.service.answer(&mut asked.0, request, &self.opening.connection);
        let response = answer.await;
        asked.answered(response)
    }

    /// The context of one message: its client's own, with an id and a place in the trace of its own.
    fn context(&self) -> RequestContext {
        let Origin { trace, client, proto, principal, route } = &self.opening.origin;
        let mut rng = fastrand::Rng::new();
        let started = Instant::now();
        let record = AccessRecord {
            client: Some(*client),
            started: SystemTime::now(),
            carrier: Some(self.opening.carrier),
            ..AccessRecord::default()
        };
        RequestContext {
            id: RequestId::generate(&mut rng),
            id_header: None,
            // Where its client has put the conversation into a trace, its messages are part of that; else each is one of its own.
            trace: if trace.is_continued() {
                trace.child(&mut rng)
            } else {
                TraceContext::generate(&mut rng)
            },
            client: *client,
            proto,
            principal: Arc::clone(principal),
            deadline: Deadline::after(started, DEADLINE_MAX),
            route: Arc::clone(route),
            started,
            record: Box::new(record),
        }
    }

    /// A message of the service, if it is the client's.
    pub(super) fn passing(&self, message: Bytes) -> Option<Bytes> {
        let limits = Limits { bytes_max: self.opening.messages.server_bytes, depth_max: MAX_DEPTH };
        // The service's own messages are well formed.
        let frame = Frame::parse(message, &limits).ok()?;
        let passed = self.talk.lock().pass(&frame);
        let named = match passed {
            Passed::Not => return None,
            Passed::Begins(session) if self.opening.comeback.is_wanted() => with_session(&frame, &session),
            Passed::AsIs | Passed::Begins(_) => None,
        };
        Some(named.unwrap_or_else(|| frame.into_bytes()))
    }

    /// An error that is a whole answer may name no request: it is for the one that was posted.
    pub(super) fn named(&self, message: Bytes, id: Option<Bytes>) -> Bytes {
        let limits = Limits { bytes_max: self.opening.messages.server_bytes, depth_max: MAX_DEPTH };
        match (Frame::parse(message.clone(), &limits), id) {
            (Ok(frame), Some(id)) if frame.kind() == Kind::ErrorResponse && frame.id().is_none() => {
                with_id(&message, &id)
            }
            _ => message,
        }
    }

    pub(super) fn count(&self, refused: MessageRefusal) {
        self.opening.metrics.refused.get(self.opening.carrier).inc(refused);
    }

    /// Holds the session's stream open from now on.
    pub(super) fn start_listening(self: &Arc<Self>) {
        let task = tokio::spawn(listen(Arc::clone(self)));
        self.listen(task.abort_handle());
    }

    /// Listens by this task from now on, and by no other.
    fn listen(&self, task: AbortHandle) {
        if self.over.load(Relaxed) {
            task.abort();
        } else if let Some(before) = self.listening.lock().replace(task) {
            before.abort();
        }
    }

    pub(super) fn stop_listening(&self) {
        self.over.store(true, Relaxed);
        if let Some(task) = self.listening.lock().take() {
            task.abort();
        }
    }
}

/// The answer to `initialize` with the name of its session (decision 0021).
fn with_session(answer: &Frame, session: &HeaderValue) -> Option<Bytes> {
    answer.splice().set_text(Member::MetaSession, session.to_str().ok()?).finish().ok()
}
