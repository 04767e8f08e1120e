//! Upstreams and the policy to call them by.

use super::{Missing, assemble, words};
use crate::{
    model::{
        BreakerRate, CircuitBreaker, ClientTls, ConnectionPool, Endpoint, HealthCheck, Http2Mode, Outlier,
        ProbeKind, Retry, RetryBudget, RetryOn, Routing, SlidingWindow, Strategy, Upstream, UpstreamPolicy,
    },
    value::{BlockVal, Data},
};
use std::time::Duration;

/// Of `routing` itself, which no upstream uses: each has its own by the number of its endpoints.
const SLOW_START: Duration = Duration::from_secs(30);

words!(Strategy: "p2c_ewma" => Self::P2cEwma, "least_connections" => Self::LeastConnections,
    "round_robin" => Self::RoundRobin, "random" => Self::Random, "ip_hash" => Self::IpHash,
    "ring_hash" => Self::RingHash, "maglev" => Self::Maglev);
words!(Http2Mode: "auto" => Self::Auto, "off" => Self::Off, "prior_knowledge" => Self::PriorKnowledge);
words!(RetryOn: "connection_error" => Self::ConnectionError, "timeout_error" => Self::TimeoutError,
    "transient_error" => Self::TransientError);

pub(super) fn routing(block: &BlockVal) -> Result<Routing, Missing> {
    Ok(assemble!(block => Routing { block_link_local;
        policy: policy(block)?,
        process_retry_budget: budget(block.inner("process_retry_budget")?)?
    }))
}

pub(super) fn pool(block: &BlockVal) -> Result<ConnectionPool, Missing> {
    Ok(
        assemble!(block => ConnectionPool { max_size, max_idle, max_idle_time, max_waiting, dns_refresh, dns_servers }),
    )
}

pub(super) fn upstream(block: &BlockVal) -> Result<Upstream, Missing> {
    let endpoints =
        block.blocks("endpoints").map(|(_, e)| Ok(assemble!(e => Endpoint { url, weight, priority, zone })));
    let tls = block.inner("tls")?;
    Ok(assemble!(block => Upstream { name, http2;
        endpoints: endpoints.collect::<Result<_, _>>()?,
        policy: policy(block)?,
        tls: client_tls(tls)?
    }))
}

pub(super) fn client_tls(tls: &BlockVal) -> Result<ClientTls, Missing> {
    Ok(assemble!(tls => ClientTls { ca_file, cert_file, key_file, server_name }))
}

fn policy(block: &BlockVal) -> Result<UpstreamPolicy, Missing> {
    let outlier = block.inner("outlier_detection")?;
    Ok(assemble!(block => UpstreamPolicy {
        strategy, connect_timeout, timeout, body_idle_timeout, panic_threshold, max_requests;
        slow_start: block.duration("slow_start").unwrap_or(SLOW_START),
        health_check: health_check(block.inner("health_check")?)?,
        circuit_breaker: circuit_breaker(block.inner("circuit_breaker")?)?,
        outlier: assemble!(outlier => Outlier {
            enabled, consecutive_errors, base_ejection_time, max_ejection_time, max_ejection_share
        }),
        retry: retry(block.inner("retry")?)?
    }))
}

fn health_check(block: &BlockVal) -> Result<HealthCheck, Missing> {
    let kind = match block.word("type") {
        Some("http") => ProbeKind::Http { path: block.take("path")? },
        _ => ProbeKind::Tcp,
    };
    Ok(assemble!(block => HealthCheck {
        enabled, interval, timeout, healthy_threshold, unhealthy_threshold, port;
        kind: kind
    }))
}

fn circuit_breaker(block: &BlockVal) -> Result<CircuitBreaker, Missing> {
    let thresholds = block.inner("thresholds")?;
    let rate = match thresholds.get("failure_rate").map(|val| &val.data) {
        Some(Data::Off) => None,
        _ => Some(assemble!(thresholds => BreakerRate { failure_rate, slow_call_rate, minimum_calls;
            slow_call_duration: thresholds.take("slow_call_duration_threshold")?,
            window: window(block.inner("sliding_window")?)?
        })),
    };
    Ok(assemble!(block => CircuitBreaker {
        enabled, failure_threshold, timeout, max_timeout, success_threshold, half_open_requests,
        permitted_calls_in_half_open_state, max_half_open;
        rate: rate
    }))
}

fn window(block: &BlockVal) -> Result<SlidingWindow, Missing> {
    Ok(match block.word("type") {
        Some("count_based") => SlidingWindow::Count(block.take("size")?),
        _ => SlidingWindow::Time(block.take("duration")?),
    })
}

fn retry(block: &BlockVal) -> Result<Retry, Missing> {
    Ok(assemble!(block => Retry {
        enabled, max_attempts, initial_delay, multiplier, max_delay, per_try_timeout, retry_on, replay_buffer;
        budget: budget(block.inner("budget")?)?
    }))
}

fn budget(block: &BlockVal) -> Result<RetryBudget, Missing> {
    Ok(assemble!(block => RetryBudget { ratio, min_per_second }))
}
