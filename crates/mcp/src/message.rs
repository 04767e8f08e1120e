//! One message of a client on its way to its driver: which trace it is part of, and what is recorded of it.

use crate::{
    caller::Caller,
    era::{Era, classify},
    federation::{self, Federation},
    frame::{Frame, Member},
    guest::Guest,
    headers, legacy, modern,
    operation::{About, own_trace},
    record::{note, remember},
    reply,
};
use holdfast_edge::{BAGGAGE, Body, RequestContext, TRACESTATE, TraceContext};
use holdfast_telemetry::{
    RecordOutcome,
    metrics::{McpOutcome, OperationVersion, Verdict},
    trace::{baggage_value, tracestate_value},
};
use holdfast_upstream::clock;
use http::{HeaderMap, HeaderValue, Response};
use std::{sync::Arc, time::Instant};

/// Answers a message to one server.
pub(crate) async fn one(ctx: &mut RequestContext, caller: &mut Arc<Caller>, frame: Frame) -> Response<Body> {
    if frame.has(Member::MetaTraceparent)
        && let Some(caller) = Arc::get_mut(caller)
    {
        adopt(ctx, &frame, &mut caller.trace, &mut caller.headers);
    }
    let header = match headers::legacy_version(&caller.headers) {
        Ok(header) => header,
        Err(error) => return reply::error(&error, frame.id()),
    };
    let era = classify(&frame, header, None);
    remember(ctx, &frame, era, header);
    if matches!(era, Era::Modern) {
        modern::post(Arc::clone(caller), frame).await
    } else {
        legacy::post(Arc::clone(caller), frame).await
    }
}

/// Answers a message to the merged endpoint.
pub(crate) async fn merged(
    ctx: &mut RequestContext,
    mut guest: Guest,
    federation: &Arc<Federation>,
    frame: Frame,
) -> Response<Body> {
    let started = clock::now();
    if frame.has(Member::MetaTraceparent) {
        adopt(ctx, &frame, &mut guest.trace, &mut guest.headers);
    }
    ctx.record.bytes_in = frame.bytes().len() as u64;
    let header = match headers::legacy_version(&guest.headers) {
        Ok(header) => header,
        Err(error) => return reply::error(&error, frame.id()),
    };
    let era = classify(&frame, header, None);
    remember(ctx, &frame, era, header);
    let version = header.map_or(OperationVersion::Unknown, OperationVersion::of);
    let (about, piped) = (About::new(&frame, false), guest.piped);
    let (response, caller) = if matches!(era, Era::Modern) {
        Box::pin(federation::post(guest, federation, frame)).await
    } else {
        Box::pin(federation::post_legacy(guest, federation, frame)).await
    };
    if let Some(caller) = caller {
        note(ctx, &caller, response.status());
    } else {
        if let Some(reply::Unasked(reason)) = response.extensions().get() {
            ctx.record.reason = reason;
            ctx.record.outcome = RecordOutcome::Rejected;
        }
        own(ctx, federation, (about, version, piped, started), &response);
    }
    response
}

/// A message that carries a context of its own is part of that trace, and what goes along with it takes the place of the transport's
/// (SEP-414; semantic conventions for MCP, "Context propagation").
fn adopt(ctx: &mut RequestContext, frame: &Frame, trace: &mut TraceContext, headers: &mut HeaderMap) {
    let Some(own) = own_trace(frame) else { return };
    for (member, name, value) in [
        (Member::MetaTracestate, TRACESTATE, tracestate_value as fn(&str) -> Option<HeaderValue>),
        (Member::MetaBaggage, BAGGAGE, baggage_value),
    ] {
        match frame.text(member).and_then(|text| value(&text)) {
            Some(value) => drop(headers.insert(name, value)),
            // The state belongs to the parent that it came with.
            None if member == Member::MetaTracestate => drop(headers.remove(name)),
            None => {}
        }
    }
    (*trace, ctx.trace) = (own, own);
    ctx.record.trace_id = u128::from_be_bytes(own.trace_id());
    if let Some(spans) = &ctx.record.trace {
        spans.adopt(own);
    }
}

/// What the merged endpoint answered by itself: an operation of all servers, so of none by name.
fn own(
    ctx: &mut RequestContext,
    federation: &Federation,
    (about, version, piped, started): (Option<About>, OperationVersion, bool, Instant),
    response: &Response<Body>,
) {
    let Some(about) = about else { return };
    let by_status = if response.status().is_success() { McpOutcome::Ok } else { McpOutcome::Refused };
    let verdict = response.extensions().get::<Verdict>().copied().unwrap_or(by_status.into());
    if let Some(trace) = &ctx.record.trace {
        trace.answered(verdict);
    }
    federation.operations.served(&about.ended(version, piped, verdict, started));
}
