//! The response body of a modern request that streams: the server's events as the client takes them.
//!
//! Nothing is read ahead and nothing is kept: a client that goes away drops this, which drops the server's connection, which is
//! the cancellation (2026-07-28 Streamable HTTP, "Cancellation").

use super::handles::Rewrite;
use crate::{
    caller::Caller,
    errors::{McpError, Problem},
    exchange::let_end,
    policy::Allowance,
    source::{Event, Source, SourceError},
    sse,
    tally::{Tally, verdict},
};
use bytes::{Bytes, BytesMut};
use holdfast_edge::BodyError;
use holdfast_telemetry::metrics::McpOutcome;
use holdfast_upstream::{
    EndpointKey,
    clock::{self, Alarm},
};
use http_body::{Body, Frame};
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// What the end of a stream needs.
pub(super) struct Ending {
    pub(super) caller: Arc<Caller>,
    pub(super) endpoint: EndpointKey,
    /// The request's id as raw JSON.
    pub(super) id: Bytes,
    pub(super) rewrite: Rewrite,
    pub(super) tally: Option<Tally>,
    /// Until when, and its place among the calls of its tool.
    pub(super) allowance: Allowance,
}

/// See the module.
pub(super) struct CallBody {
    ready: VecDeque<Bytes>,
    source: Option<Source>,
    alarm: Alarm,
    ending: Ending,
}

impl CallBody {
    /// `events` were read already; `source` brings the rest.
    pub(super) fn new(events: Vec<Event>, source: Source, ending: Ending) -> Self {
        let next = clock::after(clock::now(), ending.caller.shared.keep_alive);
        let alarm = Alarm::new(next.min(ending.allowance.until));
        let mut body = Self { ready: VecDeque::new(), source: Some(source), alarm, ending };
        for event in events {
            body.take(&event);
        }
        body
    }

    /// Queues one event; the answer ends the stream.
    fn take(&mut self, event: &Event) {
        let Ending { caller, endpoint, id, rewrite, .. } = &self.ending;
        match write(caller, endpoint, event, Some(id), rewrite) {
            Ok(bytes) => self.ready.push_back(bytes),
            Err(error) => return self.fail(&error, McpOutcome::UpstreamError),
        }
        if event.answers(&self.ending.id) {
            let outcome = event.frame.as_ref().map_or(McpOutcome::Ok.into(), verdict);
            if let Some(tally) = self.ending.tally.take() {
                tally.end(outcome);
            }
            if let Some(source) = self.source.take() {
                let_end(source);
            }
        }
    }

    /// Ends the stream with a typed error: the client must never wait for an answer that does not come.
    fn fail(&mut self, error: &McpError, outcome: McpOutcome) {
        let mut out = BytesMut::new();
        sse::message(&mut out, None, &error.render(Some(&self.ending.id)));
        self.ready.push_back(out.freeze());
        self.source = None;
        if let Some(tally) = self.ending.tally.take() {
            tally.end(outcome);
        }
    }

    /// Nothing came for a while: a comment keeps the connection open, or the request's time is over.
    fn quiet(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.alarm.poll(cx));
        let now = clock::now();
        if now >= self.ending.allowance.until {
            self.fail(&McpError::new(Problem::Timeout), McpOutcome::Timeout);
        } else {
            self.ready.push_back(Bytes::from_static(sse::KEEP_ALIVE));
            self.rest();
        }
        Poll::Ready(())
    }

    fn rest(&mut self) {
        let next = clock::after(clock::now(), self.ending.caller.shared.keep_alive);
        self.alarm.reset(next.min(self.ending.allowance.until));
    }
}

impl Body for CallBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            let Some(source) = &mut self.source else { return Poll::Ready(None) };
            match source.poll_next(cx) {
                Poll::Ready(Ok(Some(event))) => {
                    self.take(&event);
                    self.rest();
                }
                Poll::Ready(Ok(None) | Err(SourceError::Torn)) => {
                    self.fail(&McpError::new(Problem::UpstreamLost), McpOutcome::UpstreamError);
                }
                Poll::Ready(Err(SourceError::TooLarge)) => {
                    self.fail(&McpError::new(Problem::BadUpstream), McpOutcome::UpstreamError);
                }
                Poll::Pending => ready!(self.quiet(cx)),
            }
        }
    }
}

/// One event for the client. Only the answer can hold what has to be sealed; everything else passes as it came.
pub(super) fn write(
    caller: &Caller,
    endpoint: &EndpointKey,
    event: &Event,
    id: Option<&[u8]>,
    rewrite: &Rewrite,
) -> Result<Bytes, McpError> {
    let (Some(frame), Some(id)) = (&event.frame, id) else { return Ok(event.raw().clone()) };
    if !event.answers(id) {
        return Ok(event.raw().clone());
    }
    let body = rewrite.response(caller, endpoint, frame)?;
    if body.as_ptr() == frame.bytes().as_ptr() {
        return Ok(event.raw().clone());
    }
    let mut out = BytesMut::new();
    sse::message(&mut out, None, &body);
    Ok(out.freeze())
}
