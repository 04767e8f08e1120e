//! Links to MCP servers that do not speak Streamable HTTP.

use super::{Counter, Gauge, Metric, PerLabel, Registry, Scope, label::label};

label! {
    /// How the opening of a link ended.
    pub enum LinkOpening {
        /// It is open.
        Ok => "ok",
        /// It could not be opened, or ended before its first message.
        Failed => "failed",
        /// Refused by the breaker, or by the pause after a failure.
        Refused => "refused",
        /// `max_processes` or `max_processes_per_principal`.
        Full => "full",
    }
}

label! {
    /// Why a link ended.
    pub enum LinkEnd {
        /// Its session ended, or its client never came back.
        Closed => "closed",
        /// Nobody used it for `idle`.
        Idle => "idle",
        /// The process drains, or a reload took the server away.
        Retired => "retired",
        /// The other side ended it.
        Lost => "lost",
        /// A message above `mcp.max_response_bytes`.
        TooLarge => "too_large",
    }
}

label! {
    /// Why a message of a server was shown to nobody.
    pub enum LinkDrop {
        /// It answers what was never asked.
        Unknown => "unknown",
        /// It answers what was answered before.
        Duplicate => "duplicate",
        /// Whoever asked has gone.
        Late => "late",
        /// It belongs to no request of a link that several share.
        Unmatched => "unmatched",
        /// Too many messages wait for a listener: the oldest goes.
        WaitingFull => "waiting_full",
        /// Not a JSON-RPC message.
        Noise => "noise",
    }
}

label! {
    /// Why a reader's stream broke off.
    pub enum LinkTear {
        /// `queue_messages` or `queue_bytes`: it did not read.
        Queue => "queue",
        /// No answer in time.
        Deadline => "deadline",
        /// The link ended.
        Ended => "ended",
    }
}

label! {
    /// What it took to end a process.
    pub enum ProcessEnd {
        /// It ended by itself.
        Itself => "itself",
        /// Its input was closed.
        Input => "input",
        /// SIGTERM.
        Terminated => "sigterm",
        /// SIGKILL.
        Killed => "sigkill",
    }
}

/// Handles of the links to one server.
#[derive(Debug)]
pub struct LinkMetrics {
    /// Links open, or not yet at their end.
    pub open: Gauge,
    /// Openings.
    pub openings: PerLabel<LinkOpening, Counter>,
    /// Ends.
    pub ends: PerLabel<LinkEnd, Counter>,
    /// Messages shown to nobody.
    pub dropped: PerLabel<LinkDrop, Counter>,
    /// Streams that broke off.
    pub torn: PerLabel<LinkTear, Counter>,
    /// Messages that could not be sent because their like wait.
    pub unsent: Counter,
    /// The breaker before a new link: 0 admitting, 1 probing, 2 refusing.
    pub breaker: Gauge,
    /// Processes that ended.
    pub process_ends: PerLabel<ProcessEnd, Counter>,
    /// Lines not logged.
    pub lines_suppressed: Counter,
    _scope: Scope,
}

impl LinkMetrics {
    /// Handles of a server, by its name.
    pub fn new(registry: &Registry, server: &str) -> Self {
        let mut scope = registry.scope();
        Self {
            open: scope.gauge(Metric::LinksOpen, &[server]),
            openings: scope.counters(Metric::LinkOpenings, &[server]),
            ends: scope.counters(Metric::LinkEnds, &[server]),
            dropped: scope.counters(Metric::LinkDrops, &[server]),
            torn: scope.counters(Metric::LinkTears, &[server]),
            unsent: scope.counter(Metric::LinkUnsent, &[server]),
            breaker: scope.gauge(Metric::LinkBreaker, &[server]),
            process_ends: scope.counters(Metric::LinkProcessEnds, &[server]),
            lines_suppressed: scope.counter(Metric::LinkLinesSuppressed, &[server]),
            _scope: scope,
        }
    }
}
