//! The table itself.

/// What a client may do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same request fails again.
    No,
    /// Nothing was processed: sending the request again is safe.
    Safe,
    /// The request may have been processed: only the caller knows whether repeating it does harm.
    IfIdempotent,
    /// After a new `initialize`.
    NewSession,
}

impl Retry {
    /// As in `error.data.retry`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Safe => "safe",
            Self::IfIdempotent => "if_idempotent",
            Self::NewSession => "new_session",
        }
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Which problem it describes.
    pub problem: Problem,
    /// JSON-RPC error code.
    pub code: i32,
    /// HTTP status when the error is the whole response.
    pub status: u16,
    /// `error.data.reason`, and the label of the metric.
    pub reason: &'static str,
    /// Beginning of `error.message`.
    pub message: &'static str,
    /// What the client may do.
    pub retry: Retry,
    /// When it is sent and what to do, for the reference page.
    pub when: &'static str,
}

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident { $code:expr, $status:expr, $reason:expr, $message:expr, $retry:ident, $when:expr })*) => {
        /// What Holdfast itself can answer with.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Problem { $($(#[$doc])* $name,)* }

        /// Every error, in the order of [`Problem`].
        pub const TABLE: &[Row] = &[$(Row {
            problem: Problem::$name, code: $code, status: $status, reason: $reason, message: $message,
            retry: Retry::$retry, when: $when,
        },)*];
    };
}

problems! {
    /// JSON-RPC parse error
    ParseError { -32700, 400, "parse_error", "Parse error", No,
        "The body is not one JSON text in UTF-8." }
    /// JSON-RPC invalid request
    InvalidRequest { -32600, 400, "invalid_request", "Invalid request", No,
        "The JSON is no acceptable JSON-RPC message: a batch where none is allowed, `id: null`, a duplicate member, nesting above `mcp.max_depth`." }
    /// JSON-RPC method not found
    MethodNotFound { -32601, 404, "method_not_found", "Method not found", No,
        "2026-07-28: the method does not exist in this version or this server does not have it." }
    /// JSON-RPC invalid params
    InvalidParams { -32602, 400, "invalid_params", "Invalid params", No,
        "2026-07-28: a required `_meta` member is missing. Any version: a cursor, `requestState` or task id was not issued here to this caller, or has expired." }
    /// JSON-RPC internal error
    Internal { -32603, 500, "internal", "Internal error", IfIdempotent,
        "A defect of the gateway; the log has the request id." }
    /// MCP HeaderMismatch
    HeaderMismatch { -32020, 400, "header_mismatch", "Header mismatch", No,
        "2026-07-28: `MCP-Protocol-Version`, `Mcp-Method`, `Mcp-Name` or a declared `Mcp-Param-*` is missing, repeated, malformed, or differs from the body." }
    /// MCP UnsupportedProtocolVersion
    UnsupportedVersion { -32022, 400, "unsupported_version", "Unsupported protocol version", No,
        "The version is unknown, or no endpoint of this server speaks it. `data.supported` lists what would do, `data.requested` repeats what was asked for. Only handshake versions in the list: use `initialize`." }
    /// An upstream died under a request that may have been processed
    UpstreamLost { -31000, 502, "upstream_lost", "The server was lost while it had the request", IfIdempotent,
        "The connection broke after the request was sent. The server may have processed it, so the gateway does not repeat it." }
    /// Nothing was sent: no endpoint takes requests
    NoEndpoint { -31001, 503, "no_endpoint", "No endpoint of the server takes requests", Safe,
        "All endpoints are down, drained or refusing. Nothing was sent. See `Retry-After`." }
    /// The deadline passed
    Timeout { -31002, 504, "timeout", "The server did not answer in time", IfIdempotent,
        "`request_timeout` or `initialize_timeout` passed." }
    /// An upstream answered something that is no MCP
    BadUpstream { -31003, 502, "bad_upstream", "The server's answer is not usable", IfIdempotent,
        "The endpoint answered, but not with JSON-RPC for this request, or with more than `mcp.max_response_bytes`." }
    /// The endpoint a handle belongs to is gone
    EndpointGone { -31004, 503, "endpoint_gone", "The endpoint that holds this state is not reachable", Safe,
        "A task id or `requestState` leads to one endpoint, and that one takes no requests. Nothing was sent. It may come back; otherwise start the operation anew." }
    /// Too many requests at once
    Overloaded { -31005, 503, "overloaded", "Too many requests", Safe,
        "A concurrency limit is full. Nothing was sent. See `Retry-After`." }
    /// A quota is used up
    RateLimited { -31006, 429, "rate_limited", "Quota used up", Safe,
        "A quota of the caller or the route is used up. Nothing was sent. See `Retry-After`." }
    /// The memory for answers is used up
    AnswersFull { -31007, 503, "answers_full", "No room for the server's answer", IfIdempotent,
        "The answers that are being read need more than `mcp.response_bytes_total` together. The server may have processed the request. See `Retry-After`." }
    /// The session does not exist any more
    SessionDead { -31010, 404, "session_dead", "The session has ended", NewSession,
        "The session expired, was deleted, belongs to another caller, or died with its endpoint. Send `initialize` without a session id." }
    /// A request needs a session and names none
    SessionMissing { -31011, 400, "session_missing", "A session is needed", NewSession,
        "Versions before 2026-07-28: every request after `initialize` needs the `Mcp-Session-Id` that it returned." }
    /// The same stream is already being read
    StreamBusy { -31012, 409, "stream_busy", "The session already has this stream open", No,
        "A session may hold one standalone GET stream." }
    /// A client and a server of different eras
    EraUnbridged { -31013, 400, "era_unbridged", "The server speaks only versions without a handshake", No,
        "`initialize` was sent to a server that speaks 2026-07-28 only. `data.supported` lists its versions." }
    /// The merged endpoint
    NotMerged { -31014, 404, "not_merged", "This endpoint serves no single server", No,
        "Servers are reached one by one; `data.servers` names their paths." }
    /// No such server
    UnknownServer { -31015, 404, "unknown_server", "No server of this name", No,
        "The path names a server that is not configured." }
    /// The message is too large
    PayloadTooLarge { -31020, 413, "payload_too_large", "The message is too large", No,
        "The message is larger than `mcp.max_message_bytes`, or a batch longer than `mcp.max_batch`." }
    /// The body did not arrive
    BodyIncomplete { -31021, 408, "body_incomplete", "The message did not arrive in time", Safe,
        "The body was not complete when the body timeout passed." }
    /// Wrong HTTP method
    MethodNotAllowed { -31022, 405, "method_not_allowed", "HTTP method not allowed", No,
        "An MCP endpoint takes POST, and for versions with sessions GET and DELETE. See `Allow`." }
    /// Wrong `Accept`
    NotAcceptable { -31023, 406, "not_acceptable", "Not acceptable", No,
        "`Accept` must list `application/json` and `text/event-stream` for POST, `text/event-stream` for GET." }
    /// Wrong `Content-Type`
    UnsupportedMediaType { -31024, 415, "unsupported_media_type", "Unsupported media type", No,
        "`Content-Type` must be `application/json`, in UTF-8." }
    /// No usable credential
    Unauthorized { -31030, 401, "unauthorized", "Authentication is needed", No,
        "There is no valid credential. See `WWW-Authenticate`." }
    /// The credential does not suffice
    Forbidden { -31031, 403, "forbidden", "Not allowed", No,
        "The credential is valid, but lacks a scope or the right to this route." }
    /// A rule
    NotPermitted { -31033, 403, "not_permitted", "Not permitted", No,
        "No rule of `mcp.rules` or of the server's `rules` allows it to this caller. Whether it exists is not said. Over versions with sessions the HTTP status is 200." }
    /// A pin
    NotPinned { -31034, 403, "not_pinned", "The tool is not the pinned one", No,
        "The server has `pins`, and this tool has none, or its definition is another now, or cannot be had. An operator has to look at it. Over versions with sessions the HTTP status is 200." }
    /// Origin or Host
    OriginRefused { -31032, 403, "origin_refused", "Origin or Host not allowed", No,
        "A guard against DNS rebinding. Allow the origin in `mcp.allowed_origins` or the name in `mcp.allowed_hosts`." }
}

impl Problem {
    /// Its line in the table.
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// True for codes that Holdfast defines, false for those of JSON-RPC and MCP.
    pub fn is_own(self) -> bool {
        !(-32768..=-32000).contains(&self.row().code)
    }
}
