//! Bytes inside Noise: frames of a length (u16) and as much ciphertext.

use snow::TransportState;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most plain bytes of a frame: one HTTP/2 DATA frame of the usual size.
pub(crate) const PLAIN_MAX: usize = 16 * 1024;

const HEAD_LEN: usize = 2;
const TAG_LEN: usize = 16;
const SEALED_MAX: usize = PLAIN_MAX + TAG_LEN;

/// Frames in one direction under one key. Far below what AES-GCM bears (2^24.5 full records; RFC 8446, 5.5).
const FRAMES_PER_KEY: u64 = 1 << 20;

const _: () = assert!(SEALED_MAX <= u16::MAX as usize);

/// A stream of bytes over `io`. Memory: two buffers of a frame each.
pub(crate) struct NoiseStream<T> {
    io: T,
    transport: TransportState,
    reading: Reading,
    writing: Writing,
}

struct Reading {
    /// A frame as it arrives.
    frame: Box<[u8]>,
    have: usize,
    plain: Box<[u8]>,
    /// What of `plain` is not taken yet.
    from: usize,
    to: usize,
    frames: u64,
}

struct Writing {
    frame: Box<[u8]>,
    from: usize,
    to: usize,
    frames: u64,
}

impl<T> NoiseStream<T> {
    pub(crate) fn new(io: T, transport: TransportState) -> Self {
        let frame = || vec![0; HEAD_LEN + SEALED_MAX].into_boxed_slice();
        let plain = vec![0; PLAIN_MAX].into_boxed_slice();
        Self {
            io,
            transport,
            reading: Reading { frame: frame(), have: 0, plain, from: 0, to: 0, frames: 0 },
            writing: Writing { frame: frame(), from: 0, to: 0, frames: 0 },
        }
    }
}

/// How many bytes the frame that begins like this has in all; `None` = its head is not there yet.
pub(crate) fn frame_len(begin: &[u8]) -> io::Result<Option<usize>> {
    let Some(head) = begin.first_chunk::<HEAD_LEN>() else { return Ok(None) };
    let sealed = usize::from(u16::from_be_bytes(*head));
    // A frame without a byte in it would let somebody keep us busy for nothing.
    if sealed <= TAG_LEN || sealed > SEALED_MAX {
        return Err(broken("a frame of an impossible length"));
    }
    Ok(Some(HEAD_LEN + sealed))
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<T: AsyncRead + Unpin> NoiseStream<T> {
    /// Makes `plain` hold something; `false` = the other side has ended between two frames.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let reading = &mut self.reading;
        loop {
            let need = frame_len(&reading.frame[..reading.have])?;
            if need == Some(reading.have) {
                break;
            }
            let mut rest = ReadBuf::new(&mut reading.frame[reading.have..need.unwrap_or(HEAD_LEN)]);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut rest))?;
            let got = rest.filled().len();
            if got == 0 && reading.have == 0 {
                return Poll::Ready(Ok(false));
            }
            if got == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            reading.have += got;
        }
        let sealed = &reading.frame[HEAD_LEN..reading.have];
        let len = self.transport.read_message(sealed, &mut reading.plain);
        let len = len.map_err(|_| broken("a frame that does not open"))?;
        (reading.have, reading.from, reading.to) = (0, 0, len);
        reading.frames += 1;
        if reading.frames.is_multiple_of(FRAMES_PER_KEY) {
            self.transport.rekey_incoming();
        }
        Poll::Ready(Ok(true))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for NoiseStream<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if this.reading.from == this.reading.to && !ready!(this.poll_frame(cx))? {
            return Poll::Ready(Ok(()));
        }
        let ready = &this.reading.plain[this.reading.from..this.reading.to];
        let taken = ready.len().min(buf.remaining());
        buf.put_slice(&ready[..taken]);
        this.reading.from += taken;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> NoiseStream<T> {
    /// Hands the frame that is being written over to the system.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let writing = &mut self.writing;
        while writing.from < writing.to {
            let rest = &writing.frame[writing.from..writing.to];
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, rest))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            writing.from += sent;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for NoiseStream<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(this.poll_drain(cx))?;
        let taken = bytes.len().min(PLAIN_MAX);
        let writing = &mut this.writing;
        let (head, body) = writing.frame.split_at_mut(HEAD_LEN);
        let sealed = this.transport.write_message(&bytes[..taken], body);
        let sealed = sealed.map_err(|_| broken("a frame could not be sealed"))?;
        if sealed != taken + TAG_LEN {
            return Poll::Ready(Err(broken("a frame could not be sealed")));
        }
        head.copy_from_slice(&(sealed as u16).to_be_bytes());
        (writing.from, writing.to) = (0, HEAD_LEN + sealed);
        writing.frames += 1;
        if writing.frames.is_multiple_of(FRAMES_PER_KEY) {
            this.transport.rekey_outgoing();
        }
        // The bytes are ours now. That the system takes them all at once is usual, not needed.
        match this.poll_drain(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}
