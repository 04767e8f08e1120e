//! Messages as lines: standard input and output, or any two streams of bytes.

use crate::{
    Conversation,
    queue::{Receiver, Sender},
};
use bytes::{Bytes, BytesMut};
use holdfast_frames::frame::single_line;
use holdfast_mcp::errors::{McpError, Problem};
use holdfast_telemetry::metrics::ConversationEnd;
use holdfast_upstream::clock;
use std::{future::Future, io, time::Duration};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Bytes that are read at once.
const READ_BYTES: usize = 8 * 1024;

/// Limits of the two streams.
#[derive(Clone, Copy, Debug)]
pub struct LineLimits {
    /// Longest line of the client; a longer one is answered with an error and skipped.
    pub line_max: usize,
    /// How long a line may take to be written.
    pub write_timeout: Duration,
    /// After the end of the input, or the wish to leave, what is in flight is answered within this time.
    pub grace: Duration,
}

/// Carries a conversation over lines until the input ends, nobody reads the output any more, or `leave` completes.
pub async fn carry(
    (mut conversation, say, told): (Conversation, Sender, Receiver),
    (input, output): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    limits: LineLimits,
    leave: impl Future<Output = ()> + Send,
) -> ConversationEnd {
    let tell = conversation.teller();
    let run = conversation.run(leave, limits.grace);
    let read = async {
        // The end of the input, and an input that broke, are one: nothing more is said.
        let _ = read(input, limits.line_max, &say, &tell).await;
        say.finish();
        drop(tell);
        std::future::pending::<()>().await;
    };
    let write = write(output, told, limits.write_timeout);
    let talk = async {
        tokio::select! {
            written = write => written.is_ok(),
            () = read => true,
        }
    };
    let (end, written) = tokio::join!(run, talk);
    if written { end } else { ConversationEnd::Gone }
}

/// Says each line that is not empty.
async fn read(
    mut input: impl AsyncRead + Unpin,
    line_max: usize,
    say: &Sender,
    tell: &Sender,
) -> io::Result<()> {
    let mut pending = BytesMut::new();
    let (mut searched, mut skipping) = (0, false);
    loop {
        while let Some(at) = memchr(&pending, searched) {
            let mut line = pending.split_to(at + 1);
            searched = 0;
            line.truncate(at);
            if skipping || line.len() > line_max {
                refuse(tell, &mut skipping).await?;
                skipping = false;
            } else if !line.trim_ascii().is_empty() {
                say.push(line.freeze()).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
            }
        }
        searched = pending.len();
        if pending.len() > line_max {
            refuse(tell, &mut skipping).await?;
            pending.clear();
            searched = 0;
        }
        pending.reserve(READ_BYTES);
        if input.read_buf(&mut pending).await? == 0 {
            // A last line without its end is one that was cut.
            return Ok(());
        }
        if pending.capacity() > READ_BYTES * 8 && pending.len() <= READ_BYTES {
            pending = BytesMut::from(&pending[..]);
        }
    }
}

/// Tells once of a line that is too long.
async fn refuse(tell: &Sender, skipping: &mut bool) -> io::Result<()> {
    if !std::mem::replace(skipping, true) {
        let error = McpError::new(Problem::PayloadTooLarge).detail("more than mcp.max_message_bytes");
        tell.push(error.render(None)).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
    }
    Ok(())
}

fn memchr(bytes: &[u8], from: usize) -> Option<usize> {
    bytes.get(from..)?.iter().position(|byte| *byte == b'\n').map(|at| from + at)
}

/// Writes each message as a line.
async fn write(mut output: impl AsyncWrite + Unpin, mut told: Receiver, timeout: Duration) -> io::Result<()> {
    while let Some(message) = told.next().await {
        // A raw line break in JSON is white space (2026-07-28 "stdio").
        let line = [&single_line(&message)[..], b"\n"].concat();
        let written = async {
            output.write_all(&Bytes::from(line)).await?;
            output.flush().await
        };
        clock::timeout(timeout, written).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "stdio_tests.rs"]
mod tests;
