//! How one replica names to another the link of a session that the other holds, and what it has to say about a call that failed.

use holdfast_peers::{Asked, Handle, ReplicaId};
use holdfast_resilience::Sent;
use holdfast_upstream::{CallError, EndpointKey, Limit};
use http::{HeaderName, HeaderValue, Method};

const KIND: &str = "link";

/// The link of a session, and what is to be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerLink {
    pub(crate) server: Box<str>,
    /// `Mcp-Session-Id` of the link. None: the link that the caller's requests without a session go over.
    pub(crate) session: Option<Box<str>>,
    pub(crate) method: Method,
}

impl PeerLink {
    /// What is asked for.
    pub(crate) const WHAT: &str = "link";
    /// Header of an answer that stands for an error.
    pub(crate) const FAILED: HeaderName = HeaderName::from_static("mcp-link-failed");

    /// The thing, to be sealed.
    pub(crate) fn handle(&self, owner: ReplicaId) -> Handle {
        let session = self.session.as_deref().unwrap_or_default();
        let id = format!("{} {} {session}", self.method, self.server);
        Handle::new(owner, KIND, id.as_bytes())
    }

    /// What was asked for; `None` if it is nothing of this kind.
    pub(crate) fn read(asked: &Asked) -> Option<Self> {
        if &*asked.what != Self::WHAT || &*asked.handle.kind != KIND {
            return None;
        }
        let mut words = std::str::from_utf8(&asked.handle.id).ok()?.splitn(3, ' ');
        let method = match words.next()? {
            "POST" => Method::POST,
            "GET" => Method::GET,
            "DELETE" => Method::DELETE,
            _ => return None,
        };
        let (server, session) = (words.next()?.into(), words.next()?);
        let session = (!session.is_empty()).then(|| session.into());
        Some(Self { server, session, method })
    }
}

/// An error as it travels.
pub(super) fn failed(error: &CallError) -> HeaderValue {
    HeaderValue::from_static(match (error, error.sent()) {
        (CallError::Overloaded { .. }, _) => "overloaded",
        (CallError::Deadline { .. }, Sent::Nothing) => "late",
        (CallError::Deadline { .. }, Sent::Maybe) => "late-sent",
        (_, Sent::Nothing) => "lost",
        (_, Sent::Maybe) => "lost-sent",
    })
}

/// The error that travelled.
pub(super) fn error(word: &HeaderValue, server: &str, endpoint: &EndpointKey) -> CallError {
    let upstream = || server.into();
    let lost = |sent| CallError::Reset {
        endpoint: endpoint.clone(),
        sent,
        source: "the link ended at the replica that held it".into(),
    };
    match word.as_bytes() {
        b"overloaded" => CallError::Overloaded { upstream: upstream(), limit: Limit::Requests },
        b"late" => CallError::Deadline { upstream: upstream(), sent: Sent::Nothing },
        b"late-sent" => CallError::Deadline { upstream: upstream(), sent: Sent::Maybe },
        b"lost" => lost(Sent::Nothing),
        _ => lost(Sent::Maybe),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::time::Instant;

    fn asked(kind: &str, id: &[u8]) -> Asked {
        let handle = Handle::new(ReplicaId(2), kind, id);
        let (from, what) = (ReplicaId(1), PeerLink::WHAT.into());
        Asked { from, what, handle, principal: [0; 32], until: Instant::now(), body: Bytes::new() }
    }

    proptest! {
        #[test]
        fn a_link_is_read_as_it_was_named(server in "[a-z0-9_-]{1,64}", session in prop::option::of("[!-~]{1,80}"), way in 0..3_usize) {
            let method = [Method::POST, Method::GET, Method::DELETE][way].clone();
            let named = PeerLink { server: server.into(), session: session.map(Into::into), method };
            let handle = named.handle(ReplicaId(2));
            prop_assert_eq!(PeerLink::read(&asked(&handle.kind, &handle.id)), Some(named));
        }

        #[test]
        fn nonsense_names_no_link(kind in "link|stream", id in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(named) = PeerLink::read(&asked(&kind, &id)) {
                prop_assert_eq!(kind, KIND);
                prop_assert_eq!(named.handle(ReplicaId(2)).id, id);
            }
        }
    }

    #[test]
    fn an_error_says_the_same_at_the_other_end() {
        let key = EndpointKey::from("stdio:s");
        for sent in [Sent::Nothing, Sent::Maybe] {
            let late = CallError::Deadline { upstream: "s".into(), sent };
            let lost = CallError::Reset { endpoint: key.clone(), sent, source: "x".into() };
            for told in [late, lost] {
                let heard = error(&failed(&told), "s", &key);
                assert_eq!((heard.sent(), heard.wire()), (told.sent(), told.wire()));
            }
        }
        let full = CallError::Overloaded { upstream: "s".into(), limit: Limit::Requests };
        assert!(matches!(error(&failed(&full), "s", &key), CallError::Overloaded { .. }));
    }
}
