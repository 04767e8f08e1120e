//! The event stream of an HTTP+SSE client.

use crate::{
    fronts::{Place, Registered},
    queue::Receiver,
};
use bytes::{BufMut as _, Bytes, BytesMut};
use holdfast_frames::sse::{self, KEEP_ALIVE};
use holdfast_upstream::clock::{self, Alarm};
use http_body::{Body, Frame};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

/// Bounds of the jittered pause that a draining gateway asks for before its clients come back, in milliseconds.
const RETRY: std::ops::Range<u64> = 1_000..10_000;

/// First where messages go, then the messages. Dropping it is the end of the conversation.
pub(super) struct Events {
    first: Option<Bytes>,
    told: Receiver,
    keep_alive: Duration,
    quiet: Alarm,
    /// The process drains: the end says when to come back.
    drained: Arc<AtomicBool>,
    done: bool,
    _name: Registered,
    _place: Place,
}

impl Events {
    pub(super) fn new(
        endpoint: &str,
        told: Receiver,
        keep_alive: Duration,
        drained: Arc<AtomicBool>,
        (name, place): (Registered, Place),
    ) -> Self {
        let mut first = BytesMut::new();
        first.put_slice(b"event: endpoint\ndata: ");
        first.put_slice(endpoint.as_bytes());
        first.put_slice(b"\n\n");
        Self {
            first: Some(first.freeze()),
            told,
            keep_alive,
            quiet: Alarm::new(clock::after(clock::now(), keep_alive)),
            drained,
            done: false,
            _name: name,
            _place: place,
        }
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        if this.done {
            return Poll::Ready(None);
        }
        let bytes = match (this.first.take(), this.told.poll_next(cx)) {
            (Some(first), Poll::Ready(Some(message))) => {
                let mut out = BytesMut::from(&first[..]);
                sse::message(&mut out, None, &message);
                out.freeze()
            }
            (Some(first), _) => first,
            (None, Poll::Ready(Some(message))) => {
                let mut out = BytesMut::new();
                sse::message(&mut out, None, &message);
                out.freeze()
            }
            (None, Poll::Ready(None)) => {
                this.done = true;
                if !this.drained.load(Relaxed) {
                    return Poll::Ready(None);
                }
                let mut out = BytesMut::new();
                sse::retry(&mut out, fastrand::u64(RETRY));
                out.freeze()
            }
            (None, Poll::Pending) => {
                std::task::ready!(this.quiet.poll(cx));
                Bytes::from_static(KEEP_ALIVE)
            }
        };
        this.quiet.reset(clock::after(clock::now(), this.keep_alive));
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
