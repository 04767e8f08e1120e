//! Answers of endpoints, as they arrive: whole bodies within a limit, event streams event by event.

use crate::{
    frame::{Frame, IdKey, Limits, MAX_DEPTH, single_line},
    lens::Lens,
    operation::Sending,
    policy::Screened,
    sse::{self, Parser},
    state::{NoRoom, Pieces, Room},
    wire::WireBody,
};
use bytes::{Bytes, BytesMut};
use http_body::Body;
use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Why a body cannot be read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It broke off.
    Torn,
    /// It is above the limit.
    TooLarge,
    /// No memory for it: `mcp.response_bytes_total`.
    NoRoom,
}

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceError {
    /// It broke off.
    Torn,
    /// A message above the limit.
    TooLarge,
}

impl From<NoRoom> for Unread {
    fn from(NoRoom: NoRoom) -> Self {
        Self::NoRoom
    }
}

/// Limits for messages of servers: their size is bounded, their nesting by what the scanner can take.
pub(crate) fn answer_limits(bytes_max: usize) -> Limits {
    Limits { bytes_max, depth_max: MAX_DEPTH }
}

/// Reads a body to its end; one piece is not copied, several take memory of `room`. Cancel safe: dropping it drops the body
/// and gives the memory back.
pub(crate) async fn whole<B>(body: B, max: usize, room: Option<&Room>) -> Result<Bytes, Unread>
where
    B: Body<Data = Bytes>,
{
    let mut body = std::pin::pin!(body);
    let (mut first, mut length) = (Bytes::new(), 0);
    let mut joined: Option<Pieces> = None;
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(piece) = frame.map_err(|_| Unread::Torn)?.into_data() else { continue };
        length += piece.len();
        if length > max {
            return Err(Unread::TooLarge);
        }
        if let Some(joined) = &mut joined {
            joined.push(&piece)?;
        } else if first.is_empty() {
            first = piece;
        } else if !piece.is_empty() {
            let pieces = joined.insert(Pieces::new(room));
            pieces.push(&first)?;
            pieces.push(&piece)?;
        }
    }
    Ok(joined.map_or(first, Pieces::finish))
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

    /// What is to be seen of it through `lens`. What cannot be read as a message is shown to nobody from whom something may be hidden.
    fn screened(mut self, lens: &Lens, limits: &Limits) -> Option<Self> {
        let Some(frame) = &self.frame else {
            return (!lens.hides() || self.data.as_ref().is_none_or(Bytes::is_empty)).then_some(self);
        };
        match lens.see(frame) {
            Screened::AsIs => Some(self),
            Screened::Dropped => None,
            Screened::Changed(message) => {
                self.frame = Some(Frame::parse(message.clone(), limits).ok()?);
                let message = single_line(&message);
                let mut raw = BytesMut::new();
                sse::event(&mut raw, self.id.as_deref(), self.retry, self.name.as_deref(), &message);
                self.raw = raw.freeze();
                self.data = Some(message);
                Some(self)
            }
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

/// Equal ids, whatever way they are written.
fn same_id(one: &[u8], other: &[u8]) -> bool {
    one == other || IdKey::of(one) == IdKey::of(other)
}

/// An event stream of a server. Reading it is what lets the server go on: nothing is read ahead.
pub(crate) struct Source {
    body: Option<WireBody>,
    parser: Parser,
    limits: Limits,
    lens: Lens,
    /// The operation that ends with it, and the id of its request.
    sending: Option<Box<(Sending, Bytes)>>,
}

impl Source {
    /// The events of `body`, none larger than `event_max`, as they are seen through `lens`.
    pub(crate) fn new(body: WireBody, event_max: usize, lens: Lens) -> Self {
        Self {
            body: Some(body),
            parser: Parser::new(event_max),
            limits: answer_limits(event_max),
            lens,
            sending: None,
        }
    }

    /// `sending` ends when its answer comes.
    pub(crate) fn ends(&mut self, sending: Sending, id: Option<&[u8]>) {
        self.sending = id.map(|id| Box::new((sending, Bytes::copy_from_slice(id))));
    }

    /// Ends the operation if `event` is its answer.
    fn note(&mut self, event: Event) -> Event {
        let answers = |sending: &mut Box<(Sending, Bytes)>| event.answers(&sending.1);
        if let (Some(sending), Some(frame)) = (self.sending.take_if(answers), &event.frame) {
            sending.0.answered(frame);
        }
        event
    }

    /// The next event; `None` at a clean end between events. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, SourceError> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The answer will not come this way.
    fn torn(&mut self) {
        if let Some(sending) = self.sending.take() {
            sending.0.taken(false);
        }
    }

    /// As [`Source::next`].
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Event>, SourceError>> {
        loop {
            match self.parser.next() {
                Some(Ok(event)) if event.is_comment() => continue,
                Some(Ok(event)) => {
                    let event = Event::new(&event, &self.limits);
                    let event = self.note(event);
                    match event.screened(&self.lens, &self.limits) {
                        Some(event) => return Poll::Ready(Ok(Some(event))),
                        None => continue,
                    }
                }
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
                    self.torn();
                    return Poll::Ready(Err(SourceError::Torn));
                }
                None => {
                    self.body = None;
                    let whole = self.parser.is_between_events();
                    match self.sending.take_if(|_| whole) {
                        // Where there is a way to go on, it is another request.
                        Some(sending) => sending.0.elsewhere(),
                        None => self.torn(),
                    }
                    return Poll::Ready(if whole { Ok(None) } else { Err(SourceError::Torn) });
                }
            }
        }
    }
}
