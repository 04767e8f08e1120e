//! What is answered on an accepted connection.
//!
//! The order of the checks is that of `docs/decisions/0011-peers.md`; each has an answer of its own.

use crate::{
    Asked, Handle, Refusal, ReplicaId,
    body::{AnswerBody, UnderWay},
    hello::{HELLO_BYTES_MAX, Hello},
    limits::{Place, Places},
    nonces::Seen,
    notes,
    shared::{Shared, now, unix_now},
    wire::{self, No, WireAsk},
};
use bytes::Bytes;
use holdfast_telemetry::metrics::{PeerAnswer, PeerNote};
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use parking_lot::Mutex;
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use tokio::sync::Notify;

tokio::task_local! {
    /// Set while an owner answers: whoever was asked must not ask.
    pub(crate) static ANSWERING: ();
}

/// Hello and notes are read in this time: they are small, and the other side is known.
const SMALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The other side of an accepted connection.
pub(crate) struct Caller {
    shared: Arc<Shared>,
    /// Who it says it is, once it has said so, and its places.
    known: OnceLock<(ReplicaId, Places)>,
    greeted: Notify,
    heard: Mutex<Instant>,
}

impl Caller {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            known: OnceLock::new(),
            greeted: Notify::new(),
            heard: Mutex::new(now()),
        }
    }

    /// Whether it said hello before the deadline.
    pub(crate) async fn greeted(&self, deadline: Instant) -> bool {
        let greeted = async {
            loop {
                let notified = self.greeted.notified();
                if self.known.get().is_some() {
                    return;
                }
                notified.await;
            }
        };
        tokio::time::timeout_at(deadline.into(), greeted).await.is_ok()
    }

    /// When its last request came.
    pub(crate) fn heard(&self) -> Instant {
        *self.heard.lock()
    }

    pub(crate) async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Response<AnswerBody> {
        *self.heard.lock() = now();
        if request.method() != Method::POST {
            return empty(StatusCode::METHOD_NOT_ALLOWED);
        }
        match (request.uri().path(), self.known.get()) {
            (wire::HELLO, None) => self.hello(request).await,
            (wire::PING, Some(_)) => empty(StatusCode::NO_CONTENT),
            (wire::ASK, Some((from, places))) => self.ask(*from, places, request).await,
            (wire::TELL, Some((from, _))) => self.told(*from, request).await,
            (wire::ASK, None) => refuse(No::Refused(Refusal::Protocol)),
            _ => empty(StatusCode::BAD_REQUEST),
        }
    }

    async fn hello(&self, request: Request<Incoming>) -> Response<AnswerBody> {
        let body = read(request.into_body(), HELLO_BYTES_MAX, now() + SMALL_TIMEOUT).await;
        let Some(hello) = body.ok().and_then(|bytes| Hello::parse(&bytes)) else {
            return empty(StatusCode::BAD_REQUEST);
        };
        let places = self.shared.caller(hello.replica);
        if self.known.set((hello.replica, places)).is_err() {
            return empty(StatusCode::BAD_REQUEST);
        }
        self.greeted.notify_one();
        let mut response = Response::new(AnswerBody::small(self.shared.hello().to_bytes()));
        response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        response
    }

    async fn told(&self, from: ReplicaId, request: Request<Incoming>) -> Response<AnswerBody> {
        let body = read(request.into_body(), notes::BATCH_BYTES_MAX, now() + SMALL_TIMEOUT).await;
        let Some(notes) = body.ok().and_then(notes::parse) else { return empty(StatusCode::BAD_REQUEST) };
        for note in notes {
            self.shared.metrics.notes.inc(PeerNote::Received);
            self.shared.owner.told(from, note);
        }
        empty(StatusCode::NO_CONTENT)
    }

    async fn ask(
        &self,
        from: ReplicaId,
        places: &Places,
        request: Request<Incoming>,
    ) -> Response<AnswerBody> {
        let arrived = now();
        let mut counted = Counted { shared: &self.shared, outcome: PeerAnswer::Cancelled };
        let answer = match self.check(from, places, &request, arrived) {
            Ok(checked) => self.answer(from, checked, request.into_body()).await,
            Err(no) => Err(no),
        };
        counted.outcome = match &answer {
            Ok(_) => PeerAnswer::Ok,
            Err(no) => no.label(),
        };
        answer.unwrap_or_else(refuse)
    }

    fn check(
        &self,
        from: ReplicaId,
        places: &Places,
        request: &Request<Incoming>,
        now: Instant,
    ) -> Result<Checked, No> {
        let wire = WireAsk::parse(request.headers()).ok_or(No::Refused(Refusal::Malformed))?;
        if wire.is_looped() {
            return Err(No::Looped);
        }
        let settings = self.shared.settings.load();
        let limits = &settings.channel;
        let one = places.take(limits.max_asks_per_peer).ok_or(No::Overloaded)?;
        let all = self.shared.answers.take(limits.max_asks).ok_or(No::Overloaded)?;
        let handle = Handle::open(&settings.ring, &wire.principal, &wire.handle, unix_now())
            .map_err(|_| No::Refused(Refusal::Handle))?;
        if handle.replica != self.shared.me {
            return Err(No::Refused(Refusal::NotOwner));
        }
        if wire.within > limits.max_ask_time {
            return Err(No::Refused(Refusal::Malformed));
        }
        if wire.within.is_zero() {
            return Err(No::Timeout);
        }
        match self.shared.nonces.lock().see(from, wire.nonce, wire.within, now, limits.max_nonces) {
            Seen::New => Ok(Checked { until: now + wire.within, wire, handle, places: (one, all) }),
            Seen::Before => Err(No::Refused(Refusal::Replayed)),
            Seen::Full => Err(No::Refused(Refusal::WindowFull)),
        }
    }

    async fn answer(
        &self,
        from: ReplicaId,
        checked: Checked,
        body: Incoming,
    ) -> Result<Response<AnswerBody>, No> {
        let Checked { wire, handle, places: (one, all), until } = checked;
        let under_way = UnderWay::new(&self.shared.metrics.answers_in_flight);
        let limit =
            usize::try_from(self.shared.settings.load().channel.max_ask_bytes.0).unwrap_or(usize::MAX);
        let body = read(body, limit, until).await?;
        let asked = Asked { from, what: wire.what, handle, principal: wire.principal, until, body };
        let answer = ANSWERING.scope((), async { self.shared.owner.answer(asked).await });
        let response = tokio::time::timeout_at(until.into(), answer).await.map_err(|_| No::Timeout)?;
        let (mut head, body) = response.into_parts();
        wire::strip(&mut head.headers);
        Ok(Response::from_parts(head, AnswerBody::Owner { body, places: (one, all, under_way) }))
    }
}

/// A question that is in order, with its places.
struct Checked {
    wire: WireAsk,
    handle: Handle,
    places: (Place, Place),
    until: Instant,
}

/// Counts an answer when its head is made, or when nobody waits for it any more.
struct Counted<'a> {
    shared: &'a Shared,
    outcome: PeerAnswer,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.shared.metrics.answers.inc(self.outcome);
    }
}

impl No {
    fn label(self) -> PeerAnswer {
        match self {
            Self::Refused(Refusal::Handle) => PeerAnswer::Handle,
            Self::Refused(Refusal::NotOwner) => PeerAnswer::NotOwner,
            Self::Refused(Refusal::Replayed) => PeerAnswer::Replayed,
            Self::Refused(Refusal::WindowFull) => PeerAnswer::WindowFull,
            Self::Refused(Refusal::TooLarge | Refusal::Malformed | Refusal::Protocol) => {
                PeerAnswer::Malformed
            }
            Self::Looped => PeerAnswer::Looped,
            Self::Overloaded => PeerAnswer::Overloaded,
            Self::Timeout => PeerAnswer::Timeout,
        }
    }
}

/// A whole body of at most `limit` bytes, in time.
async fn read(body: Incoming, limit: usize, until: Instant) -> Result<Bytes, No> {
    let whole = Limited::new(body, limit).collect();
    match tokio::time::timeout_at(until.into(), whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(No::Refused(Refusal::TooLarge)),
        Ok(Err(_)) => Err(No::Refused(Refusal::Malformed)),
        Err(_) => Err(No::Timeout),
    }
}

fn empty(status: StatusCode) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::small(Bytes::new()));
    *response.status_mut() = status;
    response
}

fn refuse(no: No) -> Response<AnswerBody> {
    let mut response = empty(StatusCode::NO_CONTENT);
    no.write(response.headers_mut());
    response
}
