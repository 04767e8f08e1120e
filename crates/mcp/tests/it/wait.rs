//! Waiting for a condition, with a deadline instead of a pause.

use std::{future::Future, time::Duration};

/// Longest wait of any test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Polls `condition` until it holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let polling = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, polling).await.is_ok(), "waited in vain for: {what}");
}

/// Polls a `condition` that has to be asked for.
pub(crate) async fn until_async(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let polling = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, polling).await.is_ok(), "waited in vain for: {what}");
}

/// Awaits `future`, which must not take longer than the patience.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain for: {what}"))
}
