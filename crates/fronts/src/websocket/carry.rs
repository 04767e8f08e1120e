//! A conversation over a WebSocket: frames in, frames out, a pulse.

use super::record::Traffic;
use crate::{
    Conversation,
    queue::{Receiver, Sender},
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use holdfast_telemetry::metrics::ConversationEnd;
use holdfast_upstream::clock::{self, Alarm};
use holdfast_websocket::{Close, CloseCode, Error, Message, Reader, Writer};
use parking_lot::Mutex;
use std::{
    future::Future,
    time::{Duration, Instant},
};
use tokio::io::{AsyncRead, AsyncWrite};

/// How long the closing handshake may take.
const CLOSING: Duration = Duration::from_secs(5);

/// How a connection is seen to be alive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pulse {
    /// Pause between two pings. Nothing for 2.5 of them: dead.
    pub(super) interval: Duration,
    /// How long a message may take to be written.
    pub(super) write_timeout: Duration,
}

/// Why the frames ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// The conversation ended first: all it had to tell is written.
    Told,
    /// The client closed, and is done.
    Parted,
    /// The client closed for another reason.
    Closed,
    /// The connection broke or ended without a close.
    Lost,
    /// The client broke the protocol of frames; the codec has said so.
    Fault,
    /// A frame of another kind than text.
    Binary,
    /// No sign of life.
    Silent,
    /// Nothing could be written.
    Stuck,
}

/// What the two directions and the pulse share; they are one task.
struct Life(Mutex<Signs>);

struct Signs {
    /// The last one.
    seen: Instant,
    /// The conversation lets nothing in: silence is ours, not the client's.
    busy: bool,
    traffic: Traffic,
}

impl Life {
    fn new() -> Self {
        Self(Mutex::new(Signs { seen: clock::now(), busy: false, traffic: Traffic::default() }))
    }

    /// Something came.
    fn sign(&self) {
        self.0.lock().seen = clock::now();
    }

    fn said(&self, bytes: usize) {
        let mut signs = self.0.lock();
        signs.traffic.said += bytes as u64;
        signs.busy = true;
    }

    fn let_in(&self) {
        let mut signs = self.0.lock();
        (signs.busy, signs.seen) = (false, clock::now());
    }

    fn told(&self, bytes: usize) {
        self.0.lock().traffic.told += bytes as u64;
    }

    /// For how long nothing came that could have come.
    fn silence(&self) -> Duration {
        let signs = self.0.lock();
        if signs.busy { Duration::ZERO } else { clock::now().saturating_duration_since(signs.seen) }
    }
}

/// Carries a conversation until either side ends it, with the closing handshake that belongs to the reason.
pub(super) fn carry<T: AsyncRead + AsyncWrite + Unpin + Send>(
    conversation: &mut Conversation,
    (say, told): (Sender, Receiver),
    (mut reader, mut writer): (Reader<T>, Writer<T>),
    pulse: Pulse,
    grace: Duration,
    leave: impl Future<Output = ()> + Send,
) -> impl Future<Output = (ConversationEnd, Traffic)> + Send {
    // A block holds what it is given once; an async function would hold it twice, for as long as the connection is open.
    async move {
        let (life, parting) = (Life::new(), conversation.parting());
        let frames = async {
            let mut told = told;
            let over = tokio::select! {
                over = listen(&mut reader, say, &life) => over,
                over = speak(&mut writer, &mut told, &pulse, &life) => over,
            };
            if over == Over::Parted {
                parting.for_good();
            }
            over
            // The conversation hears by `told` being dropped here that nobody listens any more.
        };
        let (end, over) = tokio::join!(conversation.run(leave, grace), frames);
        let (end, close) = verdict(end, over);
        // In a box: it takes no room in a conversation that goes on.
        Box::pin(part(reader, writer, close, over)).await;
        (end, life.0.into_inner().traffic)
    }
}

/// The closing handshake.
async fn part<T: AsyncRead + AsyncWrite + Unpin + Send>(
    reader: Reader<T>,
    mut writer: Writer<T>,
    close: Option<(CloseCode, &'static str)>,
    over: Over,
) {
    if let Some((code, reason)) = close {
        // A close that cannot be queued stands behind another one.
        let _ = writer.feed(Message::Close(Close::new(code, reason))).await;
    }
    drop(writer);
    if !matches!(over, Over::Lost | Over::Stuck | Over::Silent) {
        // A client that does not play along is cut.
        let _ = reader.finish(CLOSING).await;
    }
}

/// How it is counted, and what the close frame says.
fn verdict(end: ConversationEnd, over: Over) -> (ConversationEnd, Option<(CloseCode, &'static str)>) {
    match over {
        Over::Told => {
            let close = match end {
                ConversationEnd::Drained => (CloseCode::SERVICE_RESTART, "draining"),
                ConversationEnd::Unwelcome => (CloseCode::POLICY, "the credential is not valid any more"),
                ConversationEnd::Stuck => (CloseCode::POLICY, "nothing was read in time"),
                ConversationEnd::Whole | ConversationEnd::Gone | ConversationEnd::Broken => {
                    (CloseCode::NORMAL, "")
                }
            };
            (end, Some(close))
        }
        Over::Parted | Over::Closed => (ConversationEnd::Whole, None),
        Over::Lost => (ConversationEnd::Gone, None),
        Over::Fault | Over::Silent => (ConversationEnd::Broken, None),
        Over::Binary => (ConversationEnd::Broken, Some((CloseCode::UNSUPPORTED, "text frames only"))),
        Over::Stuck => (ConversationEnd::Stuck, None),
    }
}

/// Says what the client sends.
async fn listen<T: AsyncRead + AsyncWrite + Unpin + Send>(
    reader: &mut Reader<T>,
    say: Sender,
    life: &Life,
) -> Over {
    loop {
        let message = reader.next().await;
        life.sign();
        match message {
            Ok(Message::Text(text)) => {
                life.said(text.len());
                let said = say.push(text).await;
                life.let_in();
                if said.is_err() {
                    // The conversation ends; what it has to tell is still written.
                    return std::future::pending().await;
                }
            }
            Ok(Message::Binary(_)) => return Over::Binary,
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            Ok(Message::Close(close)) => {
                let done = close.code().is_none_or(|code| code == CloseCode::NORMAL);
                return if done { Over::Parted } else { Over::Closed };
            }
            Err(Error::Protocol(_)) => return Over::Fault,
            Err(_) => return Over::Lost,
        }
    }
}

/// Writes what the client is told, and pings.
async fn speak<T: AsyncRead + AsyncWrite + Unpin + Send>(
    writer: &mut Writer<T>,
    told: &mut Receiver,
    pulse: &Pulse,
    life: &Life,
) -> Over {
    let mut beat = Alarm::new(clock::after(clock::now(), pulse.interval));
    loop {
        let next = tokio::select! {
            message = told.next() => Some(message),
            () = std::future::poll_fn(|cx| beat.poll(cx)) => None,
        };
        let written = match next {
            Some(None) => return Over::Told,
            Some(Some(message)) => {
                clock::timeout(pulse.write_timeout, write(writer, told, message, life)).await
            }
            None => {
                let silence = life.silence();
                if silence >= pulse.interval * 5 / 2 {
                    return Over::Silent;
                }
                // Half a beat, so that the silence is noticed in time.
                beat.reset(clock::after(clock::now(), pulse.interval / 2));
                if silence < pulse.interval / 2 {
                    continue;
                }
                clock::timeout(pulse.write_timeout, writer.ping(Bytes::new())).await
            }
        };
        match written {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Over::Lost,
            Err(clock::Elapsed) => return Over::Stuck,
        }
    }
}

/// One message, and with it those that wait behind it: one write for all.
async fn write<T: AsyncRead + AsyncWrite + Unpin + Send>(
    writer: &mut Writer<T>,
    told: &mut Receiver,
    first: Bytes,
    life: &Life,
) -> Result<(), Error> {
    let mut next = Some(first);
    while let Some(message) = next {
        life.told(message.len());
        writer.feed(Message::Text(message)).await?;
        next = told.next().now_or_never().flatten();
    }
    writer.flush().await
}
