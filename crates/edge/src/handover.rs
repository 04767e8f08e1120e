//! How a connection's socket comes back from the HTTP library while that is still at work.
//!
//! The library owns the socket and a request's answer; what drives it can only drop it as a whole. So the answer is *offered* here
//! before the library sees it, and the socket is *lent*: whoever takes the offer drops the library, and the socket comes home.

use crate::service::Tracked;
use http::Response;
use parking_lot::Mutex;
use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Where an answer waits for whoever drives its connection: one at a time, as HTTP/1 has it.
#[derive(Default)]
pub(crate) struct Offer {
    made: AtomicBool,
    response: Mutex<Option<Response<Tracked>>>,
}

impl Offer {
    /// Offers an answer. The future gives it back if it is declined, and is dropped with the library if it is taken.
    pub(crate) fn make(&self, response: Response<Tracked>) -> impl Future<Output = Response<Tracked>> {
        *self.response.lock() = Some(response);
        self.made.store(true, Relaxed);
        poll_fn(|_| {
            // The same task polls this and decides: it polls again once it has.
            if self.made.load(Relaxed) {
                return Poll::Pending;
            }
            self.response.lock().take().map_or(Poll::Pending, Poll::Ready)
        })
    }

    /// Whether an answer waits.
    pub(crate) fn is_made(&self) -> bool {
        self.made.load(Relaxed)
    }

    pub(crate) fn take(&self) -> Option<Response<Tracked>> {
        self.made.store(false, Relaxed);
        self.response.lock().take()
    }

    /// The library answers after all, when it is polled next.
    pub(crate) fn decline(&self) {
        self.made.store(false, Relaxed);
    }
}

/// Where a lent socket comes back to, if it is called for.
pub(crate) struct Home<T> {
    called: AtomicBool,
    /// In a box: mostly nothing comes.
    io: Mutex<Option<Box<T>>>,
}

impl<T> Home<T> {
    /// A home, and what is lent out of it.
    pub(crate) fn lend(io: T) -> (Arc<Self>, Lent<T>) {
        let home = Arc::new(Self { called: AtomicBool::new(false), io: Mutex::new(None) });
        (Arc::clone(&home), Lent { io: Some(io), home })
    }

    /// From now on the socket is kept when its borrower is dropped.
    pub(crate) fn call(&self) {
        self.called.store(true, Relaxed);
    }

    /// What came back.
    pub(crate) fn take(&self) -> Option<Box<T>> {
        self.io.lock().take()
    }
}

/// A socket that goes home when it is dropped.
pub(crate) struct Lent<T> {
    /// There until the drop.
    io: Option<T>,
    home: Arc<Home<T>>,
}

impl<T: Unpin> Lent<T> {
    fn io(self: Pin<&mut Self>) -> io::Result<Pin<&mut T>> {
        self.get_mut().io.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Lent<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Lent<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.io()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_shutdown(cx)
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        if self.home.called.load(Relaxed) {
            *self.home.io.lock() = self.io.take().map(Box::new);
        }
    }
}
