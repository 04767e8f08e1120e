//! Connections to the servers of the shared store.

use super::{BreakerState, Counter, Gauge, Metric, PerLabel, Registry, Scope, label::label};

label! {
    /// How a connection attempt to a store's server ended.
    pub enum StoreConnect {
        /// A connection, logged in.
        Ok => "ok",
        /// Refused, unreachable, no such name, or lost while it was set up.
        Failed => "failed",
        /// `connect_timeout`.
        Timeout => "timeout",
        /// The TLS handshake failed.
        Tls => "tls",
        /// Wrong login, or a login that must not be sent there.
        Denied => "denied",
        /// The server is a replica.
        NotMaster => "not_master",
        /// All sockets of `pool_size` are in use.
        NoSocket => "no_socket",
        /// No sentinel named a master.
        NoMaster => "no_master",
    }
}

label! {
    /// What a server answered instead of doing what was asked.
    pub enum StoreDetour {
        /// The slot lives elsewhere.
        Moved => "moved",
        /// The slot is on its way elsewhere, and the key is there already.
        Ask => "ask",
        /// The slot is on its way elsewhere, with some of the keys.
        TryAgain => "try_again",
        /// The cluster does not serve the slot now.
        ClusterDown => "cluster_down",
        /// The server is reading its data.
        Loading => "loading",
        /// The server is a replica.
        ReadOnly => "read_only",
        /// The server does not know the script.
        NoScript => "no_script",
    }
}

/// Handles of the link to the store's servers.
#[derive(Debug)]
pub struct StoreLinkMetrics {
    /// Answers that sent a command elsewhere, or made it wait.
    pub detours: PerLabel<StoreDetour, Counter>,
    /// Attempts after the first.
    pub retries: Counter,
    /// Times that another server became the master.
    pub failovers: Counter,
    scope: Scope,
}

impl StoreLinkMetrics {
    /// Handles.
    pub fn new(registry: &Registry) -> Self {
        let mut scope = registry.scope();
        Self {
            detours: scope.counters(Metric::StoreDetours, &[]),
            retries: scope.counter(Metric::StoreRetries, &[]),
            failovers: scope.counter(Metric::StoreFailovers, &[]),
            scope,
        }
    }

    /// The registry they belong to.
    pub fn registry(&self) -> &Registry {
        self.scope.registry()
    }

    /// Handles of one server, by its configured or announced address; of a master behind sentinels by the master's name.
    pub fn server(&self, server: &str) -> StoreServerMetrics {
        let mut scope = self.scope.registry().scope();
        let labels = &[server];
        StoreServerMetrics {
            connections: scope.gauge(Metric::StoreConnections, labels),
            connects: scope.counters(Metric::StoreConnects, labels),
            breaker_state: scope.gauge(Metric::StoreBreakerState, labels),
            breaker_transitions: scope.counters(Metric::StoreBreakerTransitions, labels),
            _scope: scope,
        }
    }
}

/// Handles of one server.
#[derive(Debug)]
pub struct StoreServerMetrics {
    /// Open now.
    pub connections: Gauge,
    /// Attempts by result.
    pub connects: PerLabel<StoreConnect, Counter>,
    /// 0 closed, 1 half open, 2 open; set at scrape.
    pub breaker_state: Gauge,
    /// Transitions by new state; set at scrape.
    pub breaker_transitions: PerLabel<BreakerState, Counter>,
    _scope: Scope,
}

impl StoreServerMetrics {
    /// Records the breaker's state, and how often each state was entered in all.
    pub fn set_breaker(&self, state: BreakerState, entered: [(BreakerState, u64); 3]) {
        self.breaker_state.set(state as i64);
        for (state, total) in entered {
            let counter = self.breaker_transitions.get(state);
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }
}
