//! Rules of MCP servers.

use super::{Missing, assemble, words};
use crate::{
    model::{McpRule, RuleEffect, ToolLimits, ToolPin},
    value::BlockVal,
};

words!(RuleEffect: "allow" => Self::Allow, "deny" => Self::Deny);

/// The `rules` of all servers or of one.
pub(super) fn rules(block: &BlockVal) -> Result<Vec<McpRule>, Missing> {
    let rule = |rule: &BlockVal| {
        let servers = if rule.schema.key("servers").is_some() { rule.take("servers")? } else { Vec::new() };
        Ok(
            assemble!(rule => McpRule { effect, subjects, scopes, roles, tools, prompts, resources; servers: servers }),
        )
    };
    block.blocks("rules").map(|(_, block)| rule(block)).collect()
}

/// The `tools` of a server.
pub(super) fn tools(block: &BlockVal) -> Result<Vec<ToolLimits>, Missing> {
    let limits = |tool: &BlockVal| {
        Ok(assemble!(tool => ToolLimits { timeout, max_concurrency, max_request_bytes, max_response_bytes;
            tools: tool.take("match")?
        }))
    };
    block.blocks("tools").map(|(_, tool)| limits(tool)).collect()
}

/// The `pins` of a server.
pub(super) fn pins(block: &BlockVal) -> Result<Vec<ToolPin>, Missing> {
    block.blocks("pins").map(|(_, pin)| Ok(assemble!(pin => ToolPin { tool, sha256 }))).collect()
}
