//! Links of this replica, and those that other replicas hold.

use super::{PeerLink, WireBody, WireReply, peer_link};
use crate::{
    exchange::{Outgoing, SESSION},
    operation::carried,
    seal::KeyRing,
    state::McpState,
    token::unix_now,
};
use bytes::Bytes;
use holdfast_links::{LinkCall, Links};
use holdfast_peers::{Ask, Asked, BoxedBody, PeerError, Peers, ReplicaId};
use holdfast_resilience::Sent;
use holdfast_upstream::{CallError, EndpointKey, Limit};
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use std::sync::Arc;

/// Life of a sealed handle, in seconds: the owner opens it at once.
const HANDLE_LIFE: u64 = 60;

/// The links to one server.
#[derive(Clone)]
pub struct Linked {
    links: Arc<Links>,
    state: Arc<McpState>,
    ring: Arc<KeyRing>,
}

impl Linked {
    /// Links that other replicas may ask for, and the way to theirs.
    pub fn new(links: Arc<Links>, state: &Arc<McpState>, ring: &Arc<KeyRing>) -> Self {
        state.links.put(&links);
        Self { links, state: Arc::clone(state), ring: Arc::clone(ring) }
    }

    pub(super) fn links(&self) -> &Links {
        &self.links
    }

    /// Where processes at other replicas are bound to.
    pub(super) fn elsewhere(&self) -> Vec<EndpointKey> {
        let peers = self.state.peers().map(Peers::view).unwrap_or_default();
        peers.iter().filter_map(|peer| self.links.process_at(peer.replica?)).collect()
    }

    pub(super) async fn send(&self, out: Outgoing) -> Result<WireReply, CallError> {
        let session = out.headers.get(SESSION).map(|id| id.to_str().unwrap_or_default());
        let owner = match session {
            Some(id) => self.links.holder(id),
            None => out.pin.as_ref().and_then(|pin| self.links.runner(pin)),
        };
        if let Some(owner) = owner
            && let Some(answer) = self.ask(owner, session, &out).await
        {
            return answer;
        }
        let trace = carried(&out.headers, out.trace.is_some(), out.continued);
        let call = LinkCall {
            trace,
            method: out.method,
            session,
            body: out.body,
            principal: out.principal,
            pin: out.pin.as_ref(),
            avoid: &out.avoid,
            until: out.until,
        };
        let reply = self.links.send(call).await?;
        let response = reply.response.map(WireBody::Linked);
        Ok(WireReply { response, endpoint: reply.endpoint, attempts: 1 })
    }

    /// Asks the replica that holds the link of a session, or runs the process that a request is bound to. `None` if there is no such
    /// replica any more: session and process are gone with it.
    async fn ask(
        &self,
        owner: ReplicaId,
        session: Option<&str>,
        out: &Outgoing,
    ) -> Option<Result<WireReply, CallError>> {
        let peers = self.state.peers().filter(|peers| peers.lives(owner))?;
        let endpoint = match (&out.pin, session) {
            (Some(process), None) => process,
            _ => self.links.session_endpoint(),
        };
        let link = PeerLink {
            server: self.links.name().into(),
            session: session.map(Into::into),
            method: out.method.clone(),
        };
        // Whoever ends a session because its time is over does not know its principal.
        let principal = out.principal.unwrap_or_default();
        let expires = unix_now().saturating_add(HANDLE_LIFE);
        let handle = link.handle(owner).seal(&self.ring, &principal, expires).ok()?;
        let body = out.body.clone();
        let ask = Ask { what: PeerLink::WHAT, handle, principal, until: out.until, body };
        let name = self.links.name();
        Some(match peers.ask(owner, ask).await {
            Ok(answer) => {
                if let Some(word) = answer.headers().get(&PeerLink::FAILED) {
                    Err(peer_link::error(word, name, endpoint))
                } else {
                    let response = answer.map(|body| WireBody::Elsewhere(Box::new(body)));
                    Ok(WireReply { response, endpoint: endpoint.clone(), attempts: 1 })
                }
            }
            Err(PeerError::Unknown(_) | PeerError::Dead { sent: false, .. }) => return None,
            Err(PeerError::Overloaded(_)) => {
                Err(CallError::Overloaded { upstream: name.into(), limit: Limit::Requests })
            }
            Err(PeerError::Timeout(_)) => {
                Err(CallError::Deadline { upstream: name.into(), sent: Sent::Maybe })
            }
            Err(error) => {
                let sent = if error.sent() { Sent::Maybe } else { Sent::Nothing };
                Err(CallError::Reset { endpoint: endpoint.clone(), sent, source: error.into() })
            }
        })
    }
}

/// Answers another replica whose client has a session or a process here. `None` for what is nothing of this kind, or not here.
pub(crate) async fn answer(state: &McpState, asked: &Asked) -> Option<Response<BoxedBody>> {
    let link = PeerLink::read(asked)?;
    let links = state.links.get(&link.server)?;
    let call = LinkCall {
        trace: None,
        method: link.method,
        session: link.session.as_deref(),
        body: asked.body.clone(),
        principal: Some(asked.principal).filter(|principal| *principal != [0; 32]),
        pin: None,
        avoid: &[],
        until: asked.until,
    };
    Some(match links.send(call).await {
        Ok(reply) => reply.response.map(|body| body.map_err(Into::into).boxed_unsync()),
        Err(error) => {
            tracing::debug!(%error, from = %asked.from, "a link that another replica asked for");
            let mut response = Response::new(nothing());
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response.headers_mut().insert(header::CONTENT_LENGTH, 0.into());
            response.headers_mut().insert(PeerLink::FAILED, peer_link::failed(&error));
            response
        }
    })
}

fn nothing() -> BoxedBody {
    Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync()
}
