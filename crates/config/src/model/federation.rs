//! The merged endpoint.

use crate::RouteAuth;
use std::time::Duration;

/// `mcp.federation`: all servers at one endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Federation {
    /// Default true.
    pub enabled: bool,
    /// Who may call it; default: root `auth`.
    pub auth: RouteAuth,
    /// Between a server's name and its own name of a tool or prompt. Default `__`.
    pub separator: String,
    /// Longest joined name, in bytes. Default 64.
    pub name_max: usize,
    /// How long a list waits for a member of which nothing is known. Default 2s.
    pub list_timeout: Duration,
    /// How long it waits for a member whose last good list can stand in for it. Default 100ms.
    pub list_patience: Duration,
    /// What it shows of a member that does not answer in time. Default its last good list.
    pub on_member_failure: OnMemberFailure,
    /// Life of the cursors of merged lists. Default 1h.
    pub cursor_ttl: Duration,
}

/// What a merged list shows of a member that does not answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMemberFailure {
    /// What it last listed for the same caller.
    LastGood,
    /// Nothing.
    Omit,
}
