//! How messages are carried to one kind of server. Everything else is the same for all kinds.

use crate::switchboard::Owner;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::{io, time::Instant};

/// Opens links to one server. Its methods run on the runtime of the links.
pub trait Carrier: Send + Sync + 'static {
    /// A new link for `principal`, open before `until`. Cancel safe: dropping it leaves nothing behind.
    fn open(&self, principal: Owner, until: Instant) -> BoxFuture<'_, Result<Carried, OpenError>>;
}

/// An open link.
pub struct Carried {
    /// Towards the server.
    pub sink: Box<dyn MessageSink>,
    /// From the server.
    pub stream: Box<dyn MessageStream>,
    /// Ends it in order.
    pub closer: Box<dyn Closer>,
    /// What an operator can find it by: a process id, an address.
    pub label: String,
}

/// Towards the server. Dropped before [`Closer::close`].
pub trait MessageSink: Send {
    /// Writes one JSON-RPC message. Ends when the server's side took it; an error ends the link.
    fn send(&mut self, message: Bytes) -> BoxFuture<'_, io::Result<()>>;
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

/// Why a link is not open. Nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(pub Box<dyn std::error::Error + Send + Sync>);

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
