//! The socket under an HTTP connection: plain or TLS, counting what was really written.
//!
//! The count is taken under TLS, at the socket: when no byte was written since a request was begun, nothing of it was sent,
//! whatever an error says.

use crate::slots::Slot;
use socket2::SockRef;
use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// A socket with its place under the endpoint's cap.
pub(crate) struct Io {
    stream: Stream,
    /// Dropped, it tells its peer.
    polite: bool,
    /// After the stream: the place is free once the socket is closed. A probe has none.
    _slot: Option<Slot>,
}

pub(crate) enum Stream {
    Plain(Tcp),
    Tls(Box<TlsStream<Tcp>>),
}

/// A TCP connection that counts.
pub(crate) struct Tcp {
    stream: TcpStream,
    written: u64,
}

impl Io {
    pub(crate) fn new(stream: Stream, slot: Option<Slot>) -> Self {
        Self { stream, polite: false, _slot: slot }
    }

    /// Bytes that the socket took so far; over TLS those of its records.
    pub(crate) fn written(&self) -> u64 {
        self.stream.tcp().written
    }

    /// Whether dropping it says goodbye where the protocol has a word for that: TLS's `close_notify`, without waiting.
    pub(crate) fn keep_polite(&mut self, polite: bool) {
        self.polite = polite;
    }

    /// Whether something came from the peer since the last read: bytes, a close, an error. No system call, unless the event
    /// loop has heard of something. What the event loop has not heard of yet is missed: see [`Self::verify`].
    pub(crate) fn has_news(&self) -> bool {
        let tcp = &self.stream.tcp().stream;
        // Over TLS, plaintext that was decrypted and not taken, or a `close_notify`.
        let held = matches!(&self.stream, Stream::Tls(tls) if !tls.get_ref().1.wants_read());
        held || !matches!(tcp.try_io(Interest::READABLE, || peek(tcp)), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// An error if the peer has closed. On an idle connection any waiting byte means the same: over TLS it is
    /// `close_notify`, in clear text an answer that nobody asked for. Costs one system call.
    pub(crate) fn verify(&self) -> io::Result<()> {
        match peek(&self.stream.tcp().stream) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
            Ok(_) => {
                Err(io::Error::new(io::ErrorKind::ConnectionReset, "the peer closed the idle connection"))
            }
        }
    }
}

fn peek(tcp: &TcpStream) -> io::Result<usize> {
    SockRef::from(tcp).peek(&mut [MaybeUninit::uninit(); 1])
}

impl Drop for Io {
    fn drop(&mut self) {
        if self.polite
            && let Stream::Tls(tls) = &mut self.stream
        {
            // One attempt: a peer that reads nothing learns of the end from TCP.
            let _ = Pin::new(tls).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }
}

impl Stream {
    fn tcp(&self) -> &Tcp {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    /// The server chose HTTP/2 by ALPN (RFC 7301).
    pub(crate) fn negotiated_http2(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.get_ref().1.alpn_protocol() == Some(b"h2"))
    }
}

impl Tcp {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, written: 0 }
    }

    fn count(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &polled {
            self.written += *bytes as u64;
        }
        polled
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
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Stream::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
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

impl AsyncRead for Tcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
