//! Work that goes on when the client that asked for it is gone.
//!
//! A legacy disconnect is no cancellation (2025-11-25 transports, "Sending Messages to the Server", 6). A handler's future
//! is dropped with its client, so such work is handed to the runtime at that moment, and only then: while the client waits
//! it costs one allocation and no task.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Runs `work` to its end, whether the returned future is polled to its end or dropped. `work` must be bounded in time by
/// itself.
#[inline]
pub(crate) fn outlive<T: 'static>(work: impl Future<Output = T> + Send + 'static) -> Outliving<T> {
    Outliving { work: Some(Box::pin(work)) }
}

/// Future of [`outlive`].
pub(crate) struct Outliving<T: 'static> {
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
}

impl<T> Future for Outliving<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(work) = &mut self.work else { return Poll::Pending };
        let output = std::task::ready!(work.as_mut().poll(cx));
        self.work = None;
        Poll::Ready(output)
    }
}

impl<T> Drop for Outliving<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                work.await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn dropped_work_is_finished_anyway() {
        let (go, wait) = oneshot::channel::<()>();
        let (done, finished) = oneshot::channel();
        let mut work = outlive(async move {
            let _ = wait.await;
            let _ = done.send(());
        });
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut work).poll(&mut cx).is_pending());
        drop(work);
        go.send(()).unwrap();
        finished.await.unwrap();
    }

    #[tokio::test]
    async fn awaited_work_returns_its_output() {
        assert_eq!(outlive(async { 7 }).await, 7);
    }
}
