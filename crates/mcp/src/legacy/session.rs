//! A legacy session as this gateway sees it: what its token says, and what has happened to it here since.

use super::replicas;
use crate::{
    caller::Caller,
    era::Version,
    errors::{McpError, Problem},
    exchange::SESSION,
    ids::Epoch,
    state::{Binding, Known},
    token::{Audience, SessionToken, SessionUid, unix_now},
};
use bytes::Bytes;
use holdfast_telemetry::metrics::SessionRefusal;
use holdfast_upstream::{EndpointKey, clock};
use http::HeaderName;
use std::sync::Arc;

/// A session whose token was opened.
pub(crate) struct Session {
    pub(crate) uid: SessionUid,
    pub(crate) version: Version,
    /// Unix seconds.
    pub(crate) expires: u64,
    /// Raw params of its `initialize`.
    pub(crate) initialize: Option<Bytes>,
    server: Arc<str>,
    principal: [u8; 32],
    endpoint: Option<EndpointKey>,
    /// The server's id for it.
    inner_id: Option<Arc<str>>,
    epoch: Epoch,
}

impl Session {
    /// Opens the token that the client's request carries. One answer for everything that does not open: a prober learns
    /// nothing (session management, 3: 404 for a session that is not there; 400 for none at all).
    pub(crate) fn open(caller: &Caller) -> Result<Arc<Self>, McpError> {
        let refused = |why: SessionRefusal| {
            caller.server.metrics.sessions_refused.inc(why);
            McpError::new(Problem::SessionDead)
        };
        let Some(text) = sole(caller, &SESSION) else {
            if caller.headers.contains_key(&SESSION) {
                return Err(refused(SessionRefusal::Invalid));
            }
            caller.server.metrics.sessions_refused.inc(SessionRefusal::Missing);
            return Err(McpError::new(Problem::SessionMissing));
        };
        let audience = Audience { server: &caller.server.name, principal: &caller.principal };
        let token = SessionToken::open(&caller.shared.ring, audience, text, unix_now()).map_err(|why| {
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
        caller.server.metrics.sessions_opened.inc();
        Ok(Arc::new(Self::of(caller, token)))
    }

    /// The session of a token.
    pub(crate) fn of(caller: &Caller, token: SessionToken) -> Self {
        let inner_id = token.upstream_session.map(Arc::from);
        Self {
            uid: token.uid,
            version: token.version,
            expires: token.expires,
            initialize: token.initialize,
            server: Arc::clone(&caller.server.name),
            principal: caller.principal,
            endpoint: caller.server.endpoint(token.endpoint),
            inner_id,
            epoch: token.epoch,
        }
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

/// Where a session lives.
#[derive(Clone, Debug)]
pub(crate) enum Bound {
    /// There.
    To(Binding),
    /// On an endpoint that is no longer part of the server.
    Gone(Epoch),
}

/// A header that is there exactly once, as text. Twice is as good as forged.
fn sole<'c>(caller: &'c Caller, name: &HeaderName) -> Option<&'c str> {
    let mut values = caller.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}
