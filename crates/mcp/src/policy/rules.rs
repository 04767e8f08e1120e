//! The rules of one server, and what they leave to one caller.
//!
//! | rules | of those that fit the caller | verdict |
//! |---|---|---|
//! | none at all | | permitted |
//! | some | one that fits denies | refused |
//! | some | none that fits denies, one allows | permitted |
//! | some | none says anything | refused |

use holdfast_config::{Glob, McpRule, RuleEffect, is_plain_uri};
use holdfast_identity::Principal;
use std::sync::Arc;

/// What can be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tool,
    Prompt,
    /// By URI.
    Resource,
    /// By the text of the URI template.
    Template,
    /// Something of a method that nobody has specified: only a rule about everything speaks of it.
    Other,
}

/// The rules of one server, in their order; never none.
#[derive(Debug, PartialEq)]
pub(crate) struct Rules(Vec<McpRule>);

impl Rules {
    /// Those of `own` and, of the rules for all servers, those about `server`. `None` if there is no rule anywhere that could be about it:
    /// then everything is permitted. Rules for all servers that are about others leave a server with rules, none of which allows anything.
    pub(crate) fn of(server: &str, all: &[McpRule], own: &[McpRule]) -> Option<Arc<Self>> {
        if all.is_empty() && own.is_empty() {
            return None;
        }
        let about =
            |rule: &&McpRule| rule.servers.is_empty() || rule.servers.iter().any(|glob| glob.matches(server));
        Some(Arc::new(Self(all.iter().filter(about).chain(own).cloned().collect())))
    }

    /// What they leave to `caller`.
    pub(crate) fn view(self: &Arc<Self>, caller: &Principal) -> View {
        let fits = |rule: &McpRule| {
            (rule.subjects.is_empty() || rule.subjects.iter().any(|glob| glob.matches(caller.subject())))
                && (rule.scopes.is_empty() || rule.scopes.iter().any(|scope| caller.has_scope(scope)))
                && (rule.roles.is_empty() || rule.roles.iter().any(|role| caller.has_role(role)))
        };
        let fitting = self.0.iter().enumerate().filter(|(_, rule)| fits(rule)).map(|(at, _)| at).collect();
        View { rules: Arc::clone(self), fitting }
    }
}

/// What the rules of a server leave to one caller.
#[derive(Debug)]
pub(crate) struct View {
    rules: Arc<Rules>,
    /// The rules that fit the caller.
    fitting: Box<[usize]>,
}

impl View {
    fn fitting(&self) -> impl Iterator<Item = &McpRule> {
        self.fitting.iter().filter_map(|at| self.rules.0.get(*at))
    }

    /// Whether the caller may use `name`.
    pub(crate) fn permits(&self, kind: Kind, name: &str) -> bool {
        let of_uris = matches!(kind, Kind::Resource | Kind::Template);
        // Where a pattern decides, a URI that another reader takes for another one is nobody's.
        if of_uris && self.judges_uris() && !is_plain_uri(name, kind == Kind::Template) {
            return false;
        }
        let mut allowed = false;
        for rule in self.fitting().filter(|rule| is_about(rule, kind, name)) {
            match rule.effect {
                RuleEffect::Deny => return false,
                RuleEffect::Allow => allowed = true,
            }
        }
        allowed
    }

    /// Whether the caller may use some tool, whichever: tasks are what tools leave behind, and do not name them.
    pub(crate) fn permits_some_tool(&self) -> bool {
        let whole = |rule: &McpRule| is_everything(rule) || rule.tools.iter().any(Glob::is_any);
        let some = |rule: &McpRule| is_everything(rule) || !rule.tools.is_empty();
        !self.fitting().any(|rule| rule.effect == RuleEffect::Deny && whole(rule))
            && self.fitting().any(|rule| rule.effect == RuleEffect::Allow && some(rule))
    }

    fn judges_uris(&self) -> bool {
        self.fitting().flat_map(|rule| &rule.resources).any(|glob| !glob.is_any())
    }
}

fn is_everything(rule: &McpRule) -> bool {
    rule.tools.is_empty() && rule.prompts.is_empty() && rule.resources.is_empty()
}

fn is_about(rule: &McpRule, kind: Kind, name: &str) -> bool {
    let globs = match kind {
        Kind::Tool => &rule.tools,
        Kind::Prompt => &rule.prompts,
        Kind::Resource | Kind::Template => &rule.resources,
        Kind::Other => return is_everything(rule),
    };
    is_everything(rule) || globs.iter().any(|glob| glob.matches(name))
}
