//! How conversations end while the process drains.

use futures_util::future::{BoxFuture, FutureExt as _};
use holdfast_config::Server;
use holdfast_edge::DrainHandle;
use std::time::Duration;

/// Times of the end of a conversation.
#[derive(Clone, Copy, Debug)]
pub struct Carriage {
    /// Conversations end spread over this time of a drain, so that their clients do not come back all at once.
    pub spread: Duration,
    /// What is in flight then is answered within this time.
    pub grace: Duration,
}

impl Carriage {
    /// Half of the drain for the spread, a quarter for what is in flight: the last of them ends before the hard stop.
    pub fn new(server: &Server) -> Self {
        Self { spread: server.max_drain / 2, grace: server.max_drain / 4 }
    }
}

/// Completes when a conversation should end because the process drains.
pub(crate) fn polite(drain: &DrainHandle, spread: Duration) -> BoxFuture<'static, ()> {
    let drain = drain.clone();
    async move {
        drain.closing().await;
        tokio::time::sleep(DrainHandle::spread(spread, &mut fastrand::Rng::new())).await;
    }
    .boxed()
}
