//! A response body that holds what its request holds.

use crate::{
    BoxError,
    clock::{self, Alarm},
    h1::{BodyError, Http1},
    hold::{Hold, Place},
};
use bytes::Bytes;
use holdfast_resilience::{FailureKind, Outcome};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// The body of a [`crate::Reply`]: data and trailers as they come.
///
/// Read to its end, it gives the connection back and the verdict on the attempt. A body that the server cuts short
/// (RFC 9112 section 8), or that pauses for too long, ends in an error. Dropped early, it closes the connection and
/// judges nothing.
pub struct ReplyBody(Box<Inner>);

/// Behind one pointer, because a response moves through every future between here and the client's connection.
struct Inner {
    /// HTTP/2. A body of HTTP/1.1 is read from the connection that is held.
    stream: Option<Incoming>,
    held: Option<Held>,
    idle_max: Duration,
    idle: Alarm,
    waiting: bool,
}

struct Held {
    hold: Hold,
    outcome: Outcome,
    _place: Place,
}

impl ReplyBody {
    pub(crate) fn new(
        stream: Option<Incoming>,
        hold: Hold,
        outcome: Outcome,
        place: Place,
        idle_max: Duration,
        now: Instant,
    ) -> Self {
        let idle = Alarm::new(clock::after(now, idle_max));
        let held = Some(Held { hold, outcome, _place: place });
        let mut this = Box::new(Inner { stream, held, idle_max, idle, waiting: false });
        if this.is_end() {
            this.complete();
        }
        Self(this)
    }

    /// The body of a response whose connection was handed over.
    pub(crate) fn empty() -> Self {
        let idle = Alarm::new(clock::now());
        Self(Box::new(Inner { stream: None, held: None, idle_max: Duration::ZERO, idle, waiting: false }))
    }

    /// Reads what is already here, up to `limit` bytes, so that the connection of an unwanted response may be kept.
    pub(crate) fn discard(self, limit: u64) {
        self.0.discard(limit);
    }
}

impl Inner {
    fn complete(&mut self) {
        if let Some(held) = self.held.take() {
            held.hold.complete(held.outcome);
        }
    }

    fn fail(&mut self, outcome: Outcome) {
        if let Some(held) = self.held.take() {
            held.hold.end(outcome);
        }
    }

    /// The body is at its end, or there is nothing left to read it from.
    fn is_end(&self) -> bool {
        match &self.stream {
            Some(stream) => stream.is_end_stream(),
            None => self.reading().is_none_or(Http1::is_end_stream),
        }
    }

    fn hint(&self) -> SizeHint {
        match &self.stream {
            Some(stream) => stream.size_hint(),
            None => self.reading().map_or_else(|| SizeHint::with_exact(0), Http1::size_hint),
        }
    }

    fn reading(&self) -> Option<&Http1> {
        self.held.as_ref()?.hold.reading()
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(stream) = &mut self.stream {
            let polled = Pin::new(stream).poll_frame(cx);
            return polled.map_err(|error| BodyError { error: error.into(), ours: false });
        }
        let reading = self.held.as_mut().and_then(|held| held.hold.reading_mut());
        reading.map_or(Poll::Ready(None), |connection| connection.poll_frame(cx))
    }

    fn discard(mut self: Box<Self>, limit: u64) {
        if self.hint().lower() > limit {
            return self.give_up();
        }
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut read = 0;
        while self.held.is_some() && read <= limit {
            match self.poll_source(&mut cx) {
                Poll::Ready(Some(Ok(frame))) => read += frame.data_ref().map_or(0, |data| data.len() as u64),
                Poll::Ready(None) => return self.complete(),
                Poll::Ready(Some(Err(_))) | Poll::Pending => break,
            }
            if self.is_end() {
                return self.complete();
            }
        }
        self.give_up();
    }

    fn give_up(&mut self) {
        if let Some(held) = self.held.take() {
            held.hold.end(held.outcome);
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self.get_mut().0;
        match this.poll_source(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.waiting = false;
                if this.is_end() {
                    this.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(BodyError { error, ours }))) => {
                this.fail(if ours { Outcome::Neutral } else { Outcome::Failed(FailureKind::Reset) });
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                this.complete();
                Poll::Ready(None)
            }
            Poll::Pending => this.poll_idle(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.hint()
    }
}

impl Inner {
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.held.is_none() {
            return Poll::Pending;
        }
        if !self.waiting {
            self.waiting = true;
            self.idle.reset(clock::after(clock::now(), self.idle_max));
        }
        if self.idle.poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.fail(Outcome::Failed(FailureKind::Timeout));
        let paused = format!("the response body paused for longer than {:?}", self.idle_max);
        Poll::Ready(Some(Err(paused.into())))
    }
}
