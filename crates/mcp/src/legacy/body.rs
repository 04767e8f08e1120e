//! A client's view of a logged stream: replays from a position, then follows live, with keep-alive comments.

use crate::{
    drain::Draining,
    state::streams::{End, Found, LiveStream},
};
use bytes::Bytes;
use holdfast_upstream::clock::{self, Alarm};
use http_body::{Body, Frame};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

/// Bounds of the jittered pause that a draining gateway asks a client for before it reconnects.
const DRAIN_RETRY_MS: std::ops::Range<u64> = 1_000..10_000;
/// A comment line: carries nothing, keeps intermediaries from closing a quiet connection (HTML, "Server-sent events").
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// Response body of an event stream.
pub(crate) struct EventBody {
    stream: Arc<LiveStream>,
    generation: u64,
    position: u64,
    keep_alive: Duration,
    timer: Alarm,
    draining: Option<Draining>,
    done: bool,
}

/// The client was slower than the log is long: what it missed is gone, so the stream ends visibly.
#[derive(Debug, thiserror::Error)]
#[error("the event stream's log no longer holds the next event; open a new stream")]
pub(crate) struct Overrun;

impl EventBody {
    /// Follows `stream` from `position`; `None` if the log no longer holds it. With `draining`, the stream ends at an
    /// event boundary when the gateway drains.
    pub(crate) fn attach(
        stream: &Arc<LiveStream>,
        position: u64,
        keep_alive: Duration,
        draining: Option<Draining>,
    ) -> Option<Self> {
        let generation = stream.attach(position)?;
        let timer = Alarm::new(clock::after(clock::now(), keep_alive));
        Some(Self {
            stream: Arc::clone(stream),
            generation,
            position,
            keep_alive,
            timer,
            draining,
            done: false,
        })
    }

    fn quiet(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        if let Some(draining) = &mut self.draining
            && draining.poll_begun(cx).is_ready()
        {
            self.done = true;
            return Poll::Ready(farewell());
        }
        ready!(self.timer.poll(cx));
        self.rest();
        Poll::Ready(COMMENT)
    }

    fn rest(&mut self) {
        self.timer.reset(clock::after(clock::now(), self.keep_alive));
    }
}

/// 2025-11-25 transports: a server that closes a connection before its stream ends sends `retry` first.
pub(super) fn farewell() -> Bytes {
    Bytes::from(format!("retry: {}\n\n", fastrand::u64(DRAIN_RETRY_MS)))
}

impl Body for EventBody {
    type Data = Bytes;
    type Error = Overrun;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Overrun>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let found = loop {
            match self.stream.poll_at(self.generation, self.position, cx) {
                // Stands in for an event that another replica never logged.
                Poll::Ready(Found::Event(event)) if event.is_empty() => self.position += 1,
                found => break found,
            }
        };
        match found {
            Poll::Ready(Found::Event(event)) => {
                self.position += 1;
                self.rest();
                Poll::Ready(Some(Ok(Frame::data(event))))
            }
            Poll::Ready(
                Found::End(End::Complete | End::Suspended | End::Lost | End::Moved) | Found::Replaced,
            ) => {
                self.done = true;
                Poll::Ready(None)
            }
            Poll::Ready(Found::Gone) => {
                self.done = true;
                Poll::Ready(Some(Err(Overrun)))
            }
            Poll::Pending => self.quiet(cx).map(|bytes| Some(Ok(Frame::data(bytes)))),
        }
    }
}

impl Drop for EventBody {
    fn drop(&mut self) {
        self.stream.detach(self.generation);
    }
}
