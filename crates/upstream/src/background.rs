//! What goes on beside requests: names, probes, idle connections. All of it on the control runtime.

use crate::{clock, dns::LOOKUP_TIMEOUT, endpoint::Endpoint, probe, upstream::Upstream};
use holdfast_telemetry::metrics::{ProbeResult, ScrapeHook};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::task::{AbortHandle, JoinSet};

/// A name is not looked up more often than this, whatever its time to live.
const REFRESH_MIN: Duration = Duration::from_secs(1);

/// A name is looked up at least this often: an answer for days must not hide a move for days.
const REFRESH_MAX: Duration = Duration::from_mins(5);

/// Pause between two looks at idle connections and at the set. Also how soon a new endpoint is probed.
const SWEEP: Duration = Duration::from_millis(500);

/// DNS, probes and sweeping of one upstream. Ends when dropped.
#[must_use = "dropping it ends name resolution and probes"]
pub struct Background {
    task: AbortHandle,
    _scrape: ScrapeHook,
}

impl Drop for Background {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn start(upstream: &Arc<Upstream>, control: &tokio::runtime::Handle) -> Background {
    let seen = Arc::downgrade(upstream);
    let scrape = upstream.shared.registry.on_scrape(move || {
        if let Some(upstream) = seen.upgrade() {
            upstream.mirror();
        }
    });
    let task = control.spawn(run(Arc::clone(upstream))).abort_handle();
    Background { task, _scrape: scrape }
}

/// Children end with this task: a [`JoinSet`] aborts what it holds.
async fn run(upstream: Arc<Upstream>) {
    let mut children = JoinSet::new();
    children.spawn(resolve_all(Arc::clone(&upstream)));
    children.spawn(sweep(upstream));
    while children.join_next().await.is_some() {}
}

async fn resolve_all(upstream: Arc<Upstream>) {
    let mut names = JoinSet::new();
    let (first, mut firsts) = tokio::sync::mpsc::channel::<()>(1);
    for name in upstream.names() {
        names.spawn(resolve(Arc::clone(&upstream), name, first.clone()));
    }
    drop(first);
    // Closed once every name has dropped its sender: after its first answer, good or bad.
    while firsts.recv().await.is_some() {}
    upstream.names_resolved();
    while names.join_next().await.is_some() {}
}

async fn resolve(upstream: Arc<Upstream>, name: String, first: tokio::sync::mpsc::Sender<()>) {
    let mut first = Some(first);
    loop {
        let found = lookup(&upstream, &name).await;
        let result = if found.is_ok() { ProbeResult::Ok } else { ProbeResult::Failed };
        upstream.metrics.resolutions.inc(result);
        let pause = match found {
            Ok((addresses, ttl)) => {
                upstream.set_addresses(&name, addresses);
                ttl.unwrap_or(upstream.shared.pool.dns_refresh)
            }
            Err(error) => {
                // The last good answer stays. An unknown name is asked for soon again, a known one in its usual turn.
                tracing::warn!(upstream = upstream.name(), name, %error, "cannot resolve; keeping the last good answer");
                if first.is_some() {
                    REFRESH_MIN
                } else {
                    upstream.shared.pool.dns_refresh.min(Duration::from_secs(5))
                }
            }
        };
        first = None;
        tokio::time::sleep(pause.clamp(REFRESH_MIN, REFRESH_MAX)).await;
    }
}

async fn lookup(upstream: &Upstream, name: &str) -> Result<(Vec<IpAddr>, Option<Duration>), crate::BoxError> {
    let answer = clock::timeout(LOOKUP_TIMEOUT, upstream.shared.resolver.resolve(name)).await??;
    if answer.addresses.is_empty() {
        return Err("the answer holds no address".into());
    }
    Ok((answer.addresses, answer.ttl))
}

/// Closes idle connections and keeps one probe task per endpoint of the current set.
async fn sweep(upstream: Arc<Upstream>) {
    let mut probes: HashMap<usize, (Weak<Endpoint>, AbortOnDrop)> = HashMap::new();
    let mut interval = tokio::time::interval(SWEEP);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let now = clock::now();
        let set = upstream.set();
        let current =
            |endpoint: &Arc<Endpoint>| set.endpoints.iter().any(|other| Arc::ptr_eq(other, endpoint));
        probes.retain(|_, (endpoint, _)| endpoint.upgrade().is_some_and(|endpoint| current(&endpoint)));
        for endpoint in &set.endpoints {
            endpoint.pool.sweep(now);
            if endpoint.probes_enabled() {
                let id = Arc::as_ptr(endpoint) as usize;
                probes.entry(id).or_insert_with(|| {
                    let task = tokio::spawn(probe::run(Arc::downgrade(endpoint), upstream.shared.rules));
                    (Arc::downgrade(endpoint), AbortOnDrop(task.abort_handle()))
                });
            }
        }
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
