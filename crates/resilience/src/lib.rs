//! Decisions without I/O: which endpoint, whether it may be called, whether to call again, how much at once.
//!
//! Nothing here opens a socket, spawns a task, reads a clock or draws its own chance: `now` and an [`Rng`] are
//! arguments, decisions are results. What workers share is atomic where a request touches it.
//!
//! - [`EndpointState`]: load, breaker, ejection, probes and ramp of one endpoint; [`Permit`] is one attempt.
//! - [`Balancer`]: picks among endpoints by one notion of availability and one of several strategies.
//! - [`RetryPolicy`], [`Budget`], [`Deadline`]: whether and when to try again.
//! - [`Limiter`] ([`Gradient2`], [`Aimd`]) and [`Gcra`]: how much at once, and how often.

mod balancer;
mod breaker;
mod deadline;
mod endpoint;
mod gcra;
mod health;
mod keyed_counter;
mod limit;
mod load;
mod outcome;
mod outlier;
mod retry;
mod slow_start;
mod sync;
mod timeline;

pub use balancer::{
    Balancer, BalancerPolicy, Member, NoEndpoint, NoEndpointWhy, Picked, Strategy, TRIED_MAX, Tried, hash_key,
};
pub use breaker::{
    BreakerPolicy, COUNT_WINDOW_MAX, PROBES_MAX, RatePolicy, TIME_BUCKETS, TIME_WINDOW_MIN, Window,
};
pub use deadline::{DEADLINE_MAX, Deadline};
pub use endpoint::{EndpointPolicy, EndpointSnapshot, EndpointState, Permit, Phase, Refused, Transitions};
pub use fastrand::Rng;
pub use gcra::{Gcra, GcraCell, Verdict};
pub use health::{HealthChange, ProbePolicy};
pub use limit::{Aimd, AimdPolicy, Gradient2, Gradient2Policy, LimitToken, Limiter, Sample};
pub use load::LoadPolicy;
pub use outcome::{EndpointId, FailureKind, Outcome};
pub use outlier::OutlierPolicy;
pub use retry::{
    ATTEMPTS_MAX, Attempt, AttemptFailure, Budget, BudgetPolicy, Decision, GiveUp, RetryOn, RetryPolicy,
    Safety, Sent,
};
pub use slow_start::SlowStart;
