//! The spans of one request, until its end decides whether they are kept.

use super::{Fault, OpenSpan, Tracer, Work, context::TraceContext, span::Span};
use crate::{
    access::{AccessRecord, Inline, McpCall, RecordOutcome},
    metrics::{Carrier, McpOutcome, Verdict},
};
use http::Method;
use parking_lot::Mutex;
use std::{
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// Longest text of a client in a span; more is cut.
const TEXT_MAX: usize = 1024;

/// What is known of a request when its trace begins.
#[derive(Clone, Copy, Debug)]
pub struct Beginning<'a> {
    /// When its head was read.
    pub started: (SystemTime, Instant),
    /// Which requests it is like: the route as a path.
    pub route: &'a Arc<str>,
    /// `http` or `https`, as the client used it.
    pub scheme: &'static str,
}

/// See the module.
pub struct Trace {
    tracer: Arc<Tracer>,
    started: (SystemTime, Instant),
    route: Arc<str>,
    scheme: &'static str,
    state: Mutex<State>,
}

struct State {
    context: TraceContext,
    /// The context of the transport, where the message has one of its own.
    transport: Option<TraceContext>,
    spans: Vec<Span>,
    /// Spans above the limit.
    lost: u64,
    request_id: Inline<64>,
    version: &'static str,
    verdict: Option<Verdict>,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Kept,
    Forgotten,
}

/// What is kept of a request.
pub(crate) struct Kept {
    pub(crate) server: Option<Box<ServerSpan>>,
    pub(crate) spans: Vec<Span>,
}

impl Kept {
    /// How many spans it is.
    pub(crate) fn len(&self) -> usize {
        self.spans.len() + usize::from(self.server.is_some())
    }
}

/// The request itself. Copies of all texts: nothing in it holds the buffer that a request was read into.
#[derive(Clone, Debug)]
pub(crate) struct ServerSpan {
    pub(crate) context: TraceContext,
    pub(crate) transport: Option<TraceContext>,
    pub(crate) route: Arc<str>,
    pub(crate) scheme: &'static str,
    pub(crate) started: SystemTime,
    pub(crate) duration: Duration,
    pub(crate) method: Method,
    pub(crate) path: Box<str>,
    pub(crate) status: u16,
    pub(crate) client: Option<IpAddr>,
    pub(crate) user_agent: Box<str>,
    pub(crate) upstream: Option<Arc<str>>,
    pub(crate) outcome: RecordOutcome,
    pub(crate) reason: &'static str,
    pub(crate) carrier: Option<Carrier>,
    pub(crate) mcp: Option<McpCall>,
    pub(crate) request_id: Inline<64>,
    pub(crate) version: &'static str,
    pub(crate) verdict: Option<Verdict>,
}

impl Trace {
    pub(super) fn new(tracer: &Arc<Tracer>, context: TraceContext, beginning: Beginning<'_>) -> Self {
        Self {
            tracer: Arc::clone(tracer),
            started: beginning.started,
            route: Arc::clone(beginning.route),
            scheme: beginning.scheme,
            state: Mutex::new(State {
                context,
                transport: None,
                spans: Vec::new(),
                lost: 0,
                request_id: Inline::default(),
                version: "",
                verdict: None,
                fate: Fate::Open,
            }),
        }
    }

    /// The message carries a context of its own, which is the parent then; that of its transport is linked.
    pub fn adopt(&self, context: TraceContext) {
        let mut state = self.state.lock();
        let transport = std::mem::replace(&mut state.context, context);
        state.transport = transport.is_continued().then_some(transport);
    }

    /// The id of the JSON-RPC request, and the protocol version it is of.
    pub fn message(&self, id: &str, version: &'static str) {
        let mut state = self.state.lock();
        state.request_id = Inline::new(id);
        state.version = version;
    }

    /// How a message of the request was answered. Of several the first that failed stands.
    pub fn answered(&self, verdict: Verdict) {
        let mut state = self.state.lock();
        if state.verdict.is_none_or(|said| !said.outcome.is_failure()) {
            state.verdict = Some(verdict);
        }
    }

    /// Begins a span below `parent`.
    pub fn begin(self: &Arc<Self>, parent: &TraceContext, work: Work) -> OpenSpan {
        let context = Tracer::child(parent);
        let (wall, start) = self.started;
        let started = wall + start.elapsed();
        let span = Span { context, started, duration: Duration::ZERO, work, fault: None };
        OpenSpan { trace: Arc::clone(self), span: Some(Box::new(span)), context }
    }

    /// A span has ended, perhaps long after its request.
    pub(super) fn ended(&self, mut span: Span) {
        let (wall, start) = self.started;
        span.duration = (wall + start.elapsed()).duration_since(span.started).unwrap_or_default();
        let mut state = self.state.lock();
        match state.fate {
            Fate::Open if state.spans.len() < self.tracer.spans_max() => state.spans.push(span),
            Fate::Open => state.lost += 1,
            Fate::Kept => {
                drop(state);
                self.tracer.put(Kept { server: None, spans: vec![span] });
            }
            Fate::Forgotten => {}
        }
    }

    /// The request has ended: its spans are kept or forgotten.
    pub(crate) fn finish(&self, record: &AccessRecord) {
        let mut state = self.state.lock();
        if state.fate != Fate::Open {
            return;
        }
        let failed = has_failed(record, state.verdict);
        let keep = state.context.is_sampled() || failed;
        state.fate = if keep { Fate::Kept } else { Fate::Forgotten };
        let spans = std::mem::take(&mut state.spans);
        if !keep {
            return;
        }
        let server = Box::new(self.server_span(&state, record));
        let lost = state.lost;
        drop(state);
        self.tracer.lost(lost);
        self.tracer.put(Kept { server: Some(server), spans });
    }

    fn server_span(&self, state: &State, record: &AccessRecord) -> ServerSpan {
        let path = record.target.as_ref().map_or("", http::uri::PathAndQuery::path);
        let agent = record.user_agent.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
        ServerSpan {
            context: state.context,
            transport: state.transport,
            route: Arc::clone(&self.route),
            scheme: self.scheme,
            started: self.started.0,
            duration: record.duration,
            method: record.method.clone(),
            path: crate::escape::truncated(path, TEXT_MAX).0.into(),
            status: record.status,
            client: record.client,
            user_agent: crate::escape::truncated(agent, TEXT_MAX).0.into(),
            upstream: record.upstream.clone(),
            outcome: record.outcome,
            reason: record.reason,
            carrier: record.carrier,
            mcp: record.mcp.clone(),
            request_id: state.request_id,
            version: state.version,
            verdict: state.verdict,
        }
    }
}

/// Whether it was the service that failed. What a caller brought upon itself is kept by chance alone: else anybody could fill the
/// queue with bad requests.
fn has_failed(record: &AccessRecord, verdict: Option<Verdict>) -> bool {
    let outcome = match record.outcome {
        RecordOutcome::UpstreamError
        | RecordOutcome::Timeout
        | RecordOutcome::Truncated
        | RecordOutcome::EndedDrain => true,
        RecordOutcome::Ok | RecordOutcome::ClientAbort | RecordOutcome::Rejected => false,
    };
    outcome || record.status >= 500 || verdict.is_some_and(|verdict| verdict.outcome.is_failure())
}

impl ServerSpan {
    /// Why the request is an error (semantic conventions, "Recording errors"): none that the caller made is one over HTTP.
    pub(crate) fn fault(&self) -> Option<Fault> {
        if let Some(fault) = self.verdict.and_then(Verdict::fault) {
            return Some(fault);
        }
        match self.outcome {
            RecordOutcome::Ok | RecordOutcome::Rejected if self.status >= 500 => {
                Some(Fault { word: self.reason, code: Some(i64::from(self.status)) })
            }
            RecordOutcome::Ok => None,
            RecordOutcome::Rejected if self.mcp.is_none() => None,
            outcome if self.reason.is_empty() => Some(Fault::of(crate::metrics::Label::as_str(outcome))),
            _ => Some(Fault::of(self.reason)),
        }
    }
}

impl McpOutcome {
    /// Whether the service or a tool failed, not its caller.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::ToolError | Self::ServerError | Self::UpstreamError | Self::Timeout)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("context", &self.state.lock().context).finish_non_exhaustive()
    }
}
