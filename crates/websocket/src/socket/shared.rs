//! What the two halves share: the stream, what waits to be sent, and where the closing handshake is.

use super::{
    Limits,
    outbox::Outbox,
    phase::{Event, Phase},
    wake::{Half, Waiting},
};
use crate::{Close, Error, Frame, Message, Role, mask};
use bytes::Bytes;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Pieces that one write takes.
const SLICES: usize = 64;
/// Bytes of one write to a stream that takes one piece only: they are put together first.
const STAGE_BYTES: usize = 8192;

/// The shared part, locked for single polls of the stream, never across an await.
#[derive(Debug)]
pub(super) struct Shared<T>(Mutex<Inner<T>>);

#[derive(Debug)]
pub(super) struct Inner<T> {
    io: T,
    pub(super) role: Role,
    limits: Limits,
    outbox: Outbox,
    pub(super) phase: Phase,
    /// Bytes were written since the last flush of the stream.
    unflushed: bool,
    waiting: Arc<Waiting>,
    /// Wakes `waiting`.
    waker: Waker,
}

impl<T> Shared<T> {
    pub(super) fn new(io: T, role: Role, limits: Limits) -> Arc<Self> {
        let waiting = Arc::new(Waiting::default());
        Arc::new(Self(Mutex::new(Inner {
            io,
            role,
            limits,
            outbox: Outbox::default(),
            phase: Phase::Open,
            unflushed: false,
            waker: Waker::from(Arc::clone(&waiting)),
            waiting,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Inner<T> {
    /// Bytes that wait to be sent.
    pub(super) fn unsent(&self) -> usize {
        self.outbox.cost()
    }

    /// Whether a frame of this cost may be queued.
    fn fits(&self, cost: usize) -> bool {
        self.outbox.fits(cost, self.limits.unsent_bytes_max)
    }

    /// Queues a frame of the writer.
    pub(super) fn push(&mut self, frame: Frame) {
        self.outbox.push(frame);
    }

    /// Queues the answer to a ping: as long as the peer's close has not come, also behind ours (section 5.5.2).
    pub(super) fn answer(&mut self, ping: Bytes) -> Result<(), Error> {
        if matches!(self.phase, Phase::Open | Phase::Closing) {
            let frame = frame(self.role, Message::Pong(ping))?;
            self.outbox.pong(frame);
        }
        Ok(())
    }

    /// Takes a step of the closing handshake; `close` is what goes out, if something does. Says whether it does.
    pub(super) fn step(&mut self, event: Event, close: Close) -> Result<bool, Error> {
        let (next, ours) = self.phase.on(event);
        self.phase = next;
        if ours {
            self.outbox.push(frame(self.role, Message::Close(close))?);
        }
        Ok(ours)
    }
}

/// The frame of a message of ours, with a fresh key if we are the client.
pub(super) fn frame(role: Role, message: Message) -> Result<Frame, Error> {
    let key = match role {
        Role::Client => Some(mask::fresh()?),
        Role::Server => None,
    };
    Frame::new(message, key)
}

impl<T: AsyncRead + AsyncWrite + Unpin> Inner<T> {
    /// Writes and flushes everything that waits. Pending: this half is woken when there is more room, or all is out.
    pub(super) fn poll_write(&mut self, half: Half, context: &Context<'_>) -> Poll<Result<(), Error>> {
        if self.outbox.is_empty() && !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        // Before the stream is asked, which may wake at once.
        self.waiting.register(half, context.waker());
        let before = self.outbox.cost();
        let written = self.poll_drain();
        if written.is_ready() || self.outbox.cost() < before {
            // The other one may wait for just this.
            self.waiting.wake_half(half.other());
        }
        match ready!(written) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => {
                self.phase = self.phase.on(Event::Broke).0;
                self.outbox.clear();
                self.unflushed = false;
                Poll::Ready(Err(error.into()))
            }
        }
    }

    /// Room for a frame of this cost of the writer's.
    pub(super) fn poll_room(&mut self, cost: usize, context: &Context<'_>) -> Poll<Result<(), Error>> {
        if self.phase != Phase::Open {
            return Poll::Ready(Err(Error::Closed));
        }
        if self.fits(cost) {
            return Poll::Ready(Ok(()));
        }
        match self.poll_write(Half::Writer, context) {
            Poll::Ready(result) => Poll::Ready(result),
            // Some of it may have gone.
            Poll::Pending if self.fits(cost) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_drain(&mut self) -> Poll<io::Result<()>> {
        let waker = self.waker.clone();
        let context = &mut Context::from_waker(&waker);
        while !self.outbox.is_empty() {
            let written = ready!(self.poll_batch(context))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outbox.advance(written);
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// One write of as much as fits.
    fn poll_batch(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = self.outbox.slices(&mut slices);
        let slices = &slices[..filled];
        let io = Pin::new(&mut self.io);
        if io.is_write_vectored() {
            return io.poll_write_vectored(context, slices);
        }
        let first = slices.first().map_or(&[][..], |slice| slice);
        if first.len() >= STAGE_BYTES || slices.len() < 2 {
            return io.poll_write(context, first);
        }
        let mut stage = [0; STAGE_BYTES];
        let mut end = 0;
        for slice in slices {
            let step = slice.len().min(STAGE_BYTES - end);
            stage[end..end + step].copy_from_slice(&slice[..step]);
            end += step;
        }
        io.poll_write(context, &stage[..end])
    }

    /// The stream, to be read.
    pub(super) fn io(&mut self) -> &mut T {
        &mut self.io
    }

    /// Reads and forgets; 0 is the end.
    pub(super) fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut scratch = [0; 1024];
        let mut scratch = ReadBuf::new(&mut scratch);
        ready!(Pin::new(&mut self.io).poll_read(context, &mut scratch))?;
        Poll::Ready(Ok(scratch.filled().len()))
    }

    /// Ends our side of the stream.
    pub(super) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
