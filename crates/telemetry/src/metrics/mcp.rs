//! MCP servers.

use super::{
    Counter, Gauge, Label, Metric, Operations, PerLabel, Registry, Scope, ServerOperations, label::label,
};
use std::sync::Arc;

/// Names of tools and prompts that have a label, where no configuration says how many.
const NAMES_MAX: usize = 200;

label! {
    /// Methods that behave alike; a client cannot make a new series by inventing a method.
    pub enum MethodClass {
        /// `initialize`, `server/discover`.
        Handshake => "handshake",
        /// `*/list`.
        List => "list",
        /// `resources/read`, `prompts/get`, `completion/complete`.
        Read => "read",
        /// `tools/call`.
        Call => "call",
        /// `tasks/*`.
        Task => "task",
        /// `subscriptions/listen`, `resources/subscribe` and its like.
        Subscribe => "subscribe",
        /// `ping`, `logging/setLevel`.
        Utility => "utility",
        /// A notification.
        Notification => "notification",
        /// The client's answer to a question of the server.
        Response => "response",
        /// Any other method.
        Other => "other",
    }
}

label! {
    /// Protocol era of a message.
    pub enum MappedEra {
        /// Versions with a handshake.
        Legacy => "legacy",
        /// 2026-07-28.
        Modern => "modern",
    }
}

label! {
    /// How a message was answered.
    pub enum McpOutcome {
        /// A result, or accepted.
        Ok => "ok",
        /// A result with `isError`: the tool's own failure.
        ToolError => "tool_error",
        /// A JSON-RPC error of the server that the caller caused.
        CallerError => "caller_error",
        /// A JSON-RPC error of the server that it caused itself (-32603, -32000 to -32099).
        ServerError => "server_error",
        /// Refused by the gateway: malformed, not allowed, over a limit.
        Refused => "refused",
        /// No endpoint answered.
        UpstreamError => "upstream_error",
        /// No answer in time.
        Timeout => "timeout",
        /// The client went away or cancelled.
        Cancelled => "cancelled",
    }
}

label! {
    /// Why a session token was refused.
    pub enum SessionRefusal {
        /// None where one is needed.
        Missing => "missing",
        /// Not a token of ours, or of a key we do not have.
        Invalid => "invalid",
        /// Too old.
        Expired => "expired",
        /// Of another principal.
        Principal => "principal",
        /// Ended by the client or the server, or ended and told to the server because its time was over.
        Ended => "ended",
        /// Not used for `sessions.ttl`.
        Idle => "idle",
        /// Its endpoint is gone and the server is not replayable.
        EndpointGone => "endpoint_gone",
    }
}

label! {
    /// How a re-binding ended.
    pub enum Rebinding {
        /// The session goes on.
        Ok => "ok",
        /// No endpoint took it.
        Failed => "failed",
        /// Too many others were in turn before it.
        Overloaded => "overloaded",
    }
}

label! {
    /// What a list of the merged endpoint got of one member.
    pub enum ListPart {
        /// Its list as it is.
        Current => "current",
        /// Its list as it last was: it does not answer, or not in time.
        LastGood => "last_good",
        /// It has no such list.
        None => "none",
        /// It does not answer, and nothing is known of it: left out.
        Missing => "missing",
    }
}

label! {
    /// What a look into the shared journal found.
    pub enum JournalRead {
        /// An entry.
        Found => "found",
        /// That there is none.
        Nothing => "nothing",
        /// No answer.
        Failed => "failed",
        /// No place among `sessions.max_journal_reads` in time.
        Full => "full",
    }
}

label! {
    /// What a request named that no rule allows its caller.
    pub enum Denied {
        /// A tool.
        Tool => "tool",
        /// A prompt.
        Prompt => "prompt",
        /// A resource or a template of resources.
        Resource => "resource",
        /// A task.
        Task => "task",
        /// A tool whose definition is not the pinned one, or that has no pin where others have.
        Unpinned => "unpinned",
        /// Something that no rule can name, or nothing that can be read.
        Other => "other",
    }
}

label! {
    /// A limit of a server or of some of its tools.
    pub enum Limit {
        /// `max_request_bytes`.
        RequestBytes => "request_bytes",
        /// `max_response_bytes`.
        ResponseBytes => "response_bytes",
        /// `max_concurrency`.
        Concurrency => "concurrency",
    }
}

label! {
    /// Kinds of event streams.
    pub enum StreamKind {
        /// The answer to a POST.
        Post => "post",
        /// A GET stream.
        Get => "get",
        /// `subscriptions/listen`.
        Listen => "listen",
    }
}

label! {
    /// Why a sealed value could not be opened.
    pub enum SealFailure {
        /// Not of our form.
        Malformed => "malformed",
        /// A key id that is not in the ring.
        UnknownKey => "unknown_key",
        /// Changed, or sealed for another purpose or principal.
        BadTag => "bad_tag",
        /// Too old.
        Expired => "expired",
    }
}

/// Handles of one MCP server.
#[derive(Debug)]
pub struct McpMetrics {
    requests: PerLabel<MethodClass, PerLabel<MappedEra, PerLabel<McpOutcome, Counter>>>,
    /// Session tokens given out.
    pub sessions_minted: Counter,
    /// Session tokens accepted.
    pub sessions_opened: Counter,
    /// Session tokens refused.
    pub sessions_refused: PerLabel<SessionRefusal, Counter>,
    /// Sessions moved.
    pub rebindings: PerLabel<Rebinding, Counter>,
    /// Its parts of lists of the merged endpoint.
    pub list_parts: PerLabel<ListPart, Counter>,
    /// Sessions that wait to be moved.
    pub rebindings_waiting: Gauge,
    /// Looks into the shared journal.
    pub journal_reads: PerLabel<JournalRead, Counter>,
    /// Looks that wait.
    pub journal_reads_waiting: Gauge,
    /// Event streams open.
    pub streams: PerLabel<StreamKind, Gauge>,
    /// Bytes kept for resumption.
    pub stream_log_bytes: Gauge,
    /// Bytes of JSON answers held whole.
    pub answers_held: Gauge,
    /// JSON answers without room.
    pub answers_refused: Counter,
    /// Streams resumed.
    pub streams_resumed: Counter,
    /// Answers that nobody waits for.
    pub stale_answers: Counter,
    /// Requests that no rule allows.
    pub denied: PerLabel<Denied, Counter>,
    /// Requests that met a limit of their server or tool.
    pub limited: PerLabel<Limit, Counter>,
    /// Tools that came with another definition.
    pub tool_changes: Counter,
    /// Tools left out of lists because of pins.
    pub tools_withheld: Counter,
    /// Sealed values not opened.
    pub seal_failures: PerLabel<SealFailure, Counter>,
    /// Operations and sessions, by the semantic conventions.
    pub operations: Arc<ServerOperations>,
    _scope: Scope,
}

impl McpMetrics {
    /// Handles of a server, by its name, where nothing outlives it.
    pub fn new(registry: &Registry, server: &str) -> Self {
        Self::with(registry, server, Operations::new(registry, NAMES_MAX).server(server))
    }

    /// Handles of a server, by its name.
    pub fn with(registry: &Registry, server: &str, operations: Arc<ServerOperations>) -> Self {
        let mut scope = registry.scope();
        let requests = PerLabel::new(|method: MethodClass| {
            PerLabel::new(|era: MappedEra| {
                scope.counters(Metric::McpRequests, &[server, method.as_str(), era.as_str()])
            })
        });
        Self {
            requests,
            sessions_minted: scope.counter(Metric::McpSessionsMinted, &[server]),
            sessions_opened: scope.counter(Metric::McpSessionsOpened, &[server]),
            sessions_refused: scope.counters(Metric::McpSessionsRefused, &[server]),
            rebindings: scope.counters(Metric::McpRebindings, &[server]),
            list_parts: scope.counters(Metric::McpListParts, &[server]),
            rebindings_waiting: scope.gauge(Metric::McpRebindingsWaiting, &[server]),
            journal_reads: scope.counters(Metric::McpJournalReads, &[server]),
            journal_reads_waiting: scope.gauge(Metric::McpJournalReadsWaiting, &[server]),
            streams: scope.gauges(Metric::McpStreams, &[server]),
            stream_log_bytes: scope.gauge(Metric::McpStreamLog, &[server]),
            answers_held: scope.gauge(Metric::McpAnswersHeld, &[server]),
            answers_refused: scope.counter(Metric::McpAnswersRefused, &[server]),
            streams_resumed: scope.counter(Metric::McpStreamsResumed, &[server]),
            stale_answers: scope.counter(Metric::McpStaleAnswers, &[server]),
            denied: scope.counters(Metric::McpDenied, &[server]),
            limited: scope.counters(Metric::McpLimited, &[server]),
            operations,
            tool_changes: scope.counter(Metric::McpToolChanges, &[server]),
            tools_withheld: scope.counter(Metric::McpToolsWithheld, &[server]),
            seal_failures: scope.counters(Metric::McpSealFailures, &[server]),
            _scope: scope,
        }
    }

    /// Counts one answered message.
    #[inline]
    pub fn count(&self, method: MethodClass, era: MappedEra, outcome: McpOutcome) {
        self.requests.get(method).get(era).inc(outcome);
    }
}
