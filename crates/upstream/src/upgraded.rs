//! A connection after a 101 (RFC 9110 section 7.8).

use crate::{
    hold::{Hold, Place},
    io::Io,
};
use bytes::{Buf as _, Bytes};
use holdfast_resilience::Outcome;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Both directions of an upgraded connection, as bytes. It holds the permit and the connection's place in its pool, and
/// closes the connection when dropped. Idle limits are the caller's.
pub struct UpgradedIo {
    io: Io,
    /// What came behind the response head.
    first: Bytes,
    hold: Option<Hold>,
    _place: Place,
}

impl UpgradedIo {
    pub(crate) fn new((io, first): (Io, Bytes), hold: Hold, place: Place) -> Self {
        Self { io, first, hold: Some(hold), _place: place }
    }
}

impl Drop for UpgradedIo {
    fn drop(&mut self) {
        // The upgrade itself was the endpoint's work; how a tunnel ends says nothing about it.
        if let Some(hold) = self.hold.take() {
            hold.end(Outcome::Ok);
        }
    }
}

impl AsyncRead for UpgradedIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.first.is_empty() {
            let count = this.first.len().min(buf.remaining());
            buf.put_slice(&this.first[..count]);
            this.first.advance(count);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for UpgradedIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
