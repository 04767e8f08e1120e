//! Whether a failed attempt is made again, and after what pause.
//!
//! Before the first response byte only, inside the request's one deadline, out of all budgets, and only what is safe: a
//! request that may have been processed is sent again only if its repetition does no harm.

mod budget;

use crate::outcome::FailureKind;
pub use budget::{Budget, BudgetPolicy};
use fastrand::Rng;
use std::time::{Duration, Instant};

/// Most attempts of one request, whatever a policy says.
pub const ATTEMPTS_MAX: u32 = 16;

/// What a repetition does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// Nothing: a read.
    Safe,
    /// The same as once.
    Idempotent,
    /// Perhaps harm: only if the first was surely not processed.
    Unsafe,
}

/// How much of the request left this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Nothing was sent, or the peer said that it did not process it (refused stream, GOAWAY).
    Nothing,
    /// It may have been processed.
    Maybe,
}

/// A failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptFailure {
    /// How it failed.
    pub kind: FailureKind,
    /// What may have arrived.
    pub sent: Sent,
}

/// Classes of failure that may be retried; all on by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryOn {
    /// Connect, TLS, and resets.
    pub connection: bool,
    /// No answer in the time of one attempt.
    pub timeout: bool,
    /// 502, 503, 504, 429.
    pub transient: bool,
}

impl Default for RetryOn {
    fn default() -> Self {
        Self { connection: true, timeout: true, transient: true }
    }
}

/// Where a request stands after a failed attempt.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Attempts made so far, this one included: at least 1.
    pub number: u32,
    /// How it failed.
    pub failure: AttemptFailure,
    /// What a repetition would do.
    pub safety: Safety,
    /// Time left until the request's deadline.
    pub remaining: Duration,
    /// What an attempt usually takes; zero if unknown. With less time left there is no point.
    pub needed: Duration,
    /// Whether another endpoint stands by that this request has not tried.
    pub others: bool,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Try again after this pause.
    RetryAfter(Duration),
    /// Answer the client with the failure.
    GiveUp(GiveUp),
}

/// Why a request is not tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GiveUp {
    /// All attempts are used up.
    #[error("all attempts are used up")]
    Attempts,
    /// This failure is not of a class that is retried.
    #[error("this kind of failure is not retried")]
    NotRetryable,
    /// It may have been processed and must not be repeated.
    #[error("the request may have been processed and is not safe to repeat")]
    Unsafe,
    /// The deadline leaves no time.
    #[error("the deadline leaves no time for another attempt")]
    Deadline,
    /// The only endpoint asks for a longer pause than is honoured.
    #[error("the endpoint asks for a longer pause than is honoured")]
    RetryAfterTooLong,
    /// A budget is spent.
    #[error("the retry budget is spent")]
    Budget,
}

/// How a request is retried.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included. Range 1..=[`ATTEMPTS_MAX`]. Default 3.
    pub max_attempts: u32,
    /// Upper bound of the first pause. Default 25 ms.
    pub base: Duration,
    /// Growth of that bound. At least 1. Default 2.
    pub multiplier: f64,
    /// Cap of that bound. Default 250 ms.
    pub cap: Duration,
    /// What may be retried.
    pub retry_on: RetryOn,
    /// Longest `Retry-After` that is waited for when no other endpoint can serve. Default 300 s.
    pub retry_after_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            base: Duration::from_millis(25),
            multiplier: 2.0,
            cap: Duration::from_millis(250),
            retry_on: RetryOn::default(),
            retry_after_max: Duration::from_mins(5),
        }
    }
}

impl RetryPolicy {
    /// Decides on one failed attempt. A retry is charged to every budget, or to none.
    pub fn decide(&self, attempt: &Attempt, budgets: &[&Budget], now: Instant, rng: &mut Rng) -> Decision {
        match self.pause(attempt, rng) {
            Err(why) => Decision::GiveUp(why),
            Ok(_) if !withdraw_all(budgets, now) => Decision::GiveUp(GiveUp::Budget),
            Ok(pause) => Decision::RetryAfter(pause),
        }
    }

    /// The largest pause after the n-th attempt: `base x multiplier^(n - 1)`, capped. The pause is drawn evenly from
    /// zero to this ("full jitter"), so that clients that failed together do not return together.
    pub fn pause_bound(&self, attempt: u32) -> Duration {
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let factor = self.multiplier.max(1.0).powi(exponent);
        let bound = self.base.as_secs_f64() * factor;
        if bound < self.cap.as_secs_f64() { Duration::from_secs_f64(bound) } else { self.cap }
    }

    fn pause(&self, attempt: &Attempt, rng: &mut Rng) -> Result<Duration, GiveUp> {
        if attempt.number >= self.max_attempts.clamp(1, ATTEMPTS_MAX) {
            return Err(GiveUp::Attempts);
        }
        let AttemptFailure { kind, sent } = attempt.failure;
        if !self.retryable(kind) {
            return Err(GiveUp::NotRetryable);
        }
        let unprocessed = sent == Sent::Nothing || matches!(kind, FailureKind::Connect | FailureKind::Tls);
        if attempt.safety == Safety::Unsafe && !unprocessed {
            return Err(GiveUp::Unsafe);
        }
        let pause = self.wished_pause(attempt, rng)?;
        if pause.saturating_add(attempt.needed) >= attempt.remaining {
            return Err(GiveUp::Deadline);
        }
        Ok(pause)
    }

    /// A `Retry-After` no longer than a usual pause is simply waited for. A longer one binds the endpoint that sent
    /// it: another endpoint is tried at once; with no other, it is honoured up to `retry_after_max`.
    fn wished_pause(&self, attempt: &Attempt, rng: &mut Rng) -> Result<Duration, GiveUp> {
        match attempt.failure.kind.retry_after() {
            None => Ok(self.pause_bound(attempt.number).mul_f64(rng.f64())),
            Some(wish) if wish <= self.cap => Ok(wish),
            Some(_) if attempt.others => Ok(Duration::ZERO),
            Some(wish) if wish <= self.retry_after_max => Ok(wish),
            Some(_) => Err(GiveUp::RetryAfterTooLong),
        }
    }

    fn retryable(&self, kind: FailureKind) -> bool {
        match kind {
            FailureKind::Connect | FailureKind::Tls | FailureKind::Reset => self.retry_on.connection,
            FailureKind::Timeout => self.retry_on.timeout,
            FailureKind::Status(429 | 502..=504) | FailureKind::Overloaded { .. } => self.retry_on.transient,
            FailureKind::Status(_) => false,
        }
    }
}

fn withdraw_all(budgets: &[&Budget], now: Instant) -> bool {
    for (taken, budget) in budgets.iter().enumerate() {
        if !budget.withdraw(now) {
            budgets[..taken].iter().for_each(|budget| budget.refund(now));
            return false;
        }
    }
    true
}
