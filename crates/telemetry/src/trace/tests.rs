use super::*;
use crate::{
    AccessRecord, Registry,
    metrics::{McpOutcome, SpanLoss, TraceMetrics, Verdict},
};
use http::Method;
use opentelemetry_proto::tonic::{collector::trace::v1::ExportTraceServiceRequest, trace::v1::Span as Sent};
use proptest::prelude::*;
use prost::Message as _;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Instant, SystemTime},
};

const LIMITS: Limits = Limits { request: 4, queue: 12 };

fn tracer(share: f64) -> Arc<Tracer> {
    let registry = Registry::new(&BTreeMap::new()).unwrap();
    Tracer::new(share, LIMITS, TraceMetrics::new(&registry))
}

fn begin(tracer: &Arc<Tracer>, mut context: TraceContext) -> (Arc<Trace>, TraceContext) {
    let started = (SystemTime::now(), Instant::now());
    let route = "/r".into();
    let trace = tracer.begin(&mut context, Beginning { started, route: &route, scheme: "https" });
    (trace, context)
}

fn root() -> TraceContext {
    TraceContext::generate(&mut fastrand::Rng::new())
}

fn continued(flags: &str) -> TraceContext {
    let text = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
    TraceContext::parse(text.as_bytes(), &mut fastrand::Rng::new()).unwrap()
}

fn finish(trace: &Arc<Trace>, status: u16) {
    let record = AccessRecord { status, trace: Some(Arc::clone(trace)), ..AccessRecord::default() };
    record.emit();
}

fn work() -> Work {
    Work::Http(HttpAttempt { method: Method::GET, endpoint: "http://a:80".into(), number: 1, status: 0 })
}

fn sent(tracer: &Tracer) -> Vec<Sent> {
    let resource = Resource { name: "n".into(), version: "1", instance: "i".into() };
    let body = encode(&resource, &tracer.take(usize::MAX));
    let mut request = ExportTraceServiceRequest::decode(&*body).unwrap();
    request.resource_spans.remove(0).scope_spans.remove(0).spans
}

#[test]
fn a_request_that_is_not_sampled_is_kept_only_if_it_failed() {
    for (share, context, status, kept) in [
        (0.0, root(), 200, false),
        (0.0, root(), 404, false),
        (0.0, root(), 503, true),
        (1.0, root(), 200, true),
        (0.0, continued("01"), 200, true),
        (1.0, continued("00"), 200, false),
        (1.0, continued("00"), 500, true),
    ] {
        let tracer = tracer(share);
        let (trace, context) = begin(&tracer, context);
        trace.begin(&context, work()).end(None);
        finish(&trace, status);
        assert_eq!(tracer.waiting(), if kept { 2 } else { 0 }, "{share} {status}");
    }
}

#[test]
fn a_failure_of_a_message_is_one_of_its_request() {
    for (outcome, kept) in [
        (McpOutcome::Ok, false),
        (McpOutcome::CallerError, false),
        (McpOutcome::Refused, false),
        (McpOutcome::ToolError, true),
        (McpOutcome::Timeout, true),
    ] {
        let tracer = tracer(0.0);
        let (trace, _) = begin(&tracer, root());
        trace.answered(outcome.into());
        trace.answered(McpOutcome::Ok.into());
        finish(&trace, 200);
        assert_eq!(tracer.waiting() > 0, kept, "{outcome:?}");
    }
}

#[test]
fn what_ends_after_its_request_follows_its_fate() {
    for (share, waiting) in [(1.0, 2), (0.0, 0)] {
        let tracer = tracer(share);
        let (trace, context) = begin(&tracer, root());
        let late = trace.begin(&context, work());
        finish(&trace, 200);
        finish(&trace, 200);
        late.end(None);
        assert_eq!(tracer.waiting(), waiting);
    }
}

#[test]
fn a_span_that_nobody_ends_was_cancelled() {
    let tracer = tracer(1.0);
    let (trace, context) = begin(&tracer, root());
    drop(trace.begin(&context, work()));
    finish(&trace, 200);
    let spans = sent(&tracer);
    assert_eq!(attribute(&spans[1], "error.type").as_deref(), Some("cancelled"));
}

#[test]
fn limits_hold_and_what_is_lost_is_counted() {
    let tracer = tracer(1.0);
    let (trace, context) = begin(&tracer, root());
    for _ in 0..LIMITS.request + 3 {
        trace.begin(&context, work()).end(None);
    }
    finish(&trace, 200);
    let lost = |why| tracer.metrics().lost.get(why).get();
    assert_eq!((tracer.waiting(), lost(SpanLoss::Request), lost(SpanLoss::Queue)), (5, 3, 0));
    for _ in 0..20 {
        finish(&begin(&tracer, root()).0, 200);
    }
    assert_eq!((tracer.waiting(), lost(SpanLoss::Queue)), (LIMITS.queue, 13));
    assert_eq!(tracer.take(3).len(), 5, "a request's spans are not torn apart");
    assert_eq!(tracer.take(3).len(), 3);
    assert_eq!(tracer.waiting(), 4);
}

#[test]
fn parents_lead_from_the_attempt_to_the_client() {
    let tracer = tracer(0.0);
    let (trace, context) = begin(&tracer, continued("01"));
    let call = trace.begin(
        &context,
        Work::Mcp(Box::new(McpWork {
            method: "tools/call".into(),
            name: "read".into(),
            id: "7".into(),
            server: "files".into(),
            version: "2026-07-28",
            piped: false,
        })),
    );
    let mut attempt = call.parent().begin(work());
    attempt.status(503);
    attempt.end(Some(Fault { word: "status", code: Some(503) }));
    call.end(Verdict { outcome: McpOutcome::ServerError, code: Some(-32603) }.fault());
    finish(&trace, 200);
    let spans = sent(&tracer);
    let names: Vec<_> = spans.iter().map(|span| (span.name.as_str(), span.kind)).collect();
    assert_eq!(names, [("GET /r", 2), ("GET", 3), ("tools/call read", 3)]);
    assert_eq!(spans[0].parent_span_id, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
    assert_eq!(spans[2].parent_span_id, spans[0].span_id);
    assert_eq!(spans[1].parent_span_id, spans[2].span_id);
    assert!(spans.iter().all(|span| span.trace_id == continued("01").trace_id() && span.flags & 1 == 1));
    assert_eq!(attribute(&spans[1], "error.type").as_deref(), Some("503"));
    assert_eq!(attribute(&spans[2], "rpc.response.status_code").as_deref(), Some("-32603"));
    assert_eq!(attribute(&spans[2], "gen_ai.tool.name").as_deref(), Some("read"));
}

#[test]
fn a_context_of_the_message_goes_before_that_of_its_transport() {
    let tracer = tracer(0.0);
    let (trace, before) = begin(&tracer, continued("01"));
    let own = TraceContext::parse(
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        &mut fastrand::Rng::new(),
    );
    trace.adopt(own.unwrap());
    finish(&trace, 200);
    let span = sent(&tracer).remove(0);
    assert_eq!(span.trace_id, own.unwrap().trace_id());
    assert_eq!(span.links[0].trace_id, before.trace_id());
    assert_eq!(span.links[0].span_id, before.parent_id().unwrap());
}

fn attribute(span: &Sent, key: &str) -> Option<String> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

proptest! {
    #[test]
    fn all_replicas_decide_alike_and_a_greater_share_keeps_what_a_smaller_one_does(seed: u64, one in 0.0..=1.0, other in 0.0..=1.0) {
        let context = TraceContext::generate(&mut fastrand::Rng::with_seed(seed));
        let decided = |share: f64| begin(&tracer(share), context).1.is_sampled();
        let (low, high) = (f64::min(one, other), f64::max(one, other));
        prop_assert_eq!(decided(low), decided(low));
        prop_assert!(!decided(low) || decided(high));
        prop_assert!(decided(1.0) && !decided(0.0));
    }
}

#[test]
fn the_share_of_what_is_sampled_is_the_rate() {
    let tracer = tracer(0.1);
    let mut rng = fastrand::Rng::with_seed(7);
    let sampled =
        (0..100_000).filter(|_| begin(&tracer, TraceContext::generate(&mut rng)).1.is_sampled()).count();
    assert!((9_500..10_500).contains(&sampled), "{sampled}");
}
