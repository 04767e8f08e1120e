//! Floods of HTTP/2 frames and bodies without end: the connection is closed, memory stays flat, neighbours go on.

use crate::{
    Site,
    frames::{
        self, CANCEL, CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame,
    },
    raw, unharmed,
};
use holdfast_tests::{Result, wait};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// Time within which a flood must be stopped.
const LIMIT: Duration = Duration::from_mins(1);
/// What a flood may cost in resident memory, in KiB.
const GROWTH_KIB: u64 = 64 << 10;
/// Streams opened and reset (CVE-2023-44487).
const RESETS: u32 = 50_000;
/// CONTINUATION frames of 16 KiB after one head (VU#421644).
const CONTINUATIONS: usize = 5_000;

/// RFC 7541: GET, http and the two other pseudo headers as literals that are not indexed.
fn head(path: &str) -> Vec<u8> {
    let literal = |index: u8, value: &str| {
        [&[index, u8::try_from(value.len()).unwrap_or(u8::MAX)], value.as_bytes()].concat()
    };
    [vec![0x82, 0x86], literal(0x04, path), literal(0x01, "localhost")].concat()
}

/// A connection after its preface.
async fn connect(site: &Site) -> Result<(OwnedReadHalf, OwnedWriteHalf)> {
    let mut socket = TcpStream::connect(site.gateway.address).await?;
    socket.write_all(PREFACE).await?;
    socket.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    Ok(socket.into_split())
}

/// Reads frames until the peer closes; true if it said GOAWAY before.
async fn read_to_the_end(mut half: OwnedReadHalf) -> bool {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ = half.read_to_end(&mut bytes).await;
    frames::goaway(&bytes).is_some()
}

/// Runs a flood beside neighbours and looks at memory before and after.
async fn flood(title: &str, frames: impl Iterator<Item = Vec<u8>>) -> Result {
    let site = Site::start(&[]).await?;
    let crowd = site.neighbours().await?;
    crowd.safe_requests(100, LIMIT).await?;
    let before = site.gateway.memory()?;
    let (read, mut write) = connect(&site).await?;
    let reader = tokio::spawn(read_to_the_end(read));
    let mut sent = 0_u64;
    let stopped = wait::within(title, LIMIT, async {
        for bytes in frames {
            if write.write_all(&bytes).await.is_err() {
                return Ok(true);
            }
            sent += 1;
        }
        Ok(false)
    });
    let refused = stopped.await?;
    drop(write);
    let farewell = wait::within("the end of the connection", LIMIT, async { Ok(reader.await?) }).await?;
    let after = site.gateway.memory()?;
    println!("{title}: {sent} frames taken, GOAWAY {farewell}, {before} KiB before, {after} KiB after");
    assert!(refused || farewell, "the flood of {sent} frames was not stopped");
    assert!(after < before + GROWTH_KIB, "memory grew from {before} to {after} KiB");
    unharmed(title, crowd, &site).await
}

#[tokio::test]
async fn rapid_reset_is_stopped() -> Result {
    let frames = (0..RESETS).map(|turn| {
        let stream = 2 * turn + 1;
        [
            frame(HEADERS, END_STREAM | END_HEADERS, stream, &head("/plain/reset")),
            frame(RST_STREAM, 0, stream, &CANCEL),
        ]
        .concat()
    });
    flood("HTTP/2 rapid reset", frames).await
}

#[tokio::test]
async fn a_continuation_flood_is_stopped() -> Result {
    // RFC 7541 section 6.2.2: a literal that is not indexed, with a new name, again and again.
    let line =
        b"\x00\x03x-a\x7f\x81\x01".iter().copied().chain(std::iter::repeat_n(b'a', 256)).collect::<Vec<_>>();
    let block = line.repeat(16_000 / line.len());
    let first = frame(HEADERS, 0, 1, &head("/plain/continuation"));
    let rest = std::iter::repeat_with(move || frame(CONTINUATION, 0, 1, &block)).take(CONTINUATIONS);
    flood("HTTP/2 CONTINUATION flood", std::iter::once(first).chain(rest)).await
}

#[tokio::test]
async fn a_body_without_end_is_cut_at_its_limit() -> Result {
    let site = Site::start(&["max_body_bytes: 1MiB"]).await?;
    let crowd = site.neighbours().await?;
    let before = site.gateway.memory()?;
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for path in ["/plain/endless", "/mcp/tools"] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        // 64 MiB and no last chunk: far beyond both limits.
        let endless = [head.as_str(), &chunk.repeat(1024)].concat();
        let answer = raw::until_closed(site.gateway.address, endless.as_bytes()).await?;
        let statuses = raw::statuses(&answer);
        assert!(matches!(statuses.as_slice(), [413] | []), "{path}: {}", String::from_utf8_lossy(&answer));
    }
    let after = site.gateway.memory()?;
    assert!(after < before + GROWTH_KIB, "memory grew from {before} to {after} KiB");
    unharmed("bodies without end", crowd, &site).await
}
