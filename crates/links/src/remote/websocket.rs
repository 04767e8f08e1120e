//! A link over a WebSocket: one message in a text frame, the subprotocol `mcp`, as the SDKs speak it.

use super::{CLOSING, Remote, no_link};
use crate::carrier::{Carried, Closer, Dial, MessageSink, MessageStream, SendError, StreamError};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use holdfast_upstream::{CallError, EndpointKey, Target, UpgradedIo, Upstream, clock};
use holdfast_websocket::{
    Close, CloseCode, Error, Fault, Limits, Message, Nonce, Offer, Reader, Role, Socket, Writer,
};
use parking_lot::Mutex;
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

const SUBPROTOCOLS: &[&str] = &["mcp"];
/// What the codec holds of what is sent: the link's own queue stands before it.
const UNSENT_BYTES: usize = 64 * 1024;

type Io = Box<UpgradedIo>;
/// Messages and pings take turns.
type SharedWriter = Arc<tokio::sync::Mutex<Writer<Io>>>;
/// The half that ends the connection, when nobody reads from it any more.
type Returned = Arc<Mutex<Option<Reader<Io>>>>;

pub(super) async fn open(remote: &Remote, upstream: &Upstream, dial: Dial) -> Result<Carried, CallError> {
    let nonce =
        Nonce::random().map_err(|error| no_link(&EndpointKey::from(upstream.name()), error.into()))?;
    let offer = Offer::new(nonce, SUBPROTOCOLS);
    let mut call = remote.dial(dial, Target::Base);
    call.headers.extend(offer.headers());
    call.upgrade = true;
    let reply = upstream.send(call).await?;
    let endpoint = reply.endpoint;
    let (head, _) = reply.response.into_parts();
    // A server that knows no subprotocol names none.
    offer.check(&head).map_err(|rejected| no_link(&endpoint, rejected.into()))?;
    let io = reply.upgraded.ok_or_else(|| no_link(&endpoint, "it did not switch protocols".into()))?;
    let limits = Limits { max_message_bytes: remote.message_max, unsent_bytes_max: UNSENT_BYTES };
    let (reader, writer) = Socket::new(io, Role::Client, limits).split();
    let writer: SharedWriter = Arc::new(tokio::sync::Mutex::new(writer));
    let returned = Returned::default();
    Ok(Carried {
        sink: Box::new(Sink(Arc::clone(&writer))),
        stream: Box::new(Stream {
            reader: Some(reader),
            returned: Arc::clone(&returned),
            writer: Arc::clone(&writer),
            seen: clock::now(),
            interval: remote.ping_interval,
        }),
        closer: Box::new(Ending { writer, returned }),
        label: endpoint.to_string(),
        endpoint,
    })
}

struct Sink(SharedWriter);

impl MessageSink for Sink {
    fn send(&mut self, message: Bytes) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(async move { Ok(self.0.lock().await.send(Message::Text(message)).await.map_err(broken)?) })
    }
}

struct Stream {
    /// None once it was given back.
    reader: Option<Reader<Io>>,
    returned: Returned,
    writer: SharedWriter,
    /// When something came last.
    seen: Instant,
    interval: Duration,
}

impl MessageStream for Stream {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, StreamError>> {
        Box::pin(async move {
            loop {
                let Some(reader) = &mut self.reader else { return Ok(None) };
                // Half a beat, so that a silence is noticed in time.
                let Ok(message) = tokio::time::timeout(self.interval / 2, reader.next()).await else {
                    self.pulse()?;
                    continue;
                };
                self.seen = clock::now();
                match message {
                    Ok(Message::Text(text)) => return Ok(Some(text)),
                    // One JSON-RPC message is a text; whatever else this is, it is not MCP.
                    Ok(Message::Binary(_)) => return Err(io::Error::other("a binary frame").into()),
                    Ok(Message::Ping(_) | Message::Pong(_)) => {}
                    Ok(Message::Close(close)) => {
                        tracing::debug!(code = ?close.code(), reason = close.reason(), "the server closed");
                        return Ok(None);
                    }
                    Err(Error::Protocol(Fault::MessageTooBig)) => return Err(StreamError::TooLarge),
                    Err(error) => return Err(broken(error).into()),
                }
            }
        })
    }

    fn noise(&mut self, message: &[u8]) {
        tracing::debug!(bytes = message.len(), "a text frame that is no JSON-RPC message");
    }
}

impl Stream {
    /// Asks for a sign of life, or says that there was none for too long.
    fn pulse(&self) -> Result<(), StreamError> {
        let silence = clock::now().saturating_duration_since(self.seen);
        if silence >= self.interval * 5 / 2 {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        }
        // Where a message is being written, its answer is the sign. A ping that finds no room is not needed either.
        if silence >= self.interval
            && let Ok(mut writer) = self.writer.try_lock()
        {
            let ping = futures_util::FutureExt::now_or_never(writer.ping(Bytes::new()));
            if let Some(Err(error)) = ping {
                return Err(broken(error).into());
            }
        }
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        *self.returned.lock() = self.reader.take();
    }
}

struct Ending {
    writer: SharedWriter,
    returned: Returned,
}

impl Closer for Ending {
    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let Self { writer, returned } = *self;
            let Some(reader) = returned.lock().take() else { return };
            let close = async {
                // Behind another close, or on a connection that broke, it finds no place.
                let _ = writer.lock().await.feed(Message::Close(Close::new(CloseCode::NORMAL, ""))).await;
            };
            let _ = tokio::time::timeout(CLOSING, close).await;
            drop(writer);
            // A server that does not play along is cut.
            let _ = reader.finish(CLOSING).await;
        })
    }
}

fn broken(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(other),
    }
}
