//! MCP servers.

use crate::{ByteSize, RouteAuth, Upstream, UpstreamAuth};
use std::time::Duration;

/// `mcp`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mcp {
    /// Path of the endpoints: `/mcp/{server}`. Default `/mcp`.
    pub path: String,
    /// Public origin, for RFC 9728 metadata. Needed when auth is on. Default none.
    pub public_url: Option<String>,
    /// Origins allowed besides none and same-host. Default none.
    pub allowed_origins: Vec<String>,
    /// Hosts accepted besides the listener's own on loopback. Default none.
    pub allowed_hosts: Vec<String>,
    /// Largest JSON-RPC message from a client. Default 4MiB.
    pub max_message_bytes: ByteSize,
    /// Largest JSON-RPC message from a server. Default 64MiB.
    pub max_response_bytes: ByteSize,
    /// Memory for all JSON answers that are being read whole. Default 256MiB.
    pub response_bytes_total: ByteSize,
    /// Deepest nesting. Default 128.
    pub max_depth: usize,
    /// Messages in one batch (2025-03-26). Default 100.
    pub max_batch: usize,
    /// Comment line on an idle stream. Default 15s.
    pub keep_alive: Duration,
    /// Servers.
    pub servers: Vec<McpServer>,
}

/// One MCP server: a set of equal endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct McpServer {
    /// Name in the path: `A-Za-z0-9_-`, no `__`, at most 64.
    pub name: String,
    /// Endpoints; the path of each URL is the MCP endpoint (usually `/mcp`).
    pub upstream: Upstream,
    /// Who may call; default: root `auth`.
    pub auth: RouteAuth,
    /// What happens when a session's endpoint dies. Default `Pinned`.
    pub session: SessionMode,
    /// Believe `readOnlyHint` and `idempotentHint`: such tools are retried. Default false.
    pub trust_hints: bool,
    /// Which eras the server speaks. Default `Auto`: asked once per endpoint.
    pub era: EraMode,
    /// Whole call, from request to final response. Default 10 min.
    pub request_timeout: Duration,
    /// How long `initialize` or `server/discover` may take. Default 10s.
    pub initialize_timeout: Duration,
    /// Sessions initialised anew at once, where they are replayable. Default 32.
    pub max_reinitializations: usize,
    /// Life of sealed `requestState` and task handles. Default 1h.
    pub handle_ttl: Duration,
    /// Credential for the server. The client's own is never forwarded.
    pub upstream_auth: Option<UpstreamAuth>,
}

/// What happens to a legacy session whose endpoint dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionMode {
    /// 404, so that the client initialises anew.
    Pinned,
    /// The gateway initialises on another endpoint and goes on.
    Replayable,
}

/// Which protocol eras a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EraMode {
    /// Ask it.
    Auto,
    /// Handshake versions only.
    Legacy,
    /// 2026-07-28 only.
    Modern,
    /// Both.
    Dual,
}
