//! What this process does for the other replicas.

use crate::state::{McpState, Note};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use holdfast_peers::{Asked, BoxedBody, Owner, ReplicaId};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use std::sync::{Arc, Weak};

/// Hears what other replicas say of sessions, and answers what they ask. Does not keep the state alive.
pub struct Replica(Weak<McpState>);

impl Replica {
    /// The replica that has this state.
    pub fn new(state: &Arc<McpState>) -> Self {
        Self(Arc::downgrade(state))
    }
}

impl Owner for Replica {
    /// Nothing is kept for others yet: who holds a handle finds out at once.
    fn answer(&self, _asked: Asked) -> BoxFuture<'static, Response<BoxedBody>> {
        let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::NOT_FOUND;
        std::future::ready(response).boxed()
    }

    fn told(&self, from: ReplicaId, note: Bytes) {
        let Some(state) = self.0.upgrade() else { return };
        if let Some(note) = Note::decode(&note) {
            state.told(note);
        } else {
            // Of a later version: what it says is found out otherwise.
            tracing::debug!(%from, bytes = note.len(), "a note that is not understood");
        }
    }
}
