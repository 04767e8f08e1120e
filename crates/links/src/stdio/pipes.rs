//! The two pipes of a program that carry messages.

use super::{
    Exit,
    lines::{Lines, TooLong},
    rate::{Line, Rate},
    stderr::shown,
};
use crate::carrier::{MessageSink, MessageStream, SendError, StreamError};
use bytes::{Buf as _, Bytes};
use futures_util::future::BoxFuture;
use holdfast_frames::frame::single_line;
use holdfast_telemetry::metrics::{LinkDrop, LinkMetrics};
use holdfast_upstream::clock;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{ChildStdin, ChildStdout},
};

/// Bytes read at once.
const READ: usize = 64 * 1024;
/// Time for the output of a program that has ended to be read: something it started may hold the pipe open for ever.
const LAST_OUTPUT: Duration = Duration::from_millis(500);

/// Its standard input.
pub(super) struct Input(pub(super) ChildStdin);

impl MessageSink for Input {
    fn send(&mut self, message: Bytes) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(async move {
            // "MUST NOT contain embedded newlines": in valid JSON they are white space.
            let mut line = single_line(&message).chain(&b"\n"[..]);
            self.0.write_all_buf(&mut line).await?;
            Ok(self.0.flush().await?)
        })
    }
}

/// Its standard output.
pub(super) struct Output {
    pipe: ChildStdout,
    exit: Exit,
    ended: Option<tokio::time::Instant>,
    buffer: Box<[u8]>,
    lines: Lines,
    rate: Rate,
    server: Arc<str>,
    label: String,
    metrics: Arc<LinkMetrics>,
}

impl Output {
    pub(super) fn new(
        pipe: ChildStdout,
        exit: Exit,
        message_max: usize,
        (server, label): (&Arc<str>, &str),
        metrics: &Arc<LinkMetrics>,
    ) -> Self {
        Self {
            pipe,
            exit,
            ended: None,
            buffer: vec![0; READ].into(),
            lines: Lines::new(message_max),
            rate: Rate::new(),
            server: Arc::clone(server),
            label: label.to_owned(),
            metrics: Arc::clone(metrics),
        }
    }

    async fn line(&mut self) -> Result<Option<Bytes>, StreamError> {
        loop {
            if let Some(line) = self.lines.next() {
                return line.map(Some).map_err(|TooLong| self.too_large());
            }
            let last = self.ended;
            let read = tokio::select! {
                biased;
                read = self.pipe.read(&mut self.buffer) => read?,
                // Level-triggered: it stays readable.
                _ = self.exit.readable(), if last.is_none() => {
                    self.ended = Some(tokio::time::Instant::now() + LAST_OUTPUT);
                    continue;
                }
                () = at(last) => 0,
            };
            let Some(data) = self.buffer.get(..read).filter(|data| !data.is_empty()) else {
                if self.lines.is_within_a_line() {
                    self.metrics.dropped.inc(LinkDrop::Noise);
                    tracing::debug!(server = &*self.server, label = self.label, "ended within a line");
                }
                return Ok(None);
            };
            self.lines.push(data);
        }
    }

    fn too_large(&self) -> StreamError {
        let (server, label) = (&*self.server, &*self.label);
        tracing::warn!(server, label, "a message above mcp.max_response_bytes ends the link");
        StreamError::TooLarge
    }
}

impl MessageStream for Output {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, StreamError>> {
        Box::pin(self.line())
    }

    fn noise(&mut self, message: &[u8]) {
        match self.rate.line(clock::now()) {
            Line::Logged { suppressed } => {
                let (server, label) = (&*self.server, &*self.label);
                tracing::warn!(server, label, suppressed, line = %shown(message), "not a JSON-RPC message");
            }
            Line::Suppressed => _ = self.metrics.lines_suppressed.inc(),
        }
    }
}

async fn at(when: Option<tokio::time::Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
