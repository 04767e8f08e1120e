//! What a program says on its standard error, line by line into the log.

use super::rate::{Line, Rate};
use holdfast_telemetry::metrics::LinkMetrics;
use holdfast_upstream::clock;
use std::{borrow::Cow, sync::Arc, time::Duration};
use tokio::{io::AsyncReadExt as _, process::ChildStderr};

/// Longest part of a line that is logged.
const SHOWN: usize = 2048;
/// Bytes read at once.
const READ: usize = 16 * 1024;
/// A program that says more than this in one [`BREATH`] waits for the next: reading is work, too.
const BYTES_PER_BREATH: usize = 1 << 20;
const BREATH: Duration = Duration::from_millis(100);

/// Logs until the program closes its standard error.
pub(super) async fn log(mut pipe: ChildStderr, server: Arc<str>, label: String, metrics: Arc<LinkMetrics>) {
    let mut rate = Rate::new();
    let mut buffer = vec![0; READ];
    let mut line: Vec<u8> = Vec::new();
    let (mut since, mut bytes) = (clock::now(), 0);
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        let mut rest = buffer.get(..read).unwrap_or_default();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            keep(&mut line, &rest[..end]);
            say(&mut rate, &line, &server, &label, &metrics);
            line.clear();
            rest = &rest[end + 1..];
        }
        keep(&mut line, rest);
        let now = clock::now();
        if now.saturating_duration_since(since) >= BREATH {
            (since, bytes) = (now, 0);
        }
        bytes += read;
        if bytes >= BYTES_PER_BREATH {
            tokio::time::sleep(BREATH).await;
        }
    }
    say(&mut rate, &line, &server, &label, &metrics);
}

/// The rest of a long line is dropped.
fn keep(line: &mut Vec<u8>, more: &[u8]) {
    let room = SHOWN.saturating_sub(line.len());
    line.extend_from_slice(&more[..more.len().min(room)]);
}

fn say(rate: &mut Rate, line: &[u8], server: &str, label: &str, metrics: &LinkMetrics) {
    if line.trim_ascii().is_empty() {
        return;
    }
    match rate.line(clock::now()) {
        Line::Logged { suppressed } => {
            tracing::info!(server, label, suppressed, line = %shown(line), "standard error");
        }
        Line::Suppressed => _ = metrics.lines_suppressed.inc(),
    }
}

/// As text on one line, cut.
pub(super) fn shown(line: &[u8]) -> String {
    let cut = &line[..line.len().min(SHOWN)];
    let text: Cow<'_, str> = String::from_utf8_lossy(cut);
    text.trim_end().chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
