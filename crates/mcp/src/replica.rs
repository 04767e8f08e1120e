//! What this process does for the other replicas.

use crate::{
    drain::Draining,
    legacy::EventBody,
    state::{McpState, Note, PeerStream, streams::End},
    wire,
};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use holdfast_peers::{Asked, BoxedBody, Owner, ReplicaId};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use std::sync::{Arc, Weak};

/// Hears what other replicas say of sessions, and lets them read the streams that this one carries. Does not keep the state alive.
pub struct Replica(Weak<McpState>);

impl Replica {
    /// The replica that has this state.
    pub fn new(state: &Arc<McpState>) -> Self {
        Self(Arc::downgrade(state))
    }
}

impl Owner for Replica {
    /// Answers with the events of a stream, or 404: whoever asks may then claim it. Or with what the link of a session says.
    fn answer(&self, asked: Asked) -> BoxFuture<'static, Response<BoxedBody>> {
        let state = self.0.upgrade();
        async move {
            let answer = match &state {
                Some(state) => match events(state, &asked) {
                    None => wire::answer(state, &asked).await,
                    events => events,
                },
                None => None,
            };
            answer.unwrap_or_else(|| {
                let mut none =
                    Response::new(Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync());
                *none.status_mut() = StatusCode::NOT_FOUND;
                none
            })
        }
        .boxed()
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

/// The stream as a client of this replica would read it. The handle has opened for its principal; that the session has ended meanwhile is for this
/// replica to know.
fn events(state: &McpState, asked: &Asked) -> Option<Response<BoxedBody>> {
    let wanted = PeerStream::read(asked)?;
    if state.revoked.contains(wanted.session) {
        return None;
    }
    let (stream, reading, listening) = state.streams.find_for_peer(wanted.stream, wanted.session)?;
    match stream.end() {
        // Nobody pumps it: the asker can have it.
        Some(End::Moved | End::Suspended) => return None,
        Some(End::Complete | End::Lost) | None => {}
    }
    // A listening stream would end here at once. One that somebody waits for is finished first.
    if listening && reading.drain.is_draining() {
        return None;
    }
    let position = wanted.position.unwrap_or_else(|| stream.unread());
    let draining = listening.then(|| Draining::new(&reading.drain));
    let body = EventBody::attach(&stream, position, reading.keep_alive, draining)?;
    let mut response = Response::new(body.map_err(Into::into).boxed_unsync());
    if listening {
        response.headers_mut().insert(PeerStream::LISTENING, HeaderValue::from_static("1"));
    }
    Some(response)
}
