//! What a conversation's messages are given to.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use holdfast_edge::{Body, ConnectionInfo, RequestContext};
use http::{Request, Response};
use http_body_util::Full;

/// A Streamable HTTP server, and the rules of who may use it. Made for one client's connection.
pub trait Service: Send + Sync + 'static {
    /// Answers one request. Dropping the future cancels a modern request and never a legacy one.
    fn answer<'s>(
        &'s self,
        context: &'s mut RequestContext,
        request: Request<Full<Bytes>>,
        connection: &'s ConnectionInfo,
    ) -> BoxFuture<'s, Response<Body>>;

    /// Whether the credential that the connection began with still names the same principal: a token expires, a key is taken away.
    fn is_welcome(&self) -> bool;
}
