//! The response body of `subscriptions/listen`.

use super::subscription::{Said, Subscription, follow};
use crate::{
    caller::{OpenStream, Tally},
    drain::Draining,
    sse,
};
use bytes::{Bytes, BytesMut};
use holdfast_edge::BodyError;
use holdfast_telemetry::metrics::{McpOutcome, StreamKind};
use holdfast_upstream::{
    EndpointKey,
    clock::{self, Alarm},
};
use http_body::{Body, Frame};
use std::{
    collections::{HashSet, VecDeque},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinSet};

/// How often new endpoints are looked for.
const REFRESH: Duration = Duration::from_secs(5);

/// Owns the tasks that listen to the endpoints: dropping it cancels the subscription everywhere.
pub(super) struct ListenBody {
    subscription: Arc<Subscription>,
    ready: VecDeque<Bytes>,
    heard: mpsc::Receiver<Said>,
    followers: JoinSet<()>,
    followed: HashSet<EndpointKey>,
    keep_alive: Alarm,
    refresh: Alarm,
    draining: Draining,
    tally: Option<Tally>,
    done: bool,
    _open: OpenStream,
}

impl ListenBody {
    /// `ready` goes first.
    pub(super) fn new(
        subscription: Arc<Subscription>,
        ready: Vec<Bytes>,
        heard: mpsc::Receiver<Said>,
        followers: JoinSet<()>,
        followed: Vec<EndpointKey>,
        tally: Tally,
    ) -> Self {
        let now = clock::now();
        let caller = &subscription.caller;
        Self {
            ready: ready.into(),
            heard,
            followers,
            followed: followed.into_iter().collect(),
            keep_alive: Alarm::new(clock::after(now, caller.shared.keep_alive)),
            refresh: Alarm::new(clock::after(now, REFRESH)),
            draining: Draining::new(&caller.drain),
            tally: Some(tally),
            done: false,
            _open: OpenStream::new(caller, StreamKind::Listen),
            subscription,
        }
    }

    /// "it SHOULD respond to the original request with a completion result before closing the stream"
    fn complete(&mut self) {
        let id = String::from_utf8_lossy(&self.subscription.id).into_owned();
        let message = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}}}}}"#
        );
        let mut out = BytesMut::new();
        sse::message(&mut out, None, message.as_bytes());
        self.ready.push_back(out.freeze());
        self.done = true;
        self.followers.abort_all();
        if let Some(tally) = self.tally.take() {
            tally.end(McpOutcome::Ok);
        }
    }

    /// Listens to endpoints that joined the server.
    fn look_for_more(&mut self) {
        for endpoint in self.subscription.caller.server.upstream.endpoints() {
            if self.followed.insert(endpoint.key.clone()) {
                self.followers.spawn(follow(Arc::clone(&self.subscription), endpoint.key));
            }
        }
    }

    /// Ready when there is something to send or the stream ends.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.heard.poll_recv(cx) {
                Poll::Ready(Some(Said::Event(event))) => {
                    self.ready.push_back(event);
                    let next = clock::after(clock::now(), self.subscription.caller.shared.keep_alive);
                    self.keep_alive.reset(next);
                    return Poll::Ready(());
                }
                // A later acknowledgement changes nothing that was promised.
                Poll::Ready(Some(Said::Acknowledged(_) | Said::Refused(..) | Said::Unreachable)) => {}
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        if self.draining.poll_begun(cx).is_ready() {
            self.complete();
            return Poll::Ready(());
        }
        while self.refresh.poll(cx).is_ready() {
            self.look_for_more();
            self.refresh.reset(clock::after(clock::now(), REFRESH));
        }
        if self.keep_alive.poll(cx).is_ready() {
            self.ready.push_back(Bytes::from_static(sse::KEEP_ALIVE));
            let next = clock::after(clock::now(), self.subscription.caller.shared.keep_alive);
            self.keep_alive.reset(next);
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Body for ListenBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if self.done {
                return Poll::Ready(None);
            }
            std::task::ready!(self.poll_more(cx));
        }
    }
}
