//! The end of a program: its input closed, SIGTERM, SIGKILL, each after its grace, the last two to its whole group.

use super::Exit;
use crate::carrier::Closer;
use futures_util::{FutureExt as _, future::BoxFuture};
use holdfast_telemetry::metrics::{LinkMetrics, ProcessEnd};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{sync::Arc, time::Duration};
use tokio::{process::Child, task::AbortHandle, time::timeout};

/// What the kernel may take to end a process that was killed.
const KILLED: Duration = Duration::from_secs(10);

/// A process, until it is waited for. Dropped before, its group is killed.
pub(super) struct Ending {
    pub(super) child: Child,
    pub(super) id: Pid,
    pub(super) exit: Exit,
    pub(super) grace: Duration,
    /// Whoever reads its standard error.
    pub(super) errors: AbortHandle,
    pub(super) metrics: Arc<LinkMetrics>,
    pub(super) done: bool,
}

impl Ending {
    /// Whether it ended in time.
    async fn ended(&self, limit: Duration) -> bool {
        timeout(limit, self.exit.readable()).await.is_ok()
    }

    fn signal(&self, signal: Signal) {
        // It may have ended in between; as long as it was not waited for, nobody else has its id.
        let _ = kill_process_group(self.id, signal);
    }

    async fn end(mut self) {
        let by = if self.exit.readable().now_or_never().is_some() {
            ProcessEnd::Itself
        } else if self.ended(self.grace).await {
            ProcessEnd::Input
        } else {
            self.signal(Signal::TERM);
            if self.ended(self.grace).await { ProcessEnd::Terminated } else { ProcessEnd::Killed }
        };
        // Whatever it started and left behind ends, too. It is waited for only then: its id names its group until that.
        self.signal(Signal::KILL);
        let waited = timeout(KILLED, self.child.wait()).await;
        self.done = true;
        self.errors.abort();
        self.metrics.process_ends.inc(by);
        let pid = self.id.as_raw_nonzero();
        match waited {
            Ok(Ok(status)) => tracing::info!(pid, %status, ?by, "a program ended"),
            Ok(Err(error)) => tracing::warn!(pid, %error, "a program cannot be waited for"),
            Err(_) => tracing::error!(pid, "a program that was killed does not end"),
        }
    }
}

impl Closer for Ending {
    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(self.end())
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.done {
            self.signal(Signal::KILL);
            self.errors.abort();
        }
    }
}
