//! A legacy session as this gateway sees it: what its token says, and what has happened to it here since.

use super::replicas;
use crate::{
    caller::Caller,
    era::Version,
    errors::{McpError, Problem},
    exchange::SESSION,
    ids::Epoch,
    server::Server,
    shared::Shared,
    state::{Binding, Known, Use},
    token::{
        Audience, EndingRecord, EndpointTag, MemberTag, MergedToken, SessionToken, SessionUid, member_uid,
        unix_now,
    },
};
use bytes::Bytes;
use holdfast_telemetry::metrics::SessionRefusal;
use holdfast_upstream::{EndpointKey, clock};
use http::{HeaderMap, HeaderName};
use std::{sync::Arc, time::Duration};

/// A session whose token was opened.
pub(crate) struct Session {
    pub(crate) uid: SessionUid,
    pub(crate) version: Version,
    /// Unix seconds.
    pub(crate) issued: u64,
    /// Unix seconds.
    pub(crate) expires: u64,
    /// Raw params of its `initialize`.
    pub(crate) initialize: Option<Bytes>,
    server: Arc<str>,
    principal: [u8; 32],
    endpoint: Option<EndpointKey>,
    tag: EndpointTag,
    /// The server's id for it.
    inner_id: Option<Arc<str>>,
    epoch: Epoch,
    /// Its server is a member of the merged endpoint, where the session is part of a greater one.
    pub(crate) is_part: bool,
    /// The member was not bound when the greater session was opened: it is bound by its first use.
    pub(crate) is_unbound: bool,
}

impl Session {
    /// Opens the token that the client's request carries, and notes that the session is used. Waits only for a session that is old
    /// enough to be idle and was not used here lately, and not for long. One answer for everything that does not open: a prober learns
    /// nothing (session management, 3: 404 for a session that is not there; 400 for none at all).
    pub(crate) async fn open(caller: &Caller) -> Result<Arc<Self>, McpError> {
        let now = unix_now();
        let (session, age) = Self::unseal(caller, now)?;
        let uses = &caller.shared.state.uses;
        if uses.must_ask(session.uid, age) && Box::pin(uses.is_idle(session.uid, caller.until)).await {
            return Err(refused(caller, SessionRefusal::Idle));
        }
        session.begin(caller, now);
        caller.server.metrics.sessions_opened.inc();
        Ok(session)
    }

    /// The session of the request's token, and the time since that was made.
    fn unseal(caller: &Caller, now: u64) -> Result<(Arc<Self>, Duration), McpError> {
        let refused = |why| refused(caller, why);
        let Some(text) = sole(&caller.headers, &SESSION) else {
            if caller.headers.contains_key(&SESSION) {
                return Err(refused(SessionRefusal::Invalid));
            }
            caller.server.metrics.sessions_refused.inc(SessionRefusal::Missing);
            return Err(McpError::new(Problem::SessionMissing));
        };
        let audience = Audience { server: &caller.server.name, principal: &caller.principal };
        let token = SessionToken::open(&caller.shared.ring, audience, text, now).map_err(|why| {
            refused(match why.reason() {
                "expired" => SessionRefusal::Expired,
                // A token of another principal fails its authentication like a forged one.
                "tag" => SessionRefusal::Principal,
                _ => SessionRefusal::Invalid,
            })
        })?;
        if caller.shared.state.revoked.contains(token.uid) {
            return Err(refused(SessionRefusal::Ended));
        }
        let age = Duration::from_secs(now.saturating_sub(token.issued));
        Ok((Arc::new(Self::of(caller, token)), age))
    }

    /// The session is in use for as long as the caller is: while a request is answered, and while a stream is open.
    pub(crate) fn begin(&self, caller: &Caller, now: u64) {
        // One session each caller.
        caller.using.get_or_init(|| self.in_use(&caller.shared, now));
    }

    /// As [`Self::begin`], for as long as the value is kept.
    pub(crate) fn in_use(&self, shared: &Shared, now: u64) -> Use {
        let uses = &shared.state.uses;
        let left = Duration::from_secs(uses.over_at(self.expires).saturating_sub(now));
        uses.begin(self.uid, left, || self.ending())
    }

    /// What whoever ends the session needs to know. Where it has moved since, the journal says.
    fn ending(&self) -> Option<Bytes> {
        let record = EndingRecord {
            server: self.server.as_ref().to_owned(),
            version: self.version,
            epoch: self.epoch,
            endpoint: self.tag,
            upstream_session: self.inner_id.as_deref().map(str::to_owned),
            expires: self.expires,
        };
        record.encode().map(Bytes::from)
    }

    /// The session of a token.
    pub(crate) fn of(caller: &Caller, token: SessionToken) -> Self {
        let inner_id = token.upstream_session.map(Arc::from);
        Self {
            uid: token.uid,
            version: token.version,
            issued: token.issued,
            expires: token.expires,
            initialize: token.initialize,
            server: Arc::clone(&caller.server.name),
            principal: caller.principal,
            endpoint: caller.server.endpoint(token.endpoint),
            tag: token.endpoint,
            inner_id,
            epoch: token.epoch,
            is_part: false,
            is_unbound: false,
        }
    }

    /// What `server` has of a session at the merged endpoint. It is a session like any other, whose token nobody ever saw.
    pub(crate) fn part(
        shared: &Shared,
        server: &Arc<Server>,
        whole: &MergedToken,
        principal: [u8; 32],
    ) -> Self {
        let uid = member_uid(whole.uid, server.name());
        let tag = MemberTag::of(server.name());
        let bound = whole.members.iter().find(|part| part.member == tag);
        // A part that ended by itself begins anew: the session that it is of goes on.
        let bound = bound.filter(|_| !shared.state.revoked.contains(uid));
        Self {
            uid,
            version: bound.map_or(whole.version, |part| part.version),
            issued: whole.issued,
            expires: whole.expires,
            initialize: Some(whole.initialize.clone()),
            server: Arc::clone(&server.name),
            principal,
            endpoint: bound.and_then(|part| server.endpoint(part.endpoint)),
            tag: bound.map_or(EndpointTag([0; 16]), |part| part.endpoint),
            inner_id: bound.and_then(|part| part.upstream_session.as_deref()).map(Arc::from),
            epoch: Epoch(0),
            is_part: true,
            is_unbound: bound.is_none(),
        }
    }

    /// Whether it has a binding, here or as its token says.
    pub(crate) fn is_bound(&self, shared: &Shared) -> bool {
        !self.is_unbound || shared.state.journal.get(self.uid, clock::now()).is_some()
    }

    /// The name of its server.
    pub(crate) fn server(&self) -> &Arc<str> {
        &self.server
    }

    /// Where the session's requests go: what this replica knows of re-bindings, else what the token says. Waits only where another
    /// replica has moved the session, for the shared journal.
    pub(crate) async fn binding(&self, caller: &Caller) -> Bound {
        match caller.shared.state.journal.get(self.uid, clock::now()) {
            Some(Known::To(binding)) => Bound::To(binding),
            Some(Known::Elsewhere(..)) => Box::pin(self.follow(caller)).await,
            None => self.sealed(),
        }
    }

    /// Looks where another replica has moved the session to. If that cannot be read, the token's endpoint will say that the session
    /// is gone, and the session is bound anew.
    async fn follow(&self, caller: &Caller) -> Bound {
        if let Some(binding) = replicas::later(caller, self.uid, self.epoch).await {
            return Bound::To(binding);
        }
        caller.shared.state.journal.forget(self.uid);
        self.sealed()
    }

    /// What the token says.
    fn sealed(&self) -> Bound {
        if self.is_unbound {
            return Bound::Gone(self.epoch);
        }
        match (&self.inner_id, &self.endpoint) {
            // The server keeps no session: any endpoint will do.
            (None, _) => Bound::To(Binding { endpoint: None, upstream_session: None, epoch: self.epoch }),
            (Some(session), Some(endpoint)) => Bound::To(Binding {
                endpoint: Some(endpoint.clone()),
                upstream_session: Some(Arc::clone(session)),
                epoch: self.epoch,
            }),
            (Some(_), None) => Bound::Gone(self.epoch),
        }
    }

    /// Whom values sealed for this session are for.
    pub(crate) fn audience(&self) -> Audience<'_> {
        Audience { server: &self.server, principal: &self.principal }
    }
}

fn refused(caller: &Caller, why: SessionRefusal) -> McpError {
    caller.server.metrics.sessions_refused.inc(why);
    McpError::new(Problem::SessionDead)
}

/// Where a session lives.
#[derive(Clone, Debug)]
pub(crate) enum Bound {
    /// There.
    To(Binding),
    /// On an endpoint that is no longer part of the server.
    Gone(Epoch),
}

/// A header that is there exactly once, as text. Twice is as good as forged.
pub(crate) fn sole<'c>(headers: &'c HeaderMap, name: &HeaderName) -> Option<&'c str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}
