//! From configuration to the policies of the decision core.

use holdfast_config as config;
use holdfast_resilience::{
    BalancerPolicy, BreakerPolicy, BudgetPolicy, EndpointPolicy, OutlierPolicy, ProbePolicy, RatePolicy,
    RetryOn, RetryPolicy, SlowStart, Strategy, Window,
};
use std::sync::Arc;

/// How an endpoint of an upstream with this policy is judged.
pub fn endpoint(policy: &config::UpstreamPolicy) -> EndpointPolicy {
    EndpointPolicy {
        breaker: policy.circuit_breaker.enabled.then(|| breaker(&policy.circuit_breaker)),
        outlier: policy.outlier.enabled.then_some(OutlierPolicy {
            consecutive: policy.outlier.consecutive_errors,
            base: policy.outlier.base_ejection_time,
            max: policy.outlier.max_ejection_time,
            max_share: policy.outlier.max_ejection_share.0,
        }),
        probe: ProbePolicy {
            fall: policy.health_check.unhealthy_threshold,
            rise: policy.health_check.healthy_threshold,
        },
        slow_start: SlowStart { window: policy.slow_start, ..SlowStart::default() },
        ..EndpointPolicy::default()
    }
}

fn breaker(breaker: &config::CircuitBreaker) -> BreakerPolicy {
    BreakerPolicy {
        consecutive: breaker.failure_threshold,
        rate: breaker.rate.as_ref().map(|rate| RatePolicy {
            failures: rate.failure_rate.0,
            slow: rate.slow_call_rate.0,
            slow_after: rate.slow_call_duration,
            window: match rate.window {
                config::SlidingWindow::Count(calls) => Window::Count(calls),
                config::SlidingWindow::Time(time) => Window::Time(time),
            },
            minimum_calls: rate.minimum_calls,
        }),
        open: breaker.timeout,
        open_max: breaker.max_timeout,
        successes: breaker.success_threshold,
        probes_concurrent: breaker.half_open_requests,
        probes_total: breaker.permitted_calls_in_half_open_state,
        max_half_open: breaker.max_half_open,
        ..BreakerPolicy::default()
    }
}

pub(crate) fn balancer(policy: &config::UpstreamPolicy, zone: Option<&Arc<str>>) -> BalancerPolicy {
    BalancerPolicy {
        strategy: match policy.strategy {
            config::Strategy::P2cEwma => Strategy::P2cEwma,
            config::Strategy::LeastConnections => Strategy::LeastConnections,
            config::Strategy::RoundRobin => Strategy::RoundRobin,
            config::Strategy::Random => Strategy::Random,
            // The caller gives the key: the client's address for one, the route's for the other.
            config::Strategy::IpHash | config::Strategy::RingHash => Strategy::RingHash,
            config::Strategy::Maglev => Strategy::Maglev,
        },
        panic_threshold: policy.panic_threshold.0,
        local_zone: zone.cloned(),
        ..BalancerPolicy::default()
    }
}

/// Disabled means one attempt.
pub(crate) fn retry(retry: &config::Retry) -> RetryPolicy {
    let on = |class| retry.retry_on.contains(&class);
    RetryPolicy {
        max_attempts: if retry.enabled { retry.max_attempts } else { 1 },
        base: retry.initial_delay,
        multiplier: retry.multiplier,
        cap: retry.max_delay,
        retry_on: RetryOn {
            connection: on(config::RetryOn::ConnectionError),
            timeout: on(config::RetryOn::TimeoutError),
            transient: on(config::RetryOn::TransientError),
        },
        ..RetryPolicy::default()
    }
}

pub(crate) fn budget(budget: &config::RetryBudget) -> BudgetPolicy {
    BudgetPolicy { ratio: budget.ratio.0, min_per_second: budget.min_per_second, ..BudgetPolicy::default() }
}
