//! What a link answers, as the body of an HTTP response: one JSON message, or server-sent events.

use crate::{
    link::{Asked, Listening},
    queue::{End, Item, Queue},
};
use bytes::{Bytes, BytesMut};
use holdfast_frames::sse;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// The body of a [`crate::LinkReply`]. Dropped before its end, its reader has left: a request without a session is then cancelled at
/// its server, one of a session goes on there without a reader.
#[derive(Debug)]
pub struct LinkBody(Inside);

/// The stream broke off: the link ended, or its reader did not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the link broke off its answer")]
pub struct Torn;

#[derive(Debug)]
enum Inside {
    Empty,
    Json(Bytes),
    Events { first: Option<Item>, queue: Arc<Queue>, _reader: Box<Reader> },
}

/// What keeps a stream open.
#[derive(Debug)]
#[expect(dead_code, reason = "held for what they do when they are dropped")]
pub(crate) enum Reader {
    Request(Asked),
    Listener(Listening),
}

impl LinkBody {
    /// No body.
    pub(crate) fn empty() -> Self {
        Self(Inside::Empty)
    }

    /// One message.
    pub(crate) fn json(message: Bytes) -> Self {
        Self(Inside::Json(message))
    }

    /// The events of a request, of which `first` was read.
    pub(crate) fn answer(first: Item, asked: Asked) -> Self {
        let queue = Arc::clone(&asked.queue);
        Self(Inside::Events { first: Some(first), queue, _reader: Box::new(Reader::Request(asked)) })
    }

    /// The one message, if it is one.
    pub(crate) fn message(&self) -> Option<&Bytes> {
        match &self.0 {
            Inside::Json(message) => Some(message),
            Inside::Empty | Inside::Events { .. } => None,
        }
    }

    /// What nobody asked for.
    pub(crate) fn listener(listening: Listening) -> Self {
        let queue = Arc::clone(&listening.queue);
        Self(Inside::Events { first: None, queue, _reader: Box::new(Reader::Listener(listening)) })
    }
}

impl Body for LinkBody {
    type Data = Bytes;
    type Error = Torn;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Torn>>> {
        let item = match &mut self.0 {
            Inside::Empty => return Poll::Ready(None),
            Inside::Json(message) => {
                let message = std::mem::take(message);
                self.0 = Inside::Empty;
                return Poll::Ready(Some(Ok(Frame::data(message))));
            }
            Inside::Events { first, queue, .. } => match first.take() {
                Some(item) => Ok(item),
                None => ready!(queue.poll(cx)),
            },
        };
        match item {
            Ok(Item::Message(message) | Item::Answer(message)) => {
                let mut event = BytesMut::new();
                sse::message(&mut event, None, &message);
                Poll::Ready(Some(Ok(Frame::data(event.freeze()))))
            }
            Err(end) => {
                self.0 = Inside::Empty;
                Poll::Ready((end == End::Torn).then_some(Err(Torn)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Inside::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inside::Empty => SizeHint::with_exact(0),
            Inside::Json(message) => SizeHint::with_exact(message.len() as u64),
            Inside::Events { .. } => SizeHint::default(),
        }
    }
}
