//! A conversation: what a client says over one connection, posted message by message as a Streamable HTTP client would, and what
//! the answers hold, written back (decision 0014).

mod carry;
mod comeback;
mod listening;
mod mirror;
mod params;
mod shared;
mod talk;

pub use comeback::Comeback;
pub use shared::{MessageLimits, Opening, Origin};

use crate::queue::{self, Receiver, Sender, queue};
use bytes::Bytes;
use carry::carry;
use holdfast_mcp::errors::{McpError, Problem};
use holdfast_telemetry::metrics::{ConversationEnd, MessageRefusal, UnderWay};
use holdfast_upstream::clock::{self, Alarm};
use http::Method;
use shared::Shared;
use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use talk::{CallId, Refused, Sort, Step};
use tokio::{
    sync::oneshot,
    task::{AbortHandle, JoinSet},
};

/// How long the message after a notification waits for its acceptance: servers are to see both in their order.
const ORDER_WAIT: Duration = Duration::from_secs(5);
/// How long the end of a session may take that its client cannot come back to.
const FAREWELL: Duration = Duration::from_secs(2);
/// Longest pause between two looks at whether the client still reads and is still welcome.
const LOOK: Duration = Duration::from_secs(10);

/// A client's connection, ready to [`run`](Self::run).
pub struct Conversation {
    shared: Arc<Shared>,
    said: Receiver,
    calls: JoinSet<CallId>,
    running: HashMap<CallId, AbortHandle>,
    /// The next message waits for this one.
    first: Option<(oneshot::Receiver<()>, Instant)>,
}

impl Conversation {
    /// A conversation, with the end where the client's messages go in and the one where those for the client come out.
    pub fn new(opening: Opening) -> (Self, Sender, Receiver) {
        let bytes_max = opening.limits.max_queued_bytes.as_usize();
        let (say, said) = queue(bytes_max);
        let (tell, told) = queue(bytes_max);
        let shared = Arc::new(Shared::new(opening, tell));
        (Self { shared, said, calls: JoinSet::new(), running: HashMap::new(), first: None }, say, told)
    }

    /// The end where messages for the client go in that are the carrier's own.
    pub fn teller(&self) -> Sender {
        self.shared.tell.clone()
    }

    /// What the carrier says when the client has ended the conversation by itself, before it drops its ends.
    pub(crate) fn parting(&self) -> Parting {
        Parting(Arc::clone(&self.shared))
    }

    /// Carries the conversation until the client ends or leaves it, or `leave` completes; then what is in flight is answered,
    /// within `grace`. Dropping the conversation ends it at once. How it ended is for its carrier to count.
    pub fn run(
        &mut self,
        leave: impl Future<Output = ()> + Send,
        grace: Duration,
    ) -> impl Future<Output = ConversationEnd> + Send {
        // In boxes, here and below: what is not at work all the time takes no room in a conversation that only waits. And in a block:
        // an async function would hold what it is given twice.
        let leave = Box::pin(leave);
        async move {
            let shared = Arc::clone(&self.shared);
            let carrier = shared.opening.carrier;
            let open = UnderWay::new(shared.opening.metrics.open.get(carrier));
            if shared.opening.comeback.is_return() {
                shared.start_listening();
            }
            let mut end = self.talk(leave).await;
            if matches!(end, ConversationEnd::Whole | ConversationEnd::Drained | ConversationEnd::Unwelcome) {
                end = Box::pin(self.finish(end, grace)).await;
            }
            Box::pin(self.leave(end)).await;
            drop(open);
            shared.tell.finish();
            end
        }
    }

    /// Ends what is left of the calls, and the session that nobody can come back to.
    async fn leave(&mut self, end: ConversationEnd) {
        let shared = Arc::clone(&self.shared);
        let stays = shared.opening.comeback.is_wanted() && end != ConversationEnd::Unwelcome;
        // Modern requests are cancelled by this, legacy ones go on without a reader.
        self.calls.shutdown().await;
        shared.stop_listening();
        if stays && !shared.parted.load(Relaxed) {
            return;
        }
        let session = shared.talk.lock().session();
        if let Some(session) = session {
            let ended = shared.ask(Method::DELETE, session, Bytes::new());
            if clock::timeout(FAREWELL, ended).await.is_err() {
                tracing::debug!("a session was not ended in time after its client had left");
            }
        }
    }

    async fn talk(&mut self, mut leave: Pin<Box<impl Future<Output = ()> + Send>>) -> ConversationEnd {
        let shared = Arc::clone(&self.shared);
        let pause = LOOK.min(shared.opening.limits.write_timeout / 4);
        let mut look = Alarm::new(clock::after(clock::now(), pause));
        loop {
            let ready = self.first.is_none() && !shared.talk.lock().is_full();
            tokio::select! {
                () = shared.tell.closed() => return ConversationEnd::Gone,
                () = &mut leave => return ConversationEnd::Drained,
                Some(done) = self.calls.join_next() => self.forget(done.ok()),
                () = accepted(&mut self.first), if self.first.is_some() => self.first = None,
                said = self.said.next(), if ready => match said {
                    Some(message) => {
                        if let Some((ids, why)) = self.take(message) {
                            Box::pin(self.refuse(ids, why)).await;
                        }
                    }
                    None => return ConversationEnd::Whole,
                },
                () = std::future::poll_fn(|cx| look.poll(cx)) => {
                    if shared.tell.is_stuck(shared.opening.limits.write_timeout) {
                        return ConversationEnd::Stuck;
                    }
                    if !shared.opening.service.is_welcome() {
                        return ConversationEnd::Unwelcome;
                    }
                    look.reset(clock::after(clock::now(), pause));
                }
            }
        }
    }

    /// Waits for the answers to what is in flight.
    async fn finish(&mut self, end: ConversationEnd, grace: Duration) -> ConversationEnd {
        let shared = Arc::clone(&self.shared);
        let until = clock::after(clock::now(), grace);
        let answered = async {
            loop {
                if self.first.is_none() && !shared.talk.lock().is_busy() {
                    return;
                }
                tokio::select! {
                    Some(done) = self.calls.join_next() => self.forget(done.ok()),
                    () = accepted(&mut self.first), if self.first.is_some() => self.first = None,
                    else => return,
                }
            }
        };
        tokio::select! {
            () = shared.tell.closed() => ConversationEnd::Gone,
            ended = clock::timeout_at(until, answered) => {
                if ended.is_err() {
                    tracing::debug!("a conversation ended before all its requests were answered");
                }
                end
            }
        }
    }

    fn forget(&mut self, done: Option<CallId>) {
        match done {
            Some(call) => drop(self.running.remove(&call)),
            // It was stopped: its entry went first, or the conversation ends.
            None => self.running.retain(|_, running| !running.is_finished()),
        }
    }

    /// Starts what a message asks for; gives the requests that are refused.
    fn take(&mut self, message: Bytes) -> Option<(Vec<Bytes>, Refused)> {
        let shared = &self.shared;
        let step = shared.talk.lock().take(&message);
        match step {
            Step::Cancel(call) => {
                if let Some(running) = self.running.remove(&call) {
                    running.abort();
                }
            }
            Step::Refuse { ids, why } => return Some((ids, why)),
            Step::Post { call, sort, headers } => {
                let (accept, accepted) = oneshot::channel();
                let task = carry(Arc::clone(shared), call, sort, headers, message, accept);
                self.running.insert(call, self.calls.spawn(task));
                if sort.goes_first() {
                    // The service has deadlines of its own for `initialize`.
                    let wait = if sort == Sort::Initialize { Duration::MAX } else { ORDER_WAIT };
                    self.first = Some((accepted, clock::after(clock::now(), wait)));
                }
            }
        }
        None
    }

    async fn refuse(&self, ids: Vec<Bytes>, why: Refused) {
        self.shared.count(match why {
            Refused::IdInUse => MessageRefusal::IdInUse,
            Refused::TooMany | Refused::TooManyBytes => MessageRefusal::InFlight,
        });
        let error = refusal(why);
        for id in ids {
            // A client that is gone is noticed elsewhere.
            let _: Result<(), queue::Closed> = self.shared.tell.push(error.render(Some(&id))).await;
        }
    }
}

/// See [`Conversation::parting`].
pub(crate) struct Parting(Arc<Shared>);

impl Parting {
    /// The client will not come back to its session.
    pub(crate) fn for_good(&self) {
        self.0.parted.store(true, Relaxed);
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.shared.stop_listening();
    }
}

/// Waits until the service has the message that goes first, or it has taken too long. Cancel safe.
async fn accepted(first: &mut Option<(oneshot::Receiver<()>, Instant)>) {
    if let Some((accepted, until)) = first {
        // Dropped or sent: it is over either way.
        let _ = clock::timeout_at(*until, accepted).await;
    }
}

fn refusal(why: Refused) -> McpError {
    match why {
        Refused::TooMany => {
            McpError::new(Problem::Overloaded).detail("more than mcp.conversations.max_in_flight")
        }
        Refused::TooManyBytes => {
            McpError::new(Problem::Overloaded).detail("more than mcp.conversations.max_in_flight_bytes")
        }
        Refused::IdInUse => {
            McpError::new(Problem::InvalidRequest).detail("a request with this id has no answer yet")
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
