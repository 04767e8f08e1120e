//! Answers of endpoints, as they arrive: whole bodies within a limit, event streams event by event.

use crate::{
    frame::{Frame, Limits, MAX_DEPTH, unquote},
    sse::{self, Parser},
};
use bytes::{Bytes, BytesMut};
use holdfast_upstream::ReplyBody;
use http_body::Body;
use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Why a body or stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceError {
    /// It broke off.
    Torn,
    /// A message above the limit.
    TooLarge,
}

/// Limits for messages of servers: their size is bounded, their nesting by what the scanner can take.
pub(crate) fn answer_limits(bytes_max: usize) -> Limits {
    Limits { bytes_max, depth_max: MAX_DEPTH }
}

/// Reads a body to its end; one chunk is not copied. Cancel safe: dropping it drops the body.
pub(crate) async fn whole<B>(body: B, max: usize) -> Result<Bytes, SourceError>
where
    B: Body<Data = Bytes>,
{
    let mut body = std::pin::pin!(body);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(data) = frame.map_err(|_| SourceError::Torn)?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > max {
            return Err(SourceError::TooLarge);
        }
        if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut joined = BytesMut::with_capacity(first.len() + rest.len());
    joined.extend_from_slice(&first);
    joined.extend_from_slice(&rest);
    Ok(joined.freeze())
}

/// One event of a server, its message read once.
pub(crate) struct Event {
    pub(crate) id: Option<Bytes>,
    pub(crate) retry: Option<u64>,
    pub(crate) name: Option<Bytes>,
    pub(crate) data: Option<Bytes>,
    /// The JSON-RPC message, if it holds one.
    pub(crate) frame: Option<Frame>,
    raw: Bytes,
}

impl Event {
    fn new(event: &sse::Event, limits: &Limits) -> Self {
        let message = event.data().filter(|_| event.is_message());
        Self {
            id: event.id().cloned(),
            retry: event.retry(),
            name: event.name().cloned(),
            data: event.data().cloned(),
            frame: message.and_then(|data| Frame::parse(data.clone(), limits).ok()),
            raw: event.raw().clone(),
        }
    }

    /// Whether it holds the answer to the request `id` (raw JSON). An error without an id answers whatever was asked.
    pub(crate) fn answers(&self, id: &[u8]) -> bool {
        self.frame.as_ref().is_some_and(|frame| {
            frame.is_response() && frame.id().is_none_or(|answered| same_id(answered, id))
        })
    }

    /// The bytes as they came.
    pub(crate) fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// What it costs to hold it.
    pub(crate) fn size(&self) -> usize {
        self.raw.len()
    }
}

/// Equal ids, whatever way their strings are escaped.
fn same_id(one: &[u8], other: &[u8]) -> bool {
    one == other || unquote(one).is_some_and(|one| unquote(other).is_some_and(|other| one == other))
}

/// An event stream of a server. Reading it is what lets the server go on: nothing is read ahead.
pub(crate) struct Source {
    body: Option<ReplyBody>,
    parser: Parser,
    limits: Limits,
}

impl Source {
    /// The events of `body`, none larger than `event_max`.
    pub(crate) fn new(body: ReplyBody, event_max: usize) -> Self {
        Self { body: Some(body), parser: Parser::new(event_max), limits: answer_limits(event_max) }
    }

    /// The next event; `None` at a clean end between events. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, SourceError> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`Source::next`].
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Event>, SourceError>> {
        loop {
            match self.parser.next() {
                Some(Ok(event)) if event.is_comment() => continue,
                Some(Ok(event)) => return Poll::Ready(Ok(Some(Event::new(&event, &self.limits)))),
                Some(Err(_)) => {
                    self.body = None;
                    return Poll::Ready(Err(SourceError::TooLarge));
                }
                None => {}
            }
            let Some(body) = &mut self.body else { return Poll::Ready(Ok(None)) };
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.parser.push(&data);
                    }
                }
                Some(Err(_)) => {
                    self.body = None;
                    return Poll::Ready(Err(SourceError::Torn));
                }
                None => {
                    self.body = None;
                    let whole = self.parser.is_between_events();
                    return Poll::Ready(if whole { Ok(None) } else { Err(SourceError::Torn) });
                }
            }
        }
    }
}
