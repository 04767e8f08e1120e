//! When a long stream should end because this process leaves service.

use holdfast_edge::DrainHandle;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// Streams end spread over this time, so that their clients do not all come back at the same moment.
const SPREAD: Duration = Duration::from_secs(2);

/// Becomes ready once listeners are closed and this stream's share of the spread is over.
pub(crate) struct Draining(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Draining {
    /// Watches `handle`.
    pub(crate) fn new(handle: &DrainHandle) -> Self {
        let handle = handle.clone();
        Self(Box::pin(async move {
            handle.closing().await;
            let wait = DrainHandle::spread(SPREAD, &mut fastrand::Rng::new());
            tokio::time::sleep(wait).await;
        }))
    }

    /// Registers the task for the moment the stream should end. Not to be polled again once ready.
    pub(crate) fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}
