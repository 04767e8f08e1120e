//! A session at the merged endpoint, and its parts at the members.

use super::{Federation, modern::MERGED};
use crate::{
    caller::Caller,
    errors::{McpError, Problem},
    exchange::SESSION,
    guest::Guest,
    legacy::{Session, sole},
    server::Server,
    state::Use,
    token::{Audience, MergedToken, unix_now},
};
use http::HeaderMap;
use std::sync::Arc;

/// A session whose token was opened.
pub(crate) struct Whole {
    pub(crate) token: MergedToken,
    pub(crate) parts: Vec<Part>,
    /// Whoever uses the session uses all its parts: none ends for being idle before the others.
    _uses: Vec<Use>,
}

/// One member's part of it.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) member: Arc<Server>,
    pub(crate) session: Arc<Session>,
}

impl Whole {
    /// Opens the token that the client's request carries. One answer for everything that does not open.
    pub(crate) fn open(guest: &Guest, federation: &Federation) -> Result<Self, McpError> {
        let dead = || McpError::new(Problem::SessionDead);
        if !guest.headers.contains_key(&SESSION) {
            return Err(McpError::new(Problem::SessionMissing));
        }
        let text = sole(&guest.headers, &SESSION).ok_or_else(dead)?;
        let now = unix_now();
        let audience = Audience { server: MERGED, principal: &guest.principal };
        let token = MergedToken::open(&guest.shared.ring, audience, text, now).map_err(|_| dead())?;
        if guest.shared.state.revoked.contains(token.uid) {
            return Err(dead());
        }
        let part = |member: &Arc<Server>| Part {
            member: Arc::clone(member),
            session: Arc::new(Session::part(&guest.shared, member, &token, guest.principal)),
        };
        let parts: Vec<Part> = federation.members.iter().map(part).collect();
        let uses = parts.iter().map(|part| part.session.in_use(&guest.shared, now)).collect();
        Ok(Self { token, parts, _uses: uses })
    }

    /// The part of a member.
    pub(crate) fn part(&self, member: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.member.name() == member)
    }
}

impl Part {
    /// Whoever asks this member.
    pub(crate) fn caller(&self, guest: &Guest) -> Arc<Caller> {
        guest.caller(&self.member, guest.headers.clone())
    }

    /// The same with other headers.
    pub(crate) fn caller_with(&self, guest: &Guest, headers: HeaderMap) -> Arc<Caller> {
        guest.caller(&self.member, headers)
    }
}
