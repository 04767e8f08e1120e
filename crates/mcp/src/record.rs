//! The access record of a request: what was asked, and what became of it.

use crate::{
    caller::{Caller, reason},
    era::{Era, Version},
    errors::McpError,
    frame::{Frame, Kind, Member},
    operation::id_text,
    reply,
};
use holdfast_edge::{Body, RequestContext};
use holdfast_telemetry::{Inline, McpCall, RecordOutcome, metrics::McpOutcome};
use holdfast_upstream::EndpointKey;
use http::{Response, StatusCode};
use std::sync::Arc;

/// What the access record says of a message.
pub(crate) fn remember(ctx: &mut RequestContext, frame: &Frame, era: Era, header: Option<&str>) {
    let name = match frame.kind() {
        Kind::Request => frame.text(Member::Name).unwrap_or_default(),
        Kind::Notification | Kind::Response | Kind::ErrorResponse => "".into(),
    };
    ctx.record.mcp = Some(McpCall {
        method: Inline::new(&frame.method()),
        era: if matches!(era, Era::Modern) { "modern" } else { "legacy" },
        name: Inline::new(&name),
    });
    if let Some(trace) = &ctx.record.trace {
        let version = match era {
            Era::Modern => Version::V2026_07_28.as_str(),
            Era::Legacy(version) => version.as_str(),
            Era::Initialize | Era::Sessionless | Era::BadVersion => {
                header.and_then(Version::parse).map(Version::as_str).unwrap_or_default()
            }
        };
        trace.message(id_text(frame).as_str(), version);
    }
}

/// A refusal of which no driver has heard.
pub(crate) fn refused(ctx: &mut RequestContext, error: &McpError) -> Response<Body> {
    ctx.record.reason = reason(error);
    ctx.record.outcome = RecordOutcome::Rejected;
    reply::error(error, None)
}

/// What became of a request that a driver had.
pub(crate) fn note(ctx: &mut RequestContext, caller: &Caller, status: StatusCode) {
    let notes = caller.notes.lock();
    let record = &mut ctx.record;
    record.upstream = Some(Arc::clone(&caller.server.name));
    record.endpoint = notes.endpoint.as_ref().map(EndpointKey::shared);
    record.attempts = notes.attempts;
    record.reason = notes.reason;
    record.streaming = notes.streaming;
    record.outcome = match notes.failure {
        // Refused before a driver had anything to note: no session, a bad header.
        None if status.is_client_error() => RecordOutcome::Rejected,
        None => RecordOutcome::Ok,
        Some(McpOutcome::Refused) => RecordOutcome::Rejected,
        Some(McpOutcome::Timeout) => RecordOutcome::Timeout,
        Some(_) => RecordOutcome::UpstreamError,
    };
}
