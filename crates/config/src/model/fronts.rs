//! MCP clients that do not speak Streamable HTTP.

use crate::ByteSize;
use std::time::Duration;

/// `mcp.conversations`: limits of every connection of such a client.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversations {
    /// At once. Default 20000.
    pub max: usize,
    /// Requests of one that wait for their answer. Default 128.
    pub max_in_flight: usize,
    /// Their bytes; one is always let in. Default 16MiB.
    pub max_in_flight_bytes: ByteSize,
    /// Bytes that wait in each direction; one message is always let in. Default 1MiB.
    pub max_queued_bytes: ByteSize,
    /// A client that reads nothing for this time is closed. Default 60s.
    pub write_timeout: Duration,
}

/// `mcp.sse`: HTTP+SSE (2024-11-05).
#[derive(Clone, Debug, PartialEq)]
pub struct SseFront {
    /// Default true.
    pub enabled: bool,
    /// The stream of the only server. Default `/sse`.
    pub path: String,
    /// Where its messages go. Default `/messages`.
    pub messages_path: String,
}

/// `mcp.websocket`.
#[derive(Clone, Debug, PartialEq)]
pub struct WebSocketFront {
    /// Default true.
    pub enabled: bool,
    /// Clients that do not offer `mcp` are refused. Default true.
    pub require_subprotocol: bool,
    /// Pause between two pings. Default 20s.
    pub ping_interval: Duration,
}

/// `mcp.stdio`: the client of `serve --stdio`.
#[derive(Clone, Debug, PartialEq)]
pub struct StdioFront {
    /// The server it is for. Default: the only one.
    pub server: Option<String>,
    /// Who the client is. Default: anonymous.
    pub subject: Option<String>,
    /// Its tenant.
    pub tenant: Option<String>,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// Its roles.
    pub roles: Vec<String>,
}
