//! Which protocol a clear-text connection speaks.

use crate::cell::{ConnectionCell, Verdict, Waiting};
use std::{future::poll_fn, pin::Pin, task::Poll};
use tokio::{
    io::{AsyncRead as _, ReadBuf},
    net::TcpStream,
};

/// What an HTTP/2 client with prior knowledge sends first (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// First read of a clear-text connection: most request heads in one piece.
const SNIFF_BYTES: usize = 4096;

/// Reads until it is clear whether the client speaks HTTP/2; what was read is returned.
pub(crate) async fn sniff(stream: &mut TcpStream, cell: &ConnectionCell) -> std::io::Result<Vec<u8>> {
    let mut seen = Vec::new();
    loop {
        let before = seen.len();
        poll_fn(|cx| {
            // Not in the future: who has not spoken yet holds no buffer.
            let mut space = [0; SNIFF_BYTES];
            let mut buf = ReadBuf::new(&mut space);
            match Pin::new(&mut *stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) => {
                    seen.extend_from_slice(buf.filled());
                    Poll::Ready(Ok(()))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                // An idle connection may be asked to go before it ever spoke.
                Poll::Pending if cell.verdict() != Verdict::None => Poll::Ready(Ok(())),
                Poll::Pending => Poll::Pending,
            }
        })
        .await?;
        if seen.len() == before {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let compared = seen.len().min(PREFACE.len());
        if seen.len() >= PREFACE.len() || seen[..compared] != PREFACE[..compared] {
            return Ok(seen);
        }
        cell.wait_for(Waiting::Head);
    }
}
