//! The one door from the accept side to the rest.

use crate::{Body, ConnectionInfo};
use http::{Request, Response};
use hyper::body::Incoming;
use std::{future::Future, sync::Arc};

/// Answers requests. One value serves all workers.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    ///
    /// The future is dropped when the client goes away (HTTP/1 end of file or reset, HTTP/2 `RST_STREAM`): work that must outlive
    /// the client belongs in a task of its own. The answer's body may be dropped at any point for the same reason.
    fn handle(
        self: &Arc<Self>,
        request: Request<Incoming>,
        connection: &Arc<ConnectionInfo>,
    ) -> impl Future<Output = Response<Body>> + Send;
}
