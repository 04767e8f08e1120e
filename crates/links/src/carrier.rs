//! How messages are carried to one kind of server. Everything else is the same for all kinds.

use crate::switchboard::Owner;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use holdfast_upstream::{CallError, EndpointKey};
use std::{io, time::Instant};

/// Opens links to one server. Its methods run on the runtime of the links.
pub trait Carrier: Send + Sync + 'static {
    /// A new link. Cancel safe: dropping it leaves nothing behind. Whatever it fails with, no message was sent.
    fn open(&self, dial: Dial) -> BoxFuture<'_, Result<Carried, CallError>>;

    /// The endpoints that a link can be opened to now.
    fn endpoints(&self) -> Vec<EndpointKey>;

    /// How many these are.
    fn endpoint_count(&self) -> usize;
}

/// A link that is wanted.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Whose it is.
    pub principal: Owner,
    /// The only endpoint that will do.
    pub pin: Option<EndpointKey>,
    /// Endpoints to use only if there is no other.
    pub avoid: Vec<EndpointKey>,
    /// When it must be open.
    pub until: Instant,
}

/// An open link.
pub struct Carried {
    /// Towards the server.
    pub sink: Box<dyn MessageSink>,
    /// From the server.
    pub stream: Box<dyn MessageStream>,
    /// Ends it in order.
    pub closer: Box<dyn Closer>,
    /// Where it leads.
    pub endpoint: EndpointKey,
    /// What an operator can find it by: a process id, an address.
    pub label: String,
}

/// Towards the server. Dropped before [`Closer::close`].
pub trait MessageSink: Send {
    /// Writes one JSON-RPC message. Ends when the server's side took it, or when the next one may follow.
    fn send(&mut self, message: Bytes) -> BoxFuture<'_, Result<(), SendError>>;

    /// What became of messages whose [`send`](Self::send) has ended: it ends when one of them failed. Cancel safe.
    fn failed(&mut self) -> BoxFuture<'_, SendError> {
        Box::pin(std::future::pending())
    }
}

/// From the server. Dropped before [`Closer::close`].
pub trait MessageStream: Send {
    /// The next message; `None` at a clean end. Holds at most the largest message that is allowed. Cancel safe.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, StreamError>>;

    /// What [`next`](Self::next) brought is no JSON-RPC message.
    fn noise(&mut self, message: &[u8]);
}

/// Ends a link.
pub trait Closer: Send {
    /// Returns when nothing is left of the link at this side of the wire.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// Why a message did not reach the server.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Neither does any other: the link ends.
    #[error("{0}")]
    Broken(#[from] io::Error),
    /// This one alone.
    #[error("{why}")]
    Refused {
        /// What was to be sent.
        message: Bytes,
        /// For whoever sent it.
        why: String,
    },
}

/// Why nothing more can be read.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// A message above the limit.
    #[error("a message above mcp.max_response_bytes")]
    TooLarge,
    /// It broke off.
    #[error("{0}")]
    Broken(#[from] io::Error),
}
