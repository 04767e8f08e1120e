//! The one door from the accept side to the rest.

use crate::{Body, ConnectionInfo, RequestBody};
use http::{Request, Response};
use std::{future::Future, sync::Arc};

/// Answers requests. One value serves all workers.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. It is lent, because it is large and every future that owns one copies it: take out of it what is needed
    /// (`std::mem::take` of its headers, its body, or all of it).
    ///
    /// The future is dropped when the client goes away (HTTP/1 end of file or reset, HTTP/2 `RST_STREAM`): work that must outlive
    /// the client belongs in a task of its own. The answer's body may be dropped at any point for the same reason.
    fn handle(
        self: &Arc<Self>,
        request: &mut Request<RequestBody>,
        connection: &Arc<ConnectionInfo>,
    ) -> impl Future<Output = Response<Body>> + Send;
}
