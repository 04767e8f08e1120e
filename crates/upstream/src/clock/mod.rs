//! Coarse deadlines: one sweep per worker instead of a timer per request.
//!
//! Arming a runtime timer for each request costs about a thousand instructions; a slot in a thread-local list costs
//! about eighty. The price is precision: a coarse deadline fires up to [`TICK`] late. Deadlines nearer than
//! [`PRECISE_BELOW`] and runtimes with several threads use the runtime's own timer, so nothing short is rounded up.

mod wheel;

use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use wheel::Ticket;

/// Pause between two sweeps: the most a coarse deadline is late.
pub const TICK: Duration = Duration::from_millis(50);

/// Deadlines nearer than this use an exact timer.
pub const PRECISE_BELOW: Duration = Duration::from_millis(250);

// A coarse deadline may be late by one tick; that must stay a small share of the time it limits.
const _: () = assert!(PRECISE_BELOW.as_millis() >= 5 * TICK.as_millis());

/// Now, by the runtime's clock: the same as `Instant::now()` except where a test has paused time.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Runs `future` until `deadline`.
///
/// Returns [`Elapsed`] when the deadline passes first; the future is dropped with the [`Timeout`], not before.
/// Cancel safe if `future` is. Must be polled inside a tokio runtime that has its time driver.
pub fn timeout_at<F: Future>(deadline: Instant, future: F) -> Timeout<F> {
    Timeout { future, alarm: Alarm::new(deadline) }
}

/// As [`timeout_at`], for a caller that has just looked at the clock: `now` is not asked for again.
pub(crate) fn timeout_from<F: Future>(now: Instant, deadline: Instant, future: F) -> Timeout<F> {
    Timeout { future, alarm: Alarm { deadline, armed: Armed::Not { since: Some(now) } } }
}

/// As [`timeout_at`], `limit` from now.
pub fn timeout<F: Future>(limit: Duration, future: F) -> Timeout<F> {
    timeout_at(after(now(), limit), future)
}

/// `at + limit`, or far in the future where that does not fit.
pub fn after(at: Instant, limit: Duration) -> Instant {
    const FAR: Duration = Duration::from_hours(24 * 365);
    at.checked_add(limit).unwrap_or_else(|| at + FAR)
}

/// The deadline passed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline passed")
    }
}

impl std::error::Error for Elapsed {}

pin_project! {
    /// Future of [`timeout_at`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        alarm: Alarm,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        this.alarm.poll(cx).map(|()| Err(Elapsed))
    }
}

/// A deadline to poll beside other work. It can be moved later or sooner at no cost.
///
/// Nothing is registered before the first [`Alarm::poll`]; dropping it takes the registration back.
pub struct Alarm {
    deadline: Instant,
    armed: Armed,
}

enum Armed {
    Not { since: Option<Instant> },
    Coarse { ticket: Ticket, at: Instant },
    Exact(Pin<Box<tokio::time::Sleep>>),
}

impl Alarm {
    /// An alarm for `deadline`, not armed yet.
    pub fn new(deadline: Instant) -> Self {
        Self { deadline, armed: Armed::Not { since: None } }
    }

    /// When it goes off.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Moves it. A registration for an earlier time stays, wakes once too many and is then renewed.
    pub fn reset(&mut self, deadline: Instant) {
        if deadline < self.deadline {
            self.armed = Armed::Not { since: None };
        }
        self.deadline = deadline;
    }

    /// Ready once the deadline has passed; until then the task is woken for it.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.armed {
            // The usual case: some other event woke the task, and the sweep still knows its waker. A registration for an
            // earlier time than the deadline wakes the task then, and is renewed here.
            Armed::Coarse { ticket, at } if *at <= self.deadline && ticket.is_waiting(cx.waker()) => {
                Poll::Pending
            }
            Armed::Exact(sleep) if sleep.deadline().into_std() == self.deadline => sleep.as_mut().poll(cx),
            Armed::Not { since } => {
                let now = since.unwrap_or_else(now);
                self.arm(now, cx)
            }
            Armed::Coarse { .. } | Armed::Exact(_) => self.arm(now(), cx),
        }
    }

    fn arm(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        self.armed = Armed::Not { since: None };
        if self.deadline <= now {
            return Poll::Ready(());
        }
        if now + PRECISE_BELOW <= self.deadline
            && let Some(ticket) = Ticket::register(self.deadline, cx.waker())
        {
            self.armed = Armed::Coarse { ticket, at: self.deadline };
            return Poll::Pending;
        }
        let mut sleep = Box::pin(tokio::time::sleep_until(self.deadline.into()));
        let polled = sleep.as_mut().poll(cx);
        self.armed = Armed::Exact(sleep);
        polled
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
