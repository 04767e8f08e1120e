//! The members of the merged endpoint, and the request of a client as each of them gets it.

use super::{Names, Patience};
use crate::{
    caller::Caller,
    errors::{McpError, Problem},
    frame::{Frame, Splice},
    guest::Guest,
    headers,
    seal::Purpose,
    server::Server,
    source::answer_limits,
    token::{Audience, Handle, unix_now},
};
use holdfast_telemetry::metrics::ServerOperations;
use http::{HeaderMap, HeaderValue};
use std::{sync::Arc, time::Duration};

/// The servers of a snapshot that are shown as one.
pub(crate) struct Federation {
    /// In the order of the configuration.
    pub(crate) members: Vec<Arc<Server>>,
    pub(crate) names: Names,
    pub(crate) patience: Patience,
    /// Life of the cursors of merged lists.
    pub(crate) cursor_ttl: Duration,
    /// Counts what the endpoint answers by itself.
    pub(crate) operations: Arc<ServerOperations>,
}

impl Federation {
    /// A member by its name.
    pub(crate) fn member(&self, name: &str) -> Option<&Arc<Server>> {
        self.members.iter().find(|member| member.name() == name)
    }

    /// The place of the member that issued a task id to this caller.
    pub(crate) fn issuer(&self, guest: &Guest, task: &str) -> Option<usize> {
        let now = unix_now();
        self.members.iter().position(|member| {
            let audience = Audience { server: member.name(), principal: &guest.principal };
            Handle::open(&guest.shared.ring, Purpose::Task, audience, task, now).is_ok()
        })
    }

    /// The member that a joined name leads to, and its own name for the thing.
    pub(crate) fn named<'n>(&self, joined: &'n str) -> Option<(&Arc<Server>, &'n str)> {
        let (member, name) = self.names.split(joined)?;
        Some((self.member(member)?, name))
    }
}

/// 2025-11-25 and 2026-07-28 tools, "Error Handling": an unknown tool is -32602.
pub(crate) fn unknown(name: &str) -> McpError {
    McpError::new(Problem::InvalidParams).detail(format!("no server here has '{name}'"))
}

/// A changed message, read again.
pub(crate) fn changed(splice: Splice<'_>) -> Result<Frame, McpError> {
    let internal = || McpError::new(Problem::Internal);
    let bytes = splice.finish().map_err(|_| internal())?;
    // It was within the limits of a client's message, and has grown by less than a name.
    let limits = answer_limits(bytes.len());
    Frame::parse(bytes, &limits).map_err(|_| internal())
}

impl Guest {
    /// The caller of `member` for `frame`: with the headers that mirror this message, where a modern client must send them.
    pub(crate) fn of_member(&self, member: &Arc<Server>, frame: &Frame) -> Arc<Caller> {
        self.caller(member, self.member_headers(frame))
    }

    /// The client's headers, with those that mirror `frame`.
    pub(crate) fn member_headers(&self, frame: &Frame) -> HeaderMap {
        let mut headers = self.headers.clone();
        // A list that is asked for to find a resource is not what the client asked for.
        if let Ok(method) = HeaderValue::from_str(&frame.method()) {
            headers.insert(headers::METHOD, method);
        }
        match headers::name_value(frame) {
            Some(name) => headers.insert(headers::NAME, name),
            None => headers.remove(headers::NAME),
        };
        headers
    }
}
