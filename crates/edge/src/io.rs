//! The socket as the HTTP parser sees it: guarded on the way in, watched on the way out.

use crate::{
    answers,
    caps::ConnectionPermit,
    cell::{ConnectionCell, UPGRADE_DENIED, UPGRADE_GRANTED, UPGRADE_OPEN, Verdict, Waiting},
    guard::{Guard, Position, Violation},
};
use std::{
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of a refused client that are read and thrown away, so that closing does not reset the answer away from it.
const MAX_LINGER_BYTES: usize = 256 * 1024;

/// What the guard found, for whoever counts it.
pub(crate) type OnViolation = Box<dyn Fn(Violation) + Send>;

/// Wraps a stream (TCP or TLS). Owns the connection's permit: a tunnel that outlives HTTP still counts.
pub(crate) struct GuardedIo<S> {
    inner: S,
    /// `None` for HTTP/2, whose framing is its own.
    guard: Option<Guard>,
    /// Bytes read but not yet passed; the first `cleared` of them may be.
    stash: Vec<u8>,
    cleared: usize,
    /// The stash has to be looked at again before more is read.
    refeed: bool,
    refusal: Option<Refusal>,
    /// Value of `cell.responses()` when the parser's write buffer was last known to be empty.
    flushed: u32,
    cell: Arc<ConnectionCell>,
    on_violation: OnViolation,
    _permit: ConnectionPermit,
}

struct Refusal {
    answer: &'static [u8],
    written: usize,
    drained: usize,
    shut: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> GuardedIo<S> {
    /// `seen` are bytes already read from the stream.
    pub(crate) fn new(
        inner: S,
        seen: Vec<u8>,
        guard: Option<Guard>,
        cell: Arc<ConnectionCell>,
        permit: ConnectionPermit,
        on_violation: OnViolation,
    ) -> Self {
        let (refeed, cleared) = (guard.is_some(), if guard.is_some() { 0 } else { seen.len() });
        Self {
            inner,
            guard,
            stash: seen,
            cleared,
            refeed,
            refusal: None,
            flushed: 0,
            cell,
            on_violation,
            _permit: permit,
        }
    }

    /// Gives cleared bytes of the stash to the parser.
    fn serve(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let taken = self.cleared.min(buf.remaining());
        if taken == 0 {
            return false;
        }
        buf.put_slice(&self.stash[..taken]);
        self.cleared -= taken;
        if taken == self.stash.len() {
            self.stash = Vec::new();
        } else {
            self.stash.drain(..taken);
        }
        true
    }

    /// Shows the guard what the stash holds beyond what is cleared.
    fn feed_stash(&mut self) {
        self.refeed = false;
        if let Some(guard) = &mut self.guard {
            let heads = guard.heads();
            self.cleared = guard.feed(&self.stash);
            note_heads(&self.cell, heads, guard);
        }
    }

    /// Settles an upgrade that the response decided. Returns whether the guard still waits for one.
    fn settle_upgrade(&mut self) -> bool {
        let Some(guard) = &mut self.guard else { return false };
        if guard.position() != Position::Undecided {
            return false;
        }
        match self.cell.upgrade.load(Relaxed) {
            UPGRADE_GRANTED => guard.tunnel(),
            UPGRADE_DENIED => guard.resume(),
            _ => return true,
        }
        self.cell.upgrade.store(UPGRADE_OPEN, Relaxed);
        self.refeed = true;
        false
    }

    /// Tells the cell what the connection now waits for.
    fn note_wait(&self) {
        let waiting = match self.guard.as_ref().map(Guard::position) {
            None | Some(Position::Between) => Waiting::Idle,
            Some(Position::Head) => Waiting::Head,
            Some(Position::Body) => Waiting::Body,
            Some(Position::Undecided) => Waiting::Nothing,
            Some(Position::Tunnel) => Waiting::Tunnel,
        };
        self.cell.wait_for(waiting);
    }

    fn is_tunnel(&self) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.position() == Position::Tunnel)
    }

    /// Reads what is there and passes what the guard clears. Loops only while bytes arrive that complete nothing.
    fn poll_guarded(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.serve(buf) {
                return Poll::Ready(Ok(()));
            }
            if let Some(violation) = self.guard.as_ref().and_then(Guard::violation) {
                return self.refuse_when_due(violation, cx);
            }
            if self.settle_upgrade() && !self.stash.is_empty() {
                // More came before the answer. It waits: whether it is HTTP is not decided.
                return Poll::Pending;
            }
            if self.refeed {
                self.feed_stash();
                continue;
            }
            let before = buf.filled().len();
            match Pin::new(&mut self.inner).poll_read(cx, buf) {
                Poll::Pending => {
                    self.note_wait();
                    if self.is_tunnel() {
                        self.cell.waker.register(cx.waker());
                    }
                    return Poll::Pending;
                }
                Poll::Ready(result) => result?,
            }
            if buf.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
            if self.take(buf, before) {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Shows new bytes (`buf` beyond `before`) to the guard; keeps back what may not pass yet. Returns whether anything passes.
    fn take(&mut self, buf: &mut ReadBuf<'_>, before: usize) -> bool {
        let Some(guard) = &mut self.guard else {
            self.cell.touch();
            return true;
        };
        if !self.stash.is_empty() {
            self.stash.extend_from_slice(&buf.filled()[before..]);
            buf.set_filled(before);
            self.feed_stash();
            return self.serve(buf);
        }
        let heads = guard.heads();
        let fresh = &buf.filled()[before..];
        let passed = guard.feed(fresh);
        if passed < fresh.len() {
            self.stash.extend_from_slice(&fresh[passed..]);
            buf.set_filled(before + passed);
        }
        match guard.position() {
            Position::Tunnel => self.cell.touch(),
            // Nobody waits until the parser asks for more: a reader that pauses is not a client that stalls.
            Position::Body => self.cell.wait_for(Waiting::Nothing),
            _ => {}
        }
        note_heads(&self.cell, heads, guard);
        passed > 0
    }

    /// Starts the refusal once nothing is owed to the client for earlier requests; until then the parser finishes those.
    fn refuse_when_due(&mut self, violation: Violation, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.cell.violated.swap(true, Relaxed) {
            (self.on_violation)(violation);
        }
        if self.guard.as_ref().is_some_and(|guard| guard.position() == Position::Body) {
            self.cell.broken_body.store(true, Relaxed);
            // The request is already being answered: its body ends in an error, and the service answers 400.
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, violation.reason())));
        }
        if self.cell.in_flight() > 0 || self.flushed != self.cell.responses() {
            return Poll::Pending;
        }
        self.begin_refusal(answers::of(violation));
        self.poll_refuse(cx)
    }

    fn begin_refusal(&mut self, answer: &'static [u8]) {
        self.cell.wait_for(Waiting::Linger);
        self.refusal = Some(Refusal { answer, written: 0, drained: 0, shut: false });
    }

    /// Nothing more is written: reading shuts the sending side, and ends once the client closes, too, or the sweep loses patience.
    pub(crate) fn end(&mut self) {
        self.begin_refusal(b"");
    }

    /// Writes the answer, shuts the sending side, then reads until the client closes too. Ends as end of file; the sweep ends
    /// it earlier if the client stays.
    fn poll_refuse(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(refusal) = &mut self.refusal else { return Poll::Ready(Ok(())) };
        while refusal.written < refusal.answer.len() {
            let rest = &refusal.answer[refusal.written..];
            match ready!(Pin::new(&mut self.inner).poll_write(cx, rest))? {
                0 => return Poll::Ready(Ok(())),
                written => refusal.written += written,
            }
        }
        if !refusal.shut {
            ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
            refusal.shut = true;
        }
        let mut scratch = [0; 4096];
        while refusal.drained < MAX_LINGER_BYTES {
            let mut buf = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buf))?;
            if buf.filled().is_empty() {
                break;
            }
            refusal.drained += buf.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}

/// Notes the heads that have passed since there were `before` of them.
fn note_heads(cell: &ConnectionCell, before: u32, guard: &Guard) {
    let after = guard.heads();
    for _ in before..after {
        cell.request_began();
    }
    if before != after {
        // Before the parser can see the head, and for as long as its request is unanswered: nothing passes behind it.
        cell.asked_upgrade.store(guard.is_upgrading(), Relaxed);
        cell.wait_for(Waiting::Nothing);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for GuardedIo<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refusal.is_some() {
            return this.poll_refuse(cx);
        }
        match this.cell.verdict() {
            Verdict::None | Verdict::DrainIdle => this.poll_guarded(cx, buf),
            Verdict::Head => {
                this.begin_refusal(answers::TIMEOUT);
                this.poll_refuse(cx)
            }
            Verdict::Body | Verdict::Cut => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> GuardedIo<S> {
    fn note_write(&self, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &poll {
            Poll::Pending => self.cell.write_blocked(),
            Poll::Ready(_) => {
                self.cell.write_moved();
                if self.is_tunnel() {
                    self.cell.touch();
                }
            }
        }
        poll
    }

    fn is_cut(&self) -> bool {
        self.cell.verdict() == Verdict::Cut
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GuardedIo<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_cut() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let poll = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.note_write(poll)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_cut() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let poll = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.note_write(poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.inner).poll_flush(cx);
        match &poll {
            Poll::Pending => this.cell.write_blocked(),
            Poll::Ready(_) => {
                this.cell.write_moved();
                let responses = this.cell.responses();
                if this.flushed != responses {
                    this.flushed = responses;
                    // A refusal that waited for this flush is due: the parser has to read once more to find it.
                    if this.cell.violated.load(Relaxed) {
                        cx.waker().wake_by_ref();
                    }
                }
            }
        }
        poll
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match &this.refusal {
            Some(refusal) if refusal.shut => return Poll::Ready(Ok(())),
            Some(_) => {}
            // The client is still sending a body that nobody wants: closing now would reset the answer away from it.
            None if this.guard.as_ref().is_some_and(|guard| guard.position() == Position::Body) => {
                this.begin_refusal(b"");
            }
            None => return Pin::new(&mut this.inner).poll_shutdown(cx),
        }
        this.poll_refuse(cx)
    }
}

impl<S> Drop for GuardedIo<S> {
    fn drop(&mut self) {
        self.cell.close();
    }
}
