//! What a driver knows of the request it works for. Owned, because legacy work outlives its client.

use crate::{
    errors::{McpError, Problem},
    exchange::{Head, Outgoing},
    failure::Failure,
    frame::{Frame, Member},
    operation::About,
    policy::{Allowance, Named, View},
    server::Server,
    shared::Shared,
    state::{Room, Use},
};
use bytes::Bytes;
use holdfast_edge::{BAGGAGE, DrainHandle, REQUEST_ID, RequestId, TRACESTATE, TraceContext};
use holdfast_resilience::{Safety, Sent};
use holdfast_telemetry::{
    metrics::{Limit, McpOutcome, OperationVersion, SealFailure, StreamKind},
    trace::Trace,
};
use holdfast_upstream::EndpointKey;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use parking_lot::Mutex;
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

/// `MCP-Protocol-Version`.
pub(crate) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// `Accept` of every POST (Streamable HTTP, "Sending Messages to the Server", 2).
const ACCEPT_POST: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
/// `Content-Type` of every POST.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Room for the headers of a usual message and what an attempt adds: a map that grows hashes them all again.
const HEADERS_USUAL: usize = 12;

/// One request's surroundings.
pub(crate) struct Caller {
    pub(crate) shared: Arc<Shared>,
    pub(crate) server: Arc<Server>,
    /// Who calls, as sealed values are bound to it.
    pub(crate) principal: [u8; 32],
    /// What the server's rules leave to it; `None` = everything.
    pub(crate) view: Option<Arc<View>>,
    /// The client's request headers.
    pub(crate) headers: HeaderMap,
    /// They were made from the body of its message.
    pub(crate) mirrored: bool,
    pub(crate) id: RequestId,
    pub(crate) trace: TraceContext,
    /// The spans of the request, where they are recorded.
    pub(crate) spans: Option<Arc<Trace>>,
    /// When the request came.
    pub(crate) started: Instant,
    /// What its header says.
    pub(crate) version: OperationVersion,
    /// The client is at the other end of a pipe.
    pub(crate) piped: bool,
    /// Until the answer of a request.
    pub(crate) until: Instant,
    pub(crate) drain: DrainHandle,
    pub(crate) notes: Mutex<Notes>,
    /// The session is in use for as long as this request, or the stream that it opened, is at work.
    pub(crate) using: OnceLock<Use>,
}

/// What the access record should say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    pub(crate) endpoint: Option<EndpointKey>,
    pub(crate) attempts: u32,
    pub(crate) reason: &'static str,
    pub(crate) failure: Option<McpOutcome>,
    pub(crate) streaming: bool,
}

impl Caller {
    /// The same caller, as if its client had sent `headers`.
    pub(crate) fn with_headers(&self, headers: HeaderMap) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            server: Arc::clone(&self.server),
            principal: self.principal,
            view: self.view.clone(),
            headers,
            mirrored: self.mirrored,
            id: self.id,
            trace: self.trace,
            spans: self.spans.clone(),
            piped: self.piped,
            started: self.started,
            version: self.version,
            until: self.until,
            drain: self.drain.clone(),
            notes: Mutex::default(),
            using: OnceLock::new(),
        }
    }

    /// The same caller, where what a server says is kept and not shown.
    pub(crate) fn unlimited_view(self) -> Self {
        Self { view: None, ..self }
    }

    /// A POST of `body` with the headers that every message has. It goes anywhere until it is pinned.
    pub(crate) fn message(&self, about: Option<About>, body: Bytes, safety: Safety) -> Outgoing {
        let mut headers = self.base();
        headers.insert(header::ACCEPT, ACCEPT_POST);
        headers.insert(header::CONTENT_TYPE, JSON);
        Outgoing { about, ..self.outgoing(Method::POST, headers, body, safety) }
    }

    /// A request without a body.
    pub(crate) fn bare(&self, method: Method, safety: Safety) -> Outgoing {
        self.outgoing(method, self.base(), Bytes::new(), safety)
    }

    /// Headers that go upstream with every message: an allow-list, because everything else might have authenticated the client.
    fn base(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(HEADERS_USUAL);
        let mut has_state = false;
        for name in [header::USER_AGENT, header::ACCEPT_LANGUAGE, BAGGAGE, TRACESTATE] {
            if let Some(value) = self.headers.get(&name) {
                has_state |= name == TRACESTATE;
                headers.insert(name, value.clone());
            }
        }
        headers.insert(REQUEST_ID, self.id.header_value());
        self.trace.apply_value(&mut headers, self.trace.header_value(), has_state);
        if let Some((name, value)) = &self.server.credential {
            headers.insert(name.clone(), value.clone());
        }
        headers
    }

    fn outgoing(&self, method: Method, headers: HeaderMap, body: Bytes, safety: Safety) -> Outgoing {
        Outgoing {
            method,
            headers,
            body,
            principal: Some(self.principal),
            pin: None,
            avoid: Vec::new(),
            safety,
            until: self.until,
            answer_max: self.shared.response_max,
            view: self.view.clone(),
            about: None,
            version: self.version,
            trace: self.parent(),
            continued: self.trace.is_continued(),
            room: Room {
                answers: Arc::clone(&self.shared.state.answers),
                limit: self.shared.responses_max,
                metrics: Arc::clone(&self.server.metrics),
            },
        }
    }

    /// Lets a client's message pass, and says what it may take: whether the server's rules permit what it names, and whether its limits
    /// have room for it. The first refusal says nothing of what is there.
    pub(crate) fn admit(&self, frame: &Frame) -> Result<Allowance, McpError> {
        let admitted = match &self.view {
            Some(view) => Named::read(frame).judge(view).map_err(|denied| {
                self.server.metrics.denied.inc(denied);
                McpError::new(Problem::NotPermitted)
            }),
            None => Ok(()),
        };
        let admitted = admitted.and_then(|()| {
            self.server.limits.admit(frame, self.until, self.shared.response_max).map_err(|limit| {
                self.server.metrics.limited.inc(limit);
                limited(limit)
            })
        });
        admitted.inspect_err(|error| self.note_outcome(McpOutcome::Refused, reason(error)))
    }

    /// What a request of the gateway's own may take.
    pub(crate) fn unlimited(&self) -> Allowance {
        Allowance::plain(self.until, self.shared.response_max)
    }

    /// What `frame` is about, for a message that is sent for it.
    pub(crate) fn about(&self, frame: &Frame) -> Option<About> {
        About::new(frame, self.spans.is_some())
    }

    /// Remembers who answered.
    pub(crate) fn note_head(&self, head: &Head) {
        let mut notes = self.notes.lock();
        notes.endpoint = Some(head.endpoint.clone());
        notes.attempts += head.attempts;
    }

    /// Remembers a failed attempt.
    pub(crate) fn note_failure(&self, failure: &Failure) {
        let mut notes = self.notes.lock();
        notes.attempts += 1;
        if let Some(endpoint) = failure.endpoint() {
            notes.endpoint = Some(endpoint.clone());
        }
    }

    /// Remembers how the request ended before a stream began. The first word stands: it is nearest to the cause.
    pub(crate) fn note_outcome(&self, outcome: McpOutcome, reason: &'static str) {
        let mut notes = self.notes.lock();
        if notes.failure.is_none() {
            notes.failure = Some(outcome);
            notes.reason = reason;
        }
    }

    /// A header of the client, if it is text.
    pub(crate) fn text(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What may be repeated of a request (ha-semantics of the methods: lists, reads, gets, discover and ping change nothing).
    /// A tool call is unsafe unless the operator believes the server's hints.
    pub(crate) fn safety(&self, frame: &Frame) -> Safety {
        match &*frame.method_bytes() {
            b"server/discover"
            | b"ping"
            | b"tools/list"
            | b"resources/list"
            | b"resources/templates/list"
            | b"resources/read"
            | b"prompts/list"
            | b"prompts/get"
            | b"completion/complete"
            | b"tasks/get"
            | b"tasks/list"
            | b"tasks/result" => {
                // A retry that carries answers or state belongs to one server, which may count it (MRTR).
                let carries = frame.has(Member::InputResponses) || frame.has(Member::RequestState);
                if carries { Safety::Unsafe } else { Safety::Safe }
            }
            b"tools/call" if self.server.trust_hints => {
                let name = frame.text(Member::Name).unwrap_or_default();
                let carries = frame.has(Member::InputResponses) || frame.has(Member::RequestState);
                if !carries && self.shared.state.hints.repeatable(&self.server.name, &name) {
                    Safety::Idempotent
                } else {
                    Safety::Unsafe
                }
            }
            _ => Safety::Unsafe,
        }
    }
}

/// Whether a failed request can be sent once more.
pub(crate) fn may_repeat(failure: &Failure, safety: Safety) -> bool {
    failure.sent() == Sent::Nothing || safety != Safety::Unsafe
}

/// The typed answer to a request that met a limit of its server or tool.
fn limited(limit: Limit) -> McpError {
    match limit {
        Limit::RequestBytes => McpError::new(Problem::PayloadTooLarge)
            .detail("more than max_request_bytes of the server or the tool"),
        Limit::Concurrency | Limit::ResponseBytes => McpError::new(Problem::Overloaded)
            .detail("max_concurrency calls of this tool are under way")
            .retry_after(Duration::from_secs(1)),
    }
}

/// The word an error is known by in records and metrics.
pub(crate) fn reason(error: &McpError) -> &'static str {
    error.problem().row().reason
}

/// The metric's word for why a sealed value did not open.
pub(crate) fn seal_failure(reason: &str) -> SealFailure {
    match reason {
        "unknown_key" => SealFailure::UnknownKey,
        "tag" => SealFailure::BadTag,
        "expired" => SealFailure::Expired,
        _ => SealFailure::Malformed,
    }
}

/// Counts an open stream for as long as it lives.
pub(crate) struct OpenStream {
    caller: Arc<Caller>,
    kind: StreamKind,
}

impl OpenStream {
    /// One more.
    pub(crate) fn new(caller: &Arc<Caller>, kind: StreamKind) -> Self {
        caller.server.metrics.streams.get(kind).inc();
        Self { caller: Arc::clone(caller), kind }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let metrics = &self.caller.server.metrics;
        metrics.streams.get(self.kind).dec();
        metrics
            .stream_log_bytes
            .set(i64::try_from(self.caller.shared.state.streams.bytes()).unwrap_or(i64::MAX));
    }
}
