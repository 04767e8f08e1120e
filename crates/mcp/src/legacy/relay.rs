//! Streams that another replica carries, read through the peer channel.

use super::{body::farewell, session::Session};
use crate::{
    caller::Caller,
    drain::Draining,
    reply,
    state::{PeerStream, streams::StreamId},
    token::unix_now,
};
use bytes::Bytes;
use holdfast_edge::Body;
use holdfast_peers::{Ask, PeerBody, ReplicaId, Torn};
use holdfast_upstream::clock;
use http::{Response, StatusCode};
use http_body::Frame;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

/// Longest wait for the owner's answer. One that hangs loses the stream to whoever claims it.
const OWNER_WAIT: Duration = Duration::from_secs(2);
/// Life of a sealed handle, in seconds: the owner opens it at once.
const HANDLE_LIFE: u64 = 60;

/// The events of `stream` from `position` on, as `owner` has them; from the first unread one without a position. `None` if `owner` does not
/// live, has not got them, or does not say so in time.
pub(super) async fn relay(
    caller: &Caller,
    session: &Session,
    owner: ReplicaId,
    stream: StreamId,
    position: Option<u64>,
) -> Option<Response<Body>> {
    let peers = caller.shared.state.peers().filter(|peers| peers.lives(owner))?;
    let wanted = PeerStream { session: session.uid, stream, position };
    let expires = session.expires.min(unix_now().saturating_add(HANDLE_LIFE));
    let handle = wanted.handle(owner).seal(&caller.shared.ring, &caller.principal, expires).ok()?;
    let ask = Ask {
        what: PeerStream::WHAT,
        handle,
        principal: caller.principal,
        until: caller.until.min(clock::after(clock::now(), OWNER_WAIT)),
        body: wanted.place(),
    };
    match peers.ask(owner, ask).await {
        Ok(answer) if answer.status() == StatusCode::OK => {
            caller.notes.lock().streaming = true;
            let listening = answer.headers().contains_key(&PeerStream::LISTENING);
            let draining = listening.then(|| Draining::new(&caller.drain));
            let body = Relayed { body: answer.into_body(), between: true, draining, done: false };
            let body = Body::boxed(body);
            Some(if listening { reply::listening(body) } else { reply::events(body) })
        }
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%error, %owner, "a stream that another replica carries");
            None
        }
    }
}

/// An owner's events on their way to the client. Torn if the owner dies: the client then asks again.
struct Relayed {
    body: PeerBody,
    /// Whether what went out ends with a whole event.
    between: bool,
    draining: Option<Draining>,
    done: bool,
}

impl http_body::Body for Relayed {
    type Data = Bytes;
    type Error = Torn;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Torn>>> {
        let this = &mut *self;
        if this.done {
            return Poll::Ready(None);
        }
        if this.between
            && let Some(draining) = &mut this.draining
            && draining.poll_begun(cx).is_ready()
        {
            this.done = true;
            return Poll::Ready(Some(Ok(Frame::data(farewell()))));
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            this.between = data.ends_with(b"\n\n");
        }
        Poll::Ready(frame)
    }
}
