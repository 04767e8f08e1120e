//! An upgraded connection: bytes in both directions until one side ends, nothing moves for too long, or the process
//! drains.

use crate::websocket::{Frames, GOING_AWAY, SERVICE_RESTART, close};
use holdfast_edge::{DrainHandle, RequestContext};
use holdfast_telemetry::{AccessRecord, RecordOutcome, RouteMetrics};
use holdfast_upstream::UpgradedIo;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

/// Bytes under way per direction.
const BUFFER: usize = 8 * 1024;
/// Time for the frame under way, and for the peers to take the close frame, once a tunnel was told to end.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TunnelLimits {
    /// No byte in either direction for so long ends a tunnel: `server.stream_idle_timeout`.
    pub(crate) idle: Duration,
    /// From our 101 to the client's connection being free.
    pub(crate) handshake: Duration,
    /// Tunnels end spread over this time of a drain, so that their clients do not come back all at once.
    pub(crate) spread: Duration,
}

/// A tunnel that is about to start.
pub(crate) struct Tunnel {
    client: OnUpgrade,
    upstream: UpgradedIo,
    limits: TunnelLimits,
    drain: DrainHandle,
    record: TunnelRecord,
}

/// The access record of a tunnel: written, and counted, when this is dropped.
pub(crate) struct TunnelRecord {
    record: Box<AccessRecord>,
    metrics: Arc<RouteMetrics>,
    started: std::time::Instant,
}

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Both sides finished.
    Whole,
    /// The client's side broke.
    ClientBroke,
    /// The upstream's side broke.
    UpstreamBroke,
    Idle,
    Drained,
}

/// Bytes that passed. Shared with the two directions.
#[derive(Debug, Default)]
struct Traffic {
    to_upstream: AtomicU64,
    to_client: AtomicU64,
    /// Milliseconds from the start to the last byte.
    last: AtomicU64,
}

impl Tunnel {
    pub(crate) fn new(
        client: OnUpgrade,
        upstream: UpgradedIo,
        limits: TunnelLimits,
        drain: DrainHandle,
        record: TunnelRecord,
    ) -> Self {
        Self { client, upstream, limits, drain, record }
    }

    /// Carries the tunnel. Dropping it cuts both sides.
    pub(crate) async fn run(mut self) {
        let record = &mut self.record.record;
        let Ok(Ok(client)) = timeout(self.limits.handshake, self.client).await else {
            record.outcome = RecordOutcome::ClientAbort;
            return;
        };
        let traffic = Traffic::default();
        let end =
            relay(TokioIo::new(client), self.upstream, self.limits, self.drain.closing(), &traffic).await;
        record.bytes_in = traffic.to_upstream.load(Relaxed);
        record.bytes_out = traffic.to_client.load(Relaxed);
        record.reason = if end == End::Idle { "idle" } else { "" };
        record.outcome = match end {
            End::Whole | End::Idle => RecordOutcome::Ok,
            End::ClientBroke => RecordOutcome::ClientAbort,
            End::UpstreamBroke => RecordOutcome::Truncated,
            End::Drained => RecordOutcome::EndedDrain,
        };
    }
}

impl TunnelRecord {
    /// Takes the record out of the request's context.
    pub(crate) fn new(context: &mut RequestContext, metrics: Arc<RouteMetrics>) -> Self {
        let mut record = std::mem::take(&mut context.record);
        record.status = 101;
        record.streaming = true;
        record.first_byte = Some(context.started.elapsed());
        // If the worker ends before the tunnel does, this is what happened.
        record.outcome = RecordOutcome::EndedDrain;
        metrics.tunnels.inc();
        Self { record, metrics, started: context.started }
    }
}

impl Drop for TunnelRecord {
    fn drop(&mut self) {
        self.record.duration = self.started.elapsed();
        self.metrics.tunnels.dec();
        self.metrics.count(&self.record);
        self.record.emit();
    }
}

/// Carries bytes until the tunnel ends. `closing` completes when the process drains.
async fn relay<C, U>(
    client: C,
    upstream: U,
    limits: TunnelLimits,
    closing: impl Future<Output = ()>,
    traffic: &Traffic,
) -> End
where
    C: AsyncRead + AsyncWrite,
    U: AsyncRead + AsyncWrite,
{
    let start = Instant::now();
    let (client_reader, client_writer) = tokio::io::split(client);
    let (upstream_reader, upstream_writer) = tokio::io::split(upstream);
    let (stop, stopped) = watch::channel(false);
    let up = Direction {
        traffic,
        passed: &traffic.to_upstream,
        start,
        stopped: stopped.clone(),
        goodbye: farewell(true),
    };
    let down = Direction { traffic, passed: &traffic.to_client, start, stopped, goodbye: farewell(false) };
    let both = async {
        let up = async {
            up.carry(client_reader, upstream_writer)
                .await
                .map_err(|side| [End::ClientBroke, End::UpstreamBroke][side])
        };
        let down = async {
            down.carry(upstream_reader, client_writer)
                .await
                .map_err(|side| [End::UpstreamBroke, End::ClientBroke][side])
        };
        tokio::try_join!(up, down)
    };
    let drained = async {
        closing.await;
        sleep(DrainHandle::spread(limits.spread, &mut fastrand::Rng::new())).await;
        stop.send_replace(true);
        sleep(CLOSE_GRACE).await;
    };
    tokio::select! {
        ended = both => match ended {
            Ok((true, _) | (_, true)) => End::Drained,
            Ok(_) => End::Whole,
            Err(end) => end,
        },
        () = idle(traffic, start, limits.idle) => End::Idle,
        () = drained => End::Drained,
    }
}

/// Completes when nothing has moved for `limit`.
async fn idle(traffic: &Traffic, start: Instant, limit: Duration) {
    loop {
        let until = start + Duration::from_millis(traffic.last.load(Relaxed)) + limit;
        if until <= Instant::now() {
            return;
        }
        sleep_until(until).await;
    }
}

/// The close frame for one side: to the upstream we are the client.
fn farewell(to_upstream: bool) -> Vec<u8> {
    if to_upstream {
        close(GOING_AWAY, Some(fastrand::u32(..).to_be_bytes()))
    } else {
        close(SERVICE_RESTART, None)
    }
}

/// One direction of a tunnel.
struct Direction<'a> {
    traffic: &'a Traffic,
    passed: &'a AtomicU64,
    start: Instant,
    stopped: watch::Receiver<bool>,
    goodbye: Vec<u8>,
}

/// Which side of a direction failed.
const READER: usize = 0;
const WRITER: usize = 1;

impl Direction<'_> {
    /// Copies until the reader ends (false), or until it was told to stop and a frame has ended (true); then ends the
    /// writer. Fails with the side that broke.
    async fn carry(mut self, reader: impl AsyncRead, writer: impl AsyncWrite) -> Result<bool, usize> {
        let (mut reader, mut writer) = (std::pin::pin!(reader), std::pin::pin!(writer));
        let mut frames = Frames::default();
        let mut buffer = vec![0; BUFFER];
        let stopped = loop {
            if *self.stopped.borrow() && frames.at_boundary() {
                break true;
            }
            let read = tokio::select! {
                read = reader.read(&mut buffer) => read.map_err(|_| READER)?,
                changed = self.stopped.changed(), if !*self.stopped.borrow() => {
                    // The sender outlives both directions.
                    let _ = changed;
                    continue;
                }
            };
            if read == 0 {
                break false;
            }
            let chunk = buffer.get(..read).unwrap_or_default();
            let pass = self.follow(&mut frames, chunk);
            writer.write_all(pass).await.map_err(|_| WRITER)?;
            self.passed.fetch_add(pass.len() as u64, Relaxed);
            self.traffic.last.store(self.start.elapsed().as_millis() as u64, Relaxed);
        };
        let end = async {
            if stopped {
                writer.write_all(&self.goodbye).await?;
            }
            writer.flush().await?;
            writer.shutdown().await
        };
        match end.await {
            // The other side was faster: it has all it wanted.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(stopped),
            Err(_) => Err(WRITER),
            Ok(()) => Ok(stopped),
        }
    }

    /// Follows the frames of a chunk. Once told to stop, what comes after the end of a frame is not passed.
    fn follow<'b>(&self, frames: &mut Frames, chunk: &'b [u8]) -> &'b [u8] {
        let stop = *self.stopped.borrow();
        let mut taken = 0;
        while taken < chunk.len() {
            taken += frames.advance(chunk.get(taken..).unwrap_or_default());
            if stop && frames.at_boundary() {
                break;
            }
        }
        chunk.get(..taken).unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "tunnel_tests.rs"]
mod tests;
