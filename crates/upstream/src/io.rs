//! The socket under an HTTP connection: plain or TLS, counting what was really written.
//!
//! The count makes an exact statement possible where the HTTP library only knows that something failed: when no byte
//! was written since the request was handed over, nothing was sent.

use crate::slots::Slot;
use socket2::SockRef;
use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// What the owner of a connection knows about its socket.
#[derive(Default)]
pub(crate) struct Wire {
    written: AtomicU64,
    verify: AtomicBool,
}

impl Wire {
    /// Bytes that went to the socket so far.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Before the next write, look whether the peer has closed. Costs one system call: for requests that cannot be
    /// repeated, on connections that were idle.
    pub(crate) fn verify_before_write(&self) {
        self.verify.store(true, Ordering::Release);
    }
}

/// A socket with its place under the endpoint's cap.
pub(crate) struct Io {
    stream: Stream,
    wire: Arc<Wire>,
    /// After the stream: the place is free once the socket is closed.
    _slot: Slot,
}

pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Io {
    pub(crate) fn new(stream: Stream, wire: Arc<Wire>, slot: Slot) -> Self {
        Self { stream, wire, _slot: slot }
    }

    fn before_write(&self) -> io::Result<()> {
        if self.wire.verify.load(Ordering::Relaxed) && self.wire.verify.swap(false, Ordering::AcqRel) {
            return self.stream.verify();
        }
        Ok(())
    }

    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.wire.written.fetch_add(*bytes as u64, Ordering::AcqRel);
        }
        written
    }
}

impl Stream {
    /// An error if the peer has closed. On an idle connection any waiting byte means the same: over TLS it is
    /// `close_notify`, in clear text an answer that nobody asked for.
    fn verify(&self) -> io::Result<()> {
        let socket = match self {
            Self::Plain(tcp) => SockRef::from(tcp),
            Self::Tls(tls) => SockRef::from(tls.get_ref().0),
        };
        match socket.peek(&mut [MaybeUninit::uninit(); 1]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
            Ok(_) => {
                Err(io::Error::new(io::ErrorKind::ConnectionReset, "the peer closed the idle connection"))
            }
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.before_write()?;
        let written = match &mut this.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        };
        this.count(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.before_write()?;
        let written = match &mut this.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Stream::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        };
        this.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(tcp) => tcp.is_write_vectored(),
            Stream::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
