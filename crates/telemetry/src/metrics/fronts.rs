//! Connections of MCP clients that do not speak Streamable HTTP.

use super::{Counter, Gauge, Metric, PerLabel, Registry, Scope, label::label};

label! {
    /// What a conversation is carried by.
    pub enum Carrier {
        /// HTTP+SSE (2024-11-05).
        Sse => "sse",
        /// WebSocket.
        WebSocket => "websocket",
        /// Standard input and output.
        Stdio => "stdio",
    }
}

label! {
    /// Why a conversation ended.
    pub enum ConversationEnd {
        /// The client said all it had to say.
        Whole => "whole",
        /// The client went away.
        Gone => "gone",
        /// The client read nothing for `mcp.conversations.write_timeout`.
        Stuck => "stuck",
        /// The client gave no sign of life, or broke the protocol of its transport.
        Broken => "broken",
        /// The credential it began with is worth nothing any more.
        Unwelcome => "unwelcome",
        /// The process shuts down.
        Drained => "drained",
    }
}

label! {
    /// Why a message of a conversation was refused before any server saw it.
    pub enum MessageRefusal {
        /// `mcp.conversations.max_in_flight`, or their bytes.
        InFlight => "in_flight",
        /// A request with this id has no answer yet.
        IdInUse => "id_in_use",
        /// Larger than `mcp.max_message_bytes`.
        TooLarge => "too_large",
        /// The conversation took nothing in time.
        Queue => "queue",
        /// It names no conversation that is there, or somebody else's.
        Name => "name",
    }
}

label! {
    /// How passing a message to the replica of its conversation ended.
    pub enum Passed {
        /// That replica took it, or said why not.
        Answered => "answered",
        /// That replica is dead or unknown.
        Dead => "dead",
        /// It did not answer in time, or not to the end.
        Failed => "failed",
    }
}

/// Handles of all conversations.
#[derive(Debug)]
pub struct FrontMetrics {
    /// Open now.
    pub open: PerLabel<Carrier, Gauge>,
    /// Ended.
    pub ends: PerLabel<Carrier, PerLabel<ConversationEnd, Counter>>,
    /// Messages refused here.
    pub refused: PerLabel<Carrier, PerLabel<MessageRefusal, Counter>>,
    /// Streams taken up again in place of the client.
    pub resumed: Counter,
    /// Messages passed to another replica.
    pub passed: PerLabel<Passed, Counter>,
    _scope: Scope,
}

impl FrontMetrics {
    /// Handles in `registry`.
    pub fn new(registry: &Registry) -> Self {
        use super::Label as _;
        let mut scope = registry.scope();
        let open = scope.gauges(Metric::ConversationsOpen, &[]);
        let ends =
            PerLabel::new(|carrier: Carrier| scope.counters(Metric::ConversationEnds, &[carrier.as_str()]));
        let refused = PerLabel::new(|carrier: Carrier| {
            scope.counters(Metric::ConversationRefusals, &[carrier.as_str()])
        });
        Self {
            open,
            ends,
            refused,
            resumed: scope.counter(Metric::ConversationResumptions, &[]),
            passed: scope.counters(Metric::ConversationsPassed, &[]),
            _scope: scope,
        }
    }
}
