//! Every metric, declared once. The page, the reference and the handles all come from this table.

/// How a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows. `_total` is appended.
    Counter,
    /// Goes up and down; whole numbers.
    Gauge,
    /// Goes up and down; seconds with a fraction.
    Seconds,
    /// Durations in fixed buckets.
    Histogram,
    /// Durations in the buckets of the semantic conventions for MCP.
    Operations,
}

/// Unit, appended to the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `_bytes`.
    Bytes,
    /// `_seconds`.
    Seconds,
}

impl Unit {
    /// As in the name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Seconds => "seconds",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Name without unit and `_total`.
    pub name: &'static str,
    /// Kind.
    pub kind: Kind,
    /// Unit.
    pub unit: Option<Unit>,
    /// Label names, in the order of the values a room gives.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

impl Definition {
    /// The name as a scraper sees it; of a histogram the part before `_bucket`, `_sum` and `_count`.
    pub fn full_name(&self) -> String {
        let mut name = self.name.to_owned();
        if let Some(unit) = self.unit {
            name.push('_');
            name.push_str(unit.as_str());
        }
        if self.kind == Kind::Counter {
            name.push_str("_total");
        }
        name
    }
}

macro_rules! table {
    ($($variant:ident: $kind:ident $name:literal $(in $unit:ident)? [$($label:literal),*] $help:literal;)+) => {
        /// A metric of the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the help text is in the table")]
        pub enum Metric { $($variant,)+ }

        impl Metric {
            /// Every metric, in the order of the page.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its row.
            pub fn definition(self) -> &'static Definition {
                match self {
                    $(Self::$variant => &Definition {
                        name: $name,
                        kind: Kind::$kind,
                        unit: table!(@unit $($unit)?),
                        labels: &[$($label),*],
                        help: $help,
                    },)+
                }
            }
        }
    };
    (@unit) => { None };
    (@unit $unit:ident) => { Some(Unit::$unit) };
}

table! {
    BuildInfo: Gauge "holdfast_build_info" ["version"] "Always 1; the version of the running program.";
    ConfigGeneration: Gauge "holdfast_config_generation" [] "Generation of the snapshot that serves; grows by one with each successful reload.";
    ConfigLastReloadOk: Gauge "holdfast_config_last_reload_successful" [] "1 if the last load or reload succeeded, 0 if it was refused and the old snapshot serves on.";
    ConfigLastReloadTime: Gauge "holdfast_config_last_reload_timestamp" in Seconds [] "When the last load or reload was tried, in seconds since 1970.";
    ConfigReloads: Counter "holdfast_config_reloads" ["result"] "Loads and reloads tried.";
    DrainPhase: Gauge "holdfast_drain_phase" ["phase"] "1 for the phase of shutting down that the process is in, 0 for the others.";

    EdgeConnectionsOpen: Gauge "holdfast_edge_connections_open" ["listener"] "Client connections open now.";
    EdgeConnections: Counter "holdfast_edge_connections" ["listener"] "Client connections accepted.";
    EdgeConnectionsRefused: Counter "holdfast_edge_connections_refused" ["listener", "reason"] "Client connections closed before their first request because a limit was reached.";
    EdgeHandshakes: Counter "holdfast_edge_tls_handshakes" ["listener"] "TLS handshakes completed.";
    EdgeHandshakesOpen: Gauge "holdfast_edge_tls_handshakes_open" ["listener"] "TLS handshakes under way; server.max_handshakes is their limit over all listeners.";
    EdgeHandshakesWaiting: Gauge "holdfast_edge_tls_handshakes_waiting" ["listener"] "Connections that wait because server.max_handshakes TLS handshakes are under way.";
    EdgeAcceptPauses: Counter "holdfast_edge_accept_pauses" ["listener"] "Times that accepting paused because server.accept_rate was reached; connections wait in the system's queue meanwhile.";
    EdgeTlsFailures: Counter "holdfast_edge_tls_failures" ["listener", "reason"] "TLS handshakes that failed.";
    EdgeFraming: Counter "holdfast_edge_framing_violations" ["listener", "reason"] "HTTP/1 messages refused because where they end is ambiguous or malformed.";
    EdgeStalls: Counter "holdfast_edge_stalls" ["listener", "kind"] "Connections closed because a client made no progress.";
    EdgeRequestsInFlight: Gauge "holdfast_edge_requests_in_flight" ["listener"] "Requests whose response is not written to its end.";
    CertificateExpiry: Gauge "holdfast_certificate_expiry_timestamp" in Seconds ["listener", "certificate"] "When a server certificate in use ends, in seconds since 1970.";
    CertificateReloadFailures: Counter "holdfast_certificate_reload_failures" ["listener", "certificate"] "Changed certificate files that could not be used; the old certificate serves on.";

    RouteRequests: Counter "holdfast_route_requests" ["route", "code"] "Requests ended, by class of the status code.";
    RouteOutcomes: Counter "holdfast_route_outcomes" ["route", "outcome"] "Requests ended, by how they ended; only upstream_error, timeout, truncated and ended_drain are failures of the service.";
    RouteDuration: Histogram "holdfast_route_request_duration" in Seconds ["route"] "Time from a request's head to the last byte of its response.";
    RouteFirstByte: Histogram "holdfast_route_time_to_first_byte" in Seconds ["route"] "Time from a request's head to the head of its response.";
    RouteBytesIn: Counter "holdfast_route_request" in Bytes ["route"] "Bytes of request bodies.";
    RouteBytesOut: Counter "holdfast_route_response" in Bytes ["route"] "Bytes of response bodies.";
    RouteTunnels: Gauge "holdfast_route_tunnels_open" ["route"] "Upgraded connections open now.";

    UpstreamAttempts: Counter "holdfast_upstream_attempts" ["upstream", "endpoint", "outcome"] "Attempts by endpoint and how they ended.";
    UpstreamRetries: Counter "holdfast_upstream_retries" ["upstream"] "Attempts after the first.";
    UpstreamRetriesRefused: Counter "holdfast_upstream_retries_refused" ["upstream", "budget"] "Retries not made because a budget was empty.";
    UpstreamUnroutable: Counter "holdfast_upstream_unroutable" ["upstream", "reason"] "Requests for which no endpoint could be picked.";
    UpstreamEndpoints: Gauge "holdfast_upstream_endpoints" ["upstream", "state"] "Endpoints by state.";
    UpstreamInFlight: Gauge "holdfast_upstream_requests_in_flight" ["upstream", "endpoint"] "Attempts under way.";
    UpstreamBreakerState: Gauge "holdfast_upstream_breaker_state" ["upstream", "endpoint"] "State of the circuit breaker: 0 closed (admitting), 1 half open (probing), 2 open (refusing).";
    UpstreamBreakerTransitions: Counter "holdfast_upstream_breaker_transitions" ["upstream", "endpoint", "to"] "Changes of the circuit breaker, by the new state.";
    UpstreamEjections: Counter "holdfast_upstream_ejections" ["upstream", "endpoint"] "Ejections of an endpoint by its outcomes.";
    UpstreamConnections: Counter "holdfast_upstream_connects" ["upstream", "endpoint", "result"] "Connections tried, by result.";
    UpstreamPoolOpen: Gauge "holdfast_upstream_pool_connections_open" ["upstream", "endpoint"] "Connections of the pool, busy or idle.";
    UpstreamPoolIdle: Gauge "holdfast_upstream_pool_connections_idle" ["upstream", "endpoint"] "Connections that wait for a request.";
    UpstreamPoolWaiting: Gauge "holdfast_upstream_pool_requests_waiting" ["upstream", "endpoint"] "Requests that wait for a connection of a full pool.";
    UpstreamHealthy: Gauge "holdfast_upstream_endpoint_healthy" ["upstream", "endpoint"] "1 if active probes say that the endpoint works, or none are configured; else 0.";
    UpstreamProbes: Counter "holdfast_upstream_probes" ["upstream", "endpoint", "result"] "Active probes.";
    UpstreamLatency: Seconds "holdfast_upstream_latency_ewma" in Seconds ["upstream", "endpoint"] "Moving average of the time to the head of a response, as the balancer sees it.";
    UpstreamFirstByte: Histogram "holdfast_upstream_time_to_first_byte" in Seconds ["upstream"] "Time from an attempt's start to the head of its response.";
    UpstreamResolutions: Counter "holdfast_upstream_resolutions" ["upstream", "result"] "Name resolutions; a failed one leaves the last good addresses in use.";

    McpRequests: Counter "holdfast_mcp_requests" ["server", "method", "era", "outcome"] "JSON-RPC messages from clients that were answered, by class of method, protocol era and outcome.";
    McpSessionsMinted: Counter "holdfast_mcp_sessions_minted" ["server"] "Session tokens given to clients.";
    McpSessionsOpened: Counter "holdfast_mcp_sessions_opened" ["server"] "Session tokens opened and accepted.";
    McpSessionsRefused: Counter "holdfast_mcp_sessions_refused" ["server", "reason"] "Session tokens refused.";
    McpRebindings: Counter "holdfast_mcp_rebindings" ["server", "result"] "Sessions moved to another endpoint because theirs died.";
    McpListParts: Counter "holdfast_mcp_list_parts" ["server", "part"] "Parts of this server in lists of the merged endpoint: as it is now, as it last was, or left out.";
    McpRebindingsWaiting: Gauge "holdfast_mcp_rebindings_waiting" ["server"] "Sessions that wait for their turn to be initialised anew because max_reinitializations of the server are under way.";
    McpJournalReads: Counter "holdfast_mcp_journal_reads" ["server", "result"] "Looks into the journal that replicas share.";
    McpJournalReadsWaiting: Gauge "holdfast_mcp_journal_reads_waiting" ["server"] "Looks that wait because sessions.max_journal_reads are under way.";
    McpStreams: Gauge "holdfast_mcp_streams_open" ["server", "kind"] "Event streams open towards clients.";
    McpStreamLog: Gauge "holdfast_mcp_stream_log" in Bytes ["server"] "Memory held so that broken event streams can be resumed.";
    McpAnswersHeld: Gauge "holdfast_mcp_answers_held" in Bytes ["server"] "Memory of JSON answers that came in several pieces and are held whole.";
    McpAnswersRefused: Counter "holdfast_mcp_answers_refused" ["server"] "JSON answers given up because mcp.response_bytes_total was used up.";
    McpStreamsResumed: Counter "holdfast_mcp_streams_resumed" ["server"] "Event streams resumed with Last-Event-ID.";
    McpStaleAnswers: Counter "holdfast_mcp_stale_answers" ["server"] "Answers of clients to a question that no endpoint waits for any more.";
    McpDenied: Counter "holdfast_mcp_denied" ["server", "kind"] "Requests refused because no rule allows them to their caller, or because of a pin (unpinned), by what they named.";
    McpLimited: Counter "holdfast_mcp_limited" ["server", "limit"] "Requests that ended because of a limit of their server or of the tool they called.";
    McpToolChanges: Counter "holdfast_mcp_tool_changes" ["server"] "Times that a tool was listed with a definition that it had not had before.";
    McpToolsWithheld: Counter "holdfast_mcp_tools_withheld" ["server"] "Times that a tool was left out of a list because its definition is not a pinned one; once for each list.";
    McpSealFailures: Counter "holdfast_mcp_seal_failures" ["server", "reason"] "Sealed values from clients that could not be opened.";

    McpServerOperations: Operations "mcp_server_operation_duration" in Seconds ["server", "mcp_method_name", "gen_ai_tool_name", "gen_ai_prompt_name", "gen_ai_operation_name", "error_type", "rpc_response_status_code", "mcp_protocol_version", "network_transport"] "mcp.server.operation.duration: a client's request or notification, from when it was received until it was answered.";
    McpClientOperations: Operations "mcp_client_operation_duration" in Seconds ["server", "mcp_method_name", "gen_ai_tool_name", "gen_ai_prompt_name", "gen_ai_operation_name", "error_type", "rpc_response_status_code", "mcp_protocol_version", "network_transport"] "mcp.client.operation.duration: a request or notification to a server, from when it was sent until it was answered.";
    McpServerSessions: Operations "mcp_server_session_duration" in Seconds ["server", "error_type", "mcp_protocol_version", "network_transport"] "mcp.server.session.duration: sessions of clients that ended here, by DELETE or because their time was over.";
    McpClientSessions: Operations "mcp_client_session_duration" in Seconds ["server", "error_type", "mcp_protocol_version", "network_transport"] "mcp.client.session.duration: sessions with servers that ended here.";
    McpNamesUnlabelled: Counter "holdfast_mcp_names_unlabelled" ["server"] "Operations whose tool or prompt is counted as _OTHER because observability.metrics.max_names others have a label.";

    LinksOpen: Gauge "holdfast_links_open" ["server"] "Links to a server that does not speak Streamable HTTP: open, or not yet at their end. Of a program these are its processes.";
    LinkOpenings: Counter "holdfast_link_openings" ["server", "result"] "Links opened or tried; a failed one ended before its first message.";
    LinkEnds: Counter "holdfast_link_ends" ["server", "cause"] "Links that ended, by cause.";
    LinkDrops: Counter "holdfast_link_messages_dropped" ["server", "reason"] "Messages of a server that were shown to nobody.";
    LinkTears: Counter "holdfast_link_streams_torn" ["server", "reason"] "Answers that broke off towards their readers.";
    LinkUnsent: Counter "holdfast_link_messages_unsent" ["server"] "Messages not sent because queue_bytes of others wait until the server reads them.";
    LinkBreaker: Gauge "holdfast_link_breaker_state" ["server"] "State of the circuit breaker before new links: 0 closed (admitting), 1 half open (probing), 2 open (refusing).";
    LinkProcessEnds: Counter "holdfast_link_process_ends" ["server", "by"] "Processes of a program that ended, by what it took.";
    LinkLinesSuppressed: Counter "holdfast_link_lines_suppressed" ["server"] "Lines of a program's standard error, or noise on its standard output, that were not logged because there were too many.";

    ConversationsOpen: Gauge "holdfast_conversations_open" ["transport"] "Connections of MCP clients that do not speak Streamable HTTP, open now; mcp.conversations.max is their limit.";
    ConversationEnds: Counter "holdfast_conversation_ends" ["transport", "cause"] "Such connections that ended, by cause.";
    ConversationRefusals: Counter "holdfast_conversation_messages_refused" ["transport", "reason"] "Messages of such clients that were refused before any server saw them.";
    ConversationResumptions: Counter "holdfast_conversation_streams_resumed" [] "Answers that broke off and were asked for again in place of such a client.";
    ConversationsPassed: Counter "holdfast_conversation_messages_passed" ["result"] "Messages of HTTP+SSE clients passed to the replica that holds their stream, by result.";

    McpSessionsKnown: Gauge "holdfast_mcp_sessions_known" [] "Sessions used here lately; at most about sessions.max_entries.";
    McpUsesUnnoted: Counter "holdfast_mcp_session_uses_unnoted" [] "Uses of sessions that were not noted because sessions.max_entries others wait to be told to the store: such a session may end early.";
    McpTouches: Counter "holdfast_mcp_session_touches" ["result"] "Sessions whose last use was told to the store, by result; a failed one is told again.";
    McpLastUses: Counter "holdfast_mcp_session_last_uses" ["result"] "Sessions that came to a replica where they were not used lately, by what the shared store said.";
    McpSessionEnds: Counter "holdfast_mcp_session_ends" ["result"] "Sessions whose idle or absolute end this replica took upon itself, by what became of them.";

    PeerLinks: Gauge "holdfast_peer_links" ["state"] "Addresses of other replicas, by what their link is doing; own is an address of this process.";
    PeerReplicas: Gauge "holdfast_peer_replicas" [] "Other replicas that live.";
    PeerDials: Counter "holdfast_peer_dials" ["result"] "Dials of an address, by result.";
    PeerDeaths: Counter "holdfast_peer_deaths" ["reason"] "Links to a living replica that ended.";
    PeerRoundTrip: Histogram "holdfast_peer_round_trip" in Seconds [] "Time from a ping to its answer.";
    PeerResolutions: Counter "holdfast_peer_resolutions" ["result"] "Resolutions of the names of peers; a failed one leaves the last good addresses in use.";
    PeerConnections: Gauge "holdfast_peer_connections_open" [] "Connections accepted from other replicas and open now, known or not.";
    PeerConnectionsEnded: Counter "holdfast_peer_connections_ended" ["reason"] "Connections from the peer port that this replica refused or closed.";
    PeerAsks: Counter "holdfast_peer_asks" ["outcome"] "Questions to other replicas, by how they ended.";
    PeerAsksInFlight: Gauge "holdfast_peer_asks_in_flight" [] "Questions whose answer is not read to its end.";
    PeerAnswersTorn: Counter "holdfast_peer_answers_torn" [] "Answers of other replicas that broke off before their end.";
    PeerAnswers: Counter "holdfast_peer_answers" ["outcome"] "Questions of other replicas, by how they were answered.";
    PeerAnswersInFlight: Gauge "holdfast_peer_answers_in_flight" [] "Questions of other replicas that are being answered.";
    PeerNotes: Counter "holdfast_peer_notes" ["outcome"] "Notes between replicas; a dropped one is repeated by nobody.";

    StoreConnections: Gauge "holdfast_store_connections_open" ["server"] "Connections to a server of the shared store, open now.";
    StoreConnects: Counter "holdfast_store_connects" ["server", "result"] "Connections to a server of the shared store tried, by result.";
    StoreBreakerState: Gauge "holdfast_store_breaker_state" ["server"] "State of the circuit breaker before a server of the shared store: 0 closed (admitting), 1 half open (probing), 2 open (refusing).";
    StoreBreakerTransitions: Counter "holdfast_store_breaker_transitions" ["server", "to"] "Changes of that circuit breaker, by the new state.";
    StoreDetours: Counter "holdfast_store_detours" ["answer"] "Answers of the store's servers that sent a command elsewhere or made it wait.";
    StoreRetries: Counter "holdfast_store_retries" [] "Attempts of store operations after the first that failed.";
    StoreFailovers: Counter "holdfast_store_failovers" [] "Times that another server became the master of the store, or of some of a cluster's slots.";
    StoreOperations: Counter "holdfast_store_operations" ["part", "result"] "Operations on the shared store, by part of the store and result.";
    StoreBadSeals: Counter "holdfast_store_bad_seals" ["value"] "Values in the shared store that were taken for absent because their seal did not open.";
    StoreResyncs: Counter "holdfast_store_resyncs" [] "Times that all changes of sessions were read anew, after a start or an interruption.";
    StoreChangesPending: Gauge "holdfast_store_changes_pending" [] "Changes of sessions that this replica has not told the others yet.";

    TraceSpansSent: Counter "holdfast_trace_spans_sent" [] "Spans that the collector took.";
    TraceSpansLost: Counter "holdfast_trace_spans_lost" ["reason"] "Spans that were to be kept and were lost.";
    TraceSpansWaiting: Gauge "holdfast_trace_spans_waiting" [] "Spans that wait to be sent; observability.tracing.max_queue is their limit.";
    TraceExports: Counter "holdfast_trace_exports" ["result"] "Messages to the collector of spans, by how they ended.";

    AccessRecords: Counter "holdfast_access_log_records" [] "Access records handed to the writer.";
    AccessDropped: Counter "holdfast_access_log_dropped" [] "Access records lost because the writer could not keep up or could not write.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_legal() {
        let mut seen = HashSet::new();
        for metric in Metric::ALL {
            let definition = metric.definition();
            let name = definition.full_name();
            // The names of a convention are not ours to choose.
            let conventional = definition.kind == Kind::Operations && name.starts_with("mcp_");
            assert!(name.starts_with("holdfast_") || conventional, "{name}");
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{name}"
            );
            assert!(seen.insert(name.clone()), "{name} is declared twice");
            assert!(
                definition.help.ends_with('.') && !definition.help.contains('\n'),
                "{name}: help is a sentence"
            );
            if matches!(definition.kind, Kind::Histogram | Kind::Operations) {
                assert_eq!(definition.unit, Some(Unit::Seconds), "{name}: a histogram holds durations");
            }
        }
    }
}
