//! Who may use what of MCP servers.

use crate::{ByteSize, Glob};
use std::time::Duration;

/// One rule of `mcp.rules` or `mcp.servers[].rules`.
#[derive(Clone, Debug, PartialEq)]
pub struct McpRule {
    /// Default `Allow`.
    pub effect: RuleEffect,
    /// Callers by name; empty = everybody.
    pub subjects: Vec<Glob>,
    /// Callers with one of these; empty = everybody.
    pub scopes: Vec<String>,
    /// Callers with one of these; empty = everybody.
    pub roles: Vec<String>,
    /// Servers; empty = all. A server's own rule has none.
    pub servers: Vec<Glob>,
    /// Tools. Everything, if there are neither tools nor prompts nor resources.
    pub tools: Vec<Glob>,
    /// Prompts.
    pub prompts: Vec<Glob>,
    /// Resources and their templates.
    pub resources: Vec<Glob>,
}

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleEffect {
    /// The caller may.
    Allow,
    /// The caller may not, whatever else allows it.
    Deny,
}

/// Limits for calls of some tools; `None` = as for the server.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolLimits {
    /// Which tools.
    pub tools: Glob,
    /// Of a whole call.
    pub timeout: Option<Duration>,
    /// Calls at once of all of them.
    pub max_concurrency: Option<usize>,
    /// Largest call.
    pub max_request_bytes: Option<ByteSize>,
    /// Largest message of the answer.
    pub max_response_bytes: Option<ByteSize>,
}

/// A tool and what its definition must be.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolPin {
    /// Name of the tool at the server.
    pub tool: String,
    /// SHA-256 of its canonical definition, in lower-case hexadecimal; any of these.
    pub sha256: Vec<String>,
}
