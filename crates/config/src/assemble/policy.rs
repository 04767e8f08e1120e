//! Rules of MCP servers.

use super::{Missing, assemble, words};
use crate::{
    model::{McpRule, RuleEffect},
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
