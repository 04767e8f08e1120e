//! Last use and end of MCP sessions.

use super::{Counter, Gauge, Metric, PerLabel, Registry, Scope, label::label};

label! {
    /// What became of a session whose end this replica took upon itself.
    pub enum SessionEnd {
        /// Its server was told, and answered.
        Told => "told",
        /// Its server keeps no sessions: there was nobody to tell.
        Untold => "untold",
        /// Its server or endpoint is not in the configuration any more, or not known.
        Gone => "gone",
        /// Its server did not answer. It was told at most once, and keeps the session until it expires there.
        Failed => "failed",
        /// It had been ended already.
        Ended => "ended",
        /// It was in use: it goes on.
        Kept => "kept",
        /// Other regions may use it: it is idle here, and no more is known.
        Left => "left",
    }
}

label! {
    /// Whether uses of sessions arrived in the store.
    pub enum Touched {
        /// They did.
        Ok => "ok",
        /// They did not, and are told again.
        Failed => "failed",
    }
}

label! {
    /// What the shared store said of a session that was not used here lately.
    pub enum LastUse {
        /// It was used elsewhere.
        Used => "used",
        /// It is idle: the token was refused.
        Idle => "idle",
        /// The store cannot know: it is alive.
        Unknown => "unknown",
        /// No answer in time: it is alive.
        Unanswered => "unanswered",
    }
}

/// Handles of last use and end of sessions.
#[derive(Debug)]
pub struct ExpiryMetrics {
    /// Sessions known by their last use here.
    pub known: Gauge,
    /// Uses that were not noted because the table was full.
    pub unnoted: Counter,
    /// Sessions whose use was told to the store.
    pub touches: PerLabel<Touched, Counter>,
    /// Questions to the store.
    pub last_uses: PerLabel<LastUse, Counter>,
    /// Sessions that came to their end.
    pub ends: PerLabel<SessionEnd, Counter>,
    _scope: Scope,
}

impl ExpiryMetrics {
    /// Handles. One per process.
    pub fn new(registry: &Registry) -> Self {
        let mut scope = registry.scope();
        Self {
            known: scope.gauge(Metric::McpSessionsKnown, &[]),
            unnoted: scope.counter(Metric::McpUsesUnnoted, &[]),
            touches: scope.counters(Metric::McpTouches, &[]),
            last_uses: scope.counters(Metric::McpLastUses, &[]),
            ends: scope.counters(Metric::McpSessionEnds, &[]),
            _scope: scope,
        }
    }
}
