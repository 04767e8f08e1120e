//! A batch as the body of an OTLP/HTTP request, in protobuf (OTLP 1.x, stable).
//!
//! Names of spans and attributes are those of the semantic conventions: `docs/decisions/0017-opentelemetry.md` lists them with their
//! requirement levels and says what is left out.

use super::{
    Fault, HttpAttempt, McpWork, TraceContext, Work, request::ServerSpan, span::Span, tracer::Batch,
};
use crate::{access::McpCall, metrics::Carrier};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource as ProtoResource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span as ProtoSpan, Status,
        span::{Link, SpanKind},
        status::StatusCode,
    },
};
use prost::Message as _;
use std::time::{Duration, SystemTime};

/// Name of what recorded the spans.
const SCOPE: &str = "holdfast";
/// `SpanFlags`: the next bit says something.
const HAS_IS_REMOTE: u32 = 0x100;
/// `SpanFlags`: the parent or the linked span is of another process.
const IS_REMOTE: u32 = 0x200;

/// Who speaks (semantic conventions, "Service").
#[derive(Clone, Debug)]
pub struct Resource {
    /// `service.name`.
    pub name: String,
    /// `service.version`.
    pub version: &'static str,
    /// `service.instance.id`.
    pub instance: String,
}

/// The request's body.
pub fn encode(resource: &Resource, batch: &Batch) -> Vec<u8> {
    let mut spans = Vec::with_capacity(batch.len());
    for kept in &batch.kept {
        spans.extend(kept.server.as_deref().map(server));
        spans.extend(kept.spans.iter().map(client));
    }
    let attributes = [
        ("service.name", resource.name.as_str()),
        ("service.version", resource.version),
        ("service.instance.id", resource.instance.as_str()),
    ];
    let mut of = Attributes::default();
    for (key, value) in attributes {
        of.text(key, value);
    }
    let scope = InstrumentationScope {
        name: SCOPE.to_owned(),
        version: resource.version.to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let resource = Some(ProtoResource { attributes: of.0, ..ProtoResource::default() });
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// How many spans the collector says that it refused (OTLP "Partial Success"). What cannot be read says none.
pub fn rejected(answer: &[u8]) -> u64 {
    let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
    answer.partial_success.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or(0))
}

/// Attributes in the making.
#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    /// A text, if there is any.
    fn text(&mut self, key: &'static str, value: &str) {
        if !value.is_empty() {
            self.put(key, Value::StringValue(value.to_owned()));
        }
    }

    fn number(&mut self, key: &'static str, value: impl Into<i64>) {
        self.put(key, Value::IntValue(value.into()));
    }

    fn put(&mut self, key: &'static str, value: Value) {
        let value = Some(AnyValue { value: Some(value) });
        self.0.push(KeyValue { key: key.to_owned(), value, ..KeyValue::default() });
    }

    /// `error.type`: the code where there is one, else the word.
    fn fault(&mut self, fault: Option<Fault>) -> Option<Status> {
        let fault = fault?;
        let kind = fault.code.map_or_else(|| fault.word.to_owned(), |code| code.to_string());
        self.text("error.type", if kind.is_empty() { "_OTHER" } else { &kind });
        Some(Status { code: StatusCode::Error.into(), ..Status::default() })
    }
}

fn server(span: &ServerSpan) -> ProtoSpan {
    let mut attributes = Attributes::default();
    let fault = span.fault();
    let name = match &span.mcp {
        Some(call) => mcp_request(&mut attributes, span, call, fault),
        None => http_request(&mut attributes, span),
    };
    if let Some(client) = span.client {
        attributes.text("client.address", &client.to_string());
    }
    attributes.text("user_agent.original", &span.user_agent);
    attributes.text("holdfast.upstream", span.upstream.as_deref().unwrap_or_default());
    attributes.text("holdfast.reason", span.reason);
    let status = attributes.fault(fault);
    let links = span.transport.iter().filter_map(|transport| {
        Some(Link {
            trace_id: transport.trace_id().to_vec(),
            // The span that sent it: ours took its place.
            span_id: transport.parent_id()?.to_vec(),
            flags: HAS_IS_REMOTE | IS_REMOTE,
            ..Link::default()
        })
    });
    ProtoSpan {
        kind: SpanKind::Server.into(),
        status,
        links: links.collect(),
        attributes: attributes.0,
        ..begun(name, &span.context, true, span.started, span.duration)
    }
}

fn mcp_request(
    attributes: &mut Attributes,
    span: &ServerSpan,
    call: &McpCall,
    fault: Option<Fault>,
) -> String {
    let (method, target) = (call.method.as_str(), call.name.as_str());
    message(attributes, method, target, span.request_id.as_str(), span.version);
    match span.carrier {
        Some(Carrier::Stdio) => attributes.text("network.transport", "pipe"),
        Some(Carrier::WebSocket) => network(attributes, "websocket"),
        Some(Carrier::Sse) | None => network(attributes, "http"),
    }
    if let Some(code) = fault.and_then(|fault| fault.code) {
        attributes.text("rpc.response.status_code", &code.to_string());
    }
    title(method, target)
}

fn http_request(attributes: &mut Attributes, span: &ServerSpan) -> String {
    attributes.text("http.request.method", span.method.as_str());
    attributes.text("url.path", &span.path);
    attributes.text("url.scheme", span.scheme);
    attributes.text("http.route", &span.route);
    network(attributes, "http");
    if span.status > 0 {
        attributes.number("http.response.status_code", span.status);
    }
    format!("{} {}", span.method, span.route)
}

fn client(span: &Span) -> ProtoSpan {
    let mut attributes = Attributes::default();
    let name = match &span.work {
        Work::Http(attempt) => http(&mut attributes, attempt),
        Work::Mcp(work) => {
            mcp(&mut attributes, work);
            if let Some(code) = span.fault.and_then(|fault| fault.code) {
                attributes.text("rpc.response.status_code", &code.to_string());
            }
            title(work.method.as_str(), work.name.as_str())
        }
    };
    let status = attributes.fault(span.fault);
    ProtoSpan {
        kind: SpanKind::Client.into(),
        status,
        attributes: attributes.0,
        ..begun(name, &span.context, false, span.started, span.duration)
    }
}

fn begun(
    name: String,
    context: &TraceContext,
    of_another: bool,
    started: SystemTime,
    duration: Duration,
) -> ProtoSpan {
    let remote = if of_another && context.is_continued() { IS_REMOTE } else { 0 };
    ProtoSpan {
        trace_id: context.trace_id().to_vec(),
        span_id: context.span_id().to_vec(),
        parent_span_id: context.parent_id().map(|id| id.to_vec()).unwrap_or_default(),
        flags: u32::from(context.is_sampled()) | HAS_IS_REMOTE | remote,
        name,
        start_time_unix_nano: nanos(started),
        end_time_unix_nano: nanos(started + duration),
        ..ProtoSpan::default()
    }
}

fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// "`{mcp.method.name} {target}`": the target is a tool or a prompt.
fn title(method: &str, target: &str) -> String {
    if target.is_empty() { method.to_owned() } else { format!("{method} {target}") }
}

fn network(attributes: &mut Attributes, protocol: &str) {
    attributes.text("network.protocol.name", protocol);
    attributes.text("network.transport", "tcp");
}

fn mcp(attributes: &mut Attributes, work: &McpWork) {
    message(attributes, work.method.as_str(), work.name.as_str(), work.id.as_str(), work.version);
    if work.piped {
        attributes.text("network.transport", "pipe");
    } else {
        network(attributes, "http");
    }
    attributes.text("holdfast.upstream", &work.server);
}

fn message(attributes: &mut Attributes, method: &str, target: &str, id: &str, version: &str) {
    attributes.text("mcp.method.name", method);
    match method {
        "tools/call" => {
            attributes.text("gen_ai.operation.name", "execute_tool");
            attributes.text("gen_ai.tool.name", target);
        }
        "prompts/get" => attributes.text("gen_ai.prompt.name", target),
        _ => {}
    }
    attributes.text("jsonrpc.request.id", id);
    attributes.text("mcp.protocol.version", version);
}

fn http(attributes: &mut Attributes, attempt: &HttpAttempt) -> String {
    attributes.text("http.request.method", attempt.method.as_str());
    // Without path and query: what a client writes there may be a secret.
    let (url, resolved) = attempt.endpoint.split_once('#').unwrap_or((&*attempt.endpoint, ""));
    attributes.text("url.full", url);
    if let Ok(uri) = url.parse::<http::Uri>() {
        attributes.text("server.address", uri.host().unwrap_or_default());
        let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        attributes.number("server.port", uri.port_u16().unwrap_or(usual));
    }
    attributes.text("network.peer.address", resolved.rsplit_once(':').map_or("", |(address, _)| address));
    if attempt.number > 1 {
        attributes.number("http.request.resend_count", attempt.number - 1);
    }
    if attempt.status > 0 {
        attributes.number("http.response.status_code", attempt.status);
    }
    attempt.method.to_string()
}
