//! MCP servers.

use crate::{
    ByteSize, Conversations, Federation, McpRule, RouteAuth, Secret, SseFront, StdioFront, ToolLimits,
    ToolPin, Upstream, UpstreamAuth, WebSocketFront,
};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

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
    /// Limits of the connections of clients that do not speak Streamable HTTP.
    pub conversations: Conversations,
    /// Clients of HTTP+SSE.
    pub sse: SseFront,
    /// Clients of WebSocket.
    pub websocket: WebSocketFront,
    /// The client of `serve --stdio`.
    pub stdio: StdioFront,
    /// All servers at one endpoint.
    pub federation: Federation,
    /// Who may use what of all servers. Once there is one, what none allows is refused.
    pub rules: Vec<McpRule>,
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
    /// What the endpoints speak. Default: WebSocket for `ws://` and `wss://`, whose URLs are `http://` and `https://` here.
    pub transport: Transport,
    /// A program to run instead: then `upstream` has no endpoints, and its policy holds for what is run.
    pub command: Option<Command>,
    /// Connections that Holdfast holds to a server that does not speak Streamable HTTP.
    pub links: Links,
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
    /// Largest message of a client; `None` = as for all servers.
    pub max_request_bytes: Option<ByteSize>,
    /// Largest message of the server; `None` = as for all servers.
    pub max_response_bytes: Option<ByteSize>,
    /// Limits of single tools; the first that matches holds.
    pub tools: Vec<ToolLimits>,
    /// Tools by their definition. Once there is one, every other is refused.
    pub pins: Vec<ToolPin>,
    /// Who may use what of this one, beside the rules of all.
    pub rules: Vec<McpRule>,
    /// Credential for the server. The client's own is never forwarded.
    pub upstream_auth: Option<UpstreamAuth>,
}

/// A program that speaks MCP over its standard input and output.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Looked up in `PATH` unless it has a `/`. No shell.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables it gets besides the allowed ones.
    pub env: BTreeMap<String, Secret>,
    /// Variables of this process that it gets; a `*` at the end stands for anything.
    pub env_allow: Vec<String>,
    /// Its working directory. Default: that of this process.
    pub cwd: Option<PathBuf>,
    /// Between the steps of its end: input closed, SIGTERM, SIGKILL. Default 2s.
    pub stop_grace: Duration,
    /// Processes at once. Default 64.
    pub max_processes: usize,
    /// Processes at once of one principal. Default 8.
    pub max_processes_per_principal: usize,
    /// Open files of one process. Default 1024.
    pub max_open_files: u32,
    /// Address space of one process. Default: no limit.
    pub max_memory: Option<ByteSize>,
}

/// Links to a server, and what may wait on one.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_field_names,
    reason = "fields are named as the keys are, and those stand beside others"
)]
pub struct Links {
    /// Modern requests of everybody go over the same links. Default false: each principal has its own.
    pub shared: bool,
    /// How many, if shared. Default 4.
    pub pool: usize,
    /// A link without sessions is closed after this time without a request. Default 5min.
    pub idle: Duration,
    /// Messages of a server that wait for one reader. Default 1024.
    pub queue_messages: usize,
    /// Their bytes, and those that wait to be sent. One message is always let in. Default 4MiB.
    pub queue_bytes: ByteSize,
    /// Connections at once, of a server that is not a program. Default 512.
    pub max_links: usize,
    /// The same of one principal. Default `max_links`.
    pub max_links_per_principal: usize,
    /// Pause between two pings on a silent WebSocket. Default 20s.
    pub link_ping_interval: Duration,
}

/// What the endpoints of an MCP server speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One endpoint, sessions in a header.
    StreamableHttp,
    /// 2024-11-05: an event stream, and an address to post to that it names.
    Sse,
    /// One message in a text frame.
    WebSocket,
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
