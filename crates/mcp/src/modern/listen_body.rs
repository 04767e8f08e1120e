//! The response body of `subscriptions/listen`.

use super::subscription::{Said, Subscription, follow};
use crate::{caller::OpenStream, drain::Draining, queue::Receiver, sse, tally::Tally};
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
use tokio::task::JoinSet;

/// How often new endpoints are looked for.
const REFRESH: Duration = Duration::from_secs(5);

/// The tasks that listen, one for each endpoint; dropping it ends them.
#[derive(Default)]
pub(super) struct Followers {
    tasks: JoinSet<()>,
    /// By part and endpoint.
    followed: HashSet<(usize, EndpointKey)>,
}

impl Followers {
    /// Listens to the endpoints that nobody listens to yet, and says how many there were.
    pub(super) fn join(&mut self, parts: &[Arc<Subscription>]) -> usize {
        let before = self.followed.len();
        for (number, part) in parts.iter().enumerate() {
            for endpoint in part.caller.server.endpoints() {
                if self.followed.insert((number, endpoint.clone())) {
                    self.tasks.spawn(follow(Arc::clone(part), endpoint));
                }
            }
        }
        self.followed.len() - before
    }
}

/// Owns the tasks that listen to the endpoints: dropping it cancels the subscription everywhere.
pub(super) struct ListenBody {
    /// At least one.
    parts: Vec<Arc<Subscription>>,
    ready: VecDeque<Bytes>,
    heard: Receiver<Said>,
    followers: Followers,
    keep_alive: Alarm,
    keep_alive_every: Duration,
    refresh: Alarm,
    draining: Draining,
    tallies: Vec<Tally>,
    done: bool,
    _open: Vec<OpenStream>,
}

impl ListenBody {
    /// `ready` goes first. There is at least one part.
    pub(super) fn new(
        parts: Vec<Arc<Subscription>>,
        ready: Vec<Bytes>,
        heard: Receiver<Said>,
        followers: Followers,
        tallies: Vec<Tally>,
    ) -> Self {
        let now = clock::now();
        let caller = &parts[0].caller;
        let keep_alive_every = caller.shared.keep_alive;
        Self {
            ready: ready.into(),
            heard,
            followers,
            keep_alive: Alarm::new(clock::after(now, keep_alive_every)),
            keep_alive_every,
            refresh: Alarm::new(clock::after(now, REFRESH)),
            draining: Draining::new(&caller.drain),
            tallies,
            done: false,
            _open: parts.iter().map(|part| OpenStream::new(&part.caller, StreamKind::Listen)).collect(),
            parts,
        }
    }

    /// "it SHOULD respond to the original request with a completion result before closing the stream"
    fn complete(&mut self) {
        let id = String::from_utf8_lossy(&self.parts[0].id).into_owned();
        let message = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}}}}}"#
        );
        let mut out = BytesMut::new();
        sse::message(&mut out, None, message.as_bytes());
        self.ready.push_back(out.freeze());
        self.done = true;
        self.followers.tasks.abort_all();
        for tally in self.tallies.drain(..) {
            tally.end(McpOutcome::Ok);
        }
    }

    /// Ready when there is something to send or the stream ends.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.heard.poll_next(cx) {
                Poll::Ready(Some(Said::Event(event))) => {
                    self.ready.push_back(event);
                    let next = clock::after(clock::now(), self.keep_alive_every);
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
            self.followers.join(&self.parts);
            self.refresh.reset(clock::after(clock::now(), REFRESH));
        }
        if self.keep_alive.poll(cx).is_ready() {
            self.ready.push_back(Bytes::from_static(sse::KEEP_ALIVE));
            let next = clock::after(clock::now(), self.keep_alive_every);
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
