//! The client's body on its way to the upstream.

use crate::{problem::Problem, scan::Found};
use bytes::Bytes;
use holdfast_edge::{Limited, RequestBody, RequestBodyError};
use holdfast_resilience::Safety;
use holdfast_telemetry::{AccessRecord, RecordOutcome};
use holdfast_upstream::CallBody;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

/// Limits of a route's request bodies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    /// `max_body_bytes`.
    pub(crate) max: u64,
    /// `retry.replay_buffer`: a body up to this size is read first, so that a repeatable request can be repeated.
    pub(crate) replay: u64,
}

/// The body of a call that has one. It streams, but for a small one of a request that may be repeated.
pub(crate) async fn prepare(
    body: RequestBody,
    headers: &HeaderMap,
    found: &Found,
    safety: Safety,
    limits: BodyLimits,
    record: &mut AccessRecord,
) -> Result<CallBody, Problem> {
    let body = Limited::new(body, headers, limits.max).map_err(|error| refused(&error))?;
    let counter = Arc::new(AtomicU64::new(0));
    record.body_counter = Some(Arc::clone(&counter));
    let body = Counted { body, counter };
    let small = found.content_length.is_some_and(|length| length <= limits.replay);
    // A client that waits for 100 Continue must not be told to send before the upstream wants it.
    if small && safety != Safety::Unsafe && !found.expect {
        let collected = body.collect().await.map_err(|error| refused(&error))?;
        // Trailers of a request are rare, and a collected body has no place for them: they must not be lost.
        return Ok(match collected.trailers() {
            None => CallBody::Full(collected.to_bytes()),
            Some(_) => CallBody::Stream(collected.map_err(|never| match never {}).boxed_unsync()),
        });
    }
    Ok(CallBody::Stream(body.map_err(Into::into).boxed_unsync()))
}

fn refused(error: &RequestBodyError) -> Problem {
    match error {
        RequestBodyError::TooLarge { .. } => Problem::BODY_TOO_LARGE,
        error => Problem {
            status: error.status(),
            code: "request_body",
            detail: "the request body could not be read to its end",
            remedy: "send the request again",
            retry_after: None,
            outcome: RecordOutcome::ClientAbort,
        },
    }
}

/// Counts what passes, for the access record.
struct Counted {
    body: Limited,
    counter: Arc<AtomicU64>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let polled = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.counter.store(self.body.seen(), Relaxed);
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
