//! One message to a server, as the semantic conventions see it: the client's side of an MCP operation, its metric and its span.

use crate::{
    caller::Caller,
    exchange::Outgoing,
    failure::Failure,
    frame::{Frame, Kind, Limits, MAX_DEPTH, Member, TraceMeta},
    server::Server,
    tally::verdict,
    wire::Wire,
};
use bytes::Bytes;
use holdfast_edge::{BAGGAGE, TRACEPARENT, TRACESTATE, TraceContext};
use holdfast_telemetry::{
    Inline, McpMetrics,
    metrics::{Label, McpOutcome, Operation, OperationMethod, OperationVersion, Verdict},
    trace::{McpWork, OpenSpan, Parent, Work},
};
use holdfast_upstream::{CallError, clock};
use http::{HeaderMap, HeaderName};
use std::{sync::Arc, time::Instant};

/// What a message is about, for those who count it.
#[derive(Clone)]
pub(crate) struct About {
    pub(crate) method: OperationMethod,
    /// Tool or prompt, as it stands in the message.
    pub(crate) name: Bytes,
    /// The message carries a context of its own.
    own_trace: bool,
    /// For the span, where there is one: the method and the id as they are.
    texts: Option<Box<(Inline<64>, Inline<64>)>>,
}

impl About {
    /// `None` for an answer: that is part of an operation of the other side.
    pub(crate) fn new(frame: &Frame, spans: bool) -> Option<Self> {
        if frame.is_response() {
            return None;
        }
        let method = OperationMethod::of(&frame.method_bytes());
        let name = match method {
            OperationMethod::ToolsCall | OperationMethod::PromptsGet => frame.inside(Member::Name),
            _ => Bytes::new(),
        };
        let texts = spans.then(|| Box::new((Inline::new(&frame.method()), id_text(frame))));
        Some(Self { method, name, own_trace: frame.has(Member::MetaTraceparent), texts })
    }

    /// It has ended, having begun at `since`.
    pub(crate) fn ended(
        &self,
        version: OperationVersion,
        piped: bool,
        verdict: Verdict,
        since: Instant,
    ) -> Operation<'_> {
        let took = clock::now().saturating_duration_since(since);
        Operation { method: self.method, name: &self.name, version, piped, verdict, took }
    }

    /// A message of the gateway's own.
    pub(crate) fn own(method: OperationMethod) -> Self {
        Self { method, name: Bytes::new(), own_trace: false, texts: None }
    }
}

/// One message on its way and its answer. Dropped before its end it was cancelled.
pub(crate) struct Sending {
    metrics: Arc<McpMetrics>,
    about: About,
    version: OperationVersion,
    piped: bool,
    began: Instant,
    span: Option<OpenSpan>,
    open: bool,
}

impl Sending {
    /// Begins it: what `out` carries of a trace is from now on this span. `None` if `out` is no message of ours.
    pub(crate) fn begin(server: &Server, out: &mut Outgoing) -> Option<Self> {
        let about = out.about.take()?;
        let piped = server.is_program;
        let span = out.trace.take().map(|parent| {
            let span = parent.begin(Work::Mcp(Box::new(work(server, out, &about, piped))));
            out.headers.insert(TRACEPARENT, span.context().header_value());
            if about.own_trace {
                mark(server, out, &span);
            }
            out.trace = Some(Box::new(span.parent()));
            span
        });
        let metrics = Arc::clone(&server.metrics);
        let (version, began) = (out.version, clock::now());
        Some(Self { metrics, about, version, piped, began, span, open: true })
    }

    /// The server answered it.
    pub(crate) fn answered(self, response: &Frame) {
        self.end(verdict(response));
    }

    /// It was taken, or answered with a status alone.
    pub(crate) fn taken(self, accepted: bool) {
        self.end(if accepted { McpOutcome::Ok } else { McpOutcome::UpstreamError }.into());
    }

    /// Its answer comes another way, and is not waited for here.
    pub(crate) fn elsewhere(mut self) {
        self.open = false;
        if let Some(span) = self.span.take() {
            span.end(None);
        }
    }

    /// There is no answer.
    pub(crate) fn failed(self, failure: &Failure) {
        let timeout = match failure {
            Failure::Late(_) => true,
            Failure::Call(error) => matches!(error, CallError::Timeout { .. } | CallError::Deadline { .. }),
            Failure::NoRoom(_) | Failure::Torn(_) | Failure::Unusable(..) => false,
        };
        self.end(if timeout { McpOutcome::Timeout } else { McpOutcome::UpstreamError }.into());
    }

    fn end(mut self, verdict: Verdict) {
        self.close(verdict);
    }

    fn close(&mut self, verdict: Verdict) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        if let Some(span) = self.span.take() {
            span.end(verdict.fault());
        }
        self.metrics.operations.sent(&self.about.ended(self.version, self.piped, verdict, self.began));
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.close(McpOutcome::Cancelled.into());
    }
}

fn work(server: &Server, out: &Outgoing, about: &About, piped: bool) -> McpWork {
    let own = || Box::new((Inline::new(Label::as_str(about.method)), Inline::default()));
    let (method, id) = *about.texts.clone().unwrap_or_else(own);
    McpWork {
        method,
        name: Inline::new(std::str::from_utf8(&about.name).unwrap_or_default()),
        id,
        server: Arc::clone(&server.name),
        version: Label::as_str(out.version),
        piped,
    }
}

/// A message to a server over HTTP that has a context of its own in `_meta` gets the span's instead: a server takes that for the parent,
/// and would leave the gateway out. Others over HTTP have their header; links put it into the message themselves.
fn mark(server: &Server, out: &mut Outgoing, span: &OpenSpan) {
    if matches!(server.wire, Wire::Linked(_)) {
        return;
    }
    let limits = Limits { bytes_max: out.body.len(), depth_max: MAX_DEPTH };
    let wire = span.context().wire();
    let traceparent = std::str::from_utf8(&wire).unwrap_or_default();
    let meta = TraceMeta { traceparent, tracestate: None, baggage: None, replaces: true };
    let frame = Frame::parse(out.body.clone(), &limits).ok();
    if let Some(body) = frame.and_then(|frame| frame.with_trace(&meta)) {
        out.body = body;
    }
}

/// What goes along in the `_meta` of a message to a server that has no headers: a context that came with the request, or that of a span.
pub(crate) fn carried(headers: &HeaderMap, recorded: bool, continued: bool) -> Option<TraceMeta<'_>> {
    if !recorded && !continued {
        return None;
    }
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    Some(TraceMeta {
        traceparent: text(&TRACEPARENT)?,
        tracestate: text(&TRACESTATE),
        baggage: text(&BAGGAGE),
        replaces: recorded,
    })
}

/// The id of a request as spans have it: without the quotes, and nothing for what has none.
pub(crate) fn id_text(frame: &Frame) -> Inline<64> {
    let id = frame.id().map(String::from_utf8_lossy).unwrap_or_default();
    Inline::new(id.trim_matches('"'))
}

/// A context that the message itself carries: it goes before that of the transport.
pub(crate) fn own_trace(frame: &Frame) -> Option<TraceContext> {
    if !matches!(frame.kind(), Kind::Request | Kind::Notification) {
        return None;
    }
    let text = frame.text(Member::MetaTraceparent)?;
    TraceContext::parse(text.as_bytes(), &mut fastrand::Rng::new())
}

impl Caller {
    /// The span that a message is sent below.
    pub(crate) fn parent(&self) -> Option<Box<Parent>> {
        let trace = self.spans.as_ref()?;
        Some(Box::new(Parent { trace: Arc::clone(trace), context: self.trace }))
    }
}
