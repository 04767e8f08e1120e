//! What a request holds while it is answered: the permit, the connection, its place under `max_requests`.

use crate::{clock, connection::Connection, endpoint::Endpoint, h1::Http1};
use holdfast_resilience::{FailureKind, Outcome, Permit};
use holdfast_telemetry::{
    metrics::{AttemptOutcome, Label as _},
    trace::{Fault, OpenSpan},
};
use http::StatusCode;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

/// One attempt under way. Dropped without a verdict it counts as cancelled and its connection is closed.
pub(crate) struct Hold {
    permit: Option<Permit>,
    endpoint: Arc<Endpoint>,
    connection: Option<Connection>,
    /// Where spans are recorded.
    span: Option<Box<Recorded>>,
}

/// The span of an attempt, and the status that was answered: 0 = none.
struct Recorded {
    span: OpenSpan,
    status: u16,
}

impl Hold {
    pub(crate) fn new(endpoint: Arc<Endpoint>, permit: Permit) -> Self {
        Self { permit: Some(permit), endpoint, connection: None, span: None }
    }

    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The attempt has a span: it ends as the attempt does.
    pub(crate) fn record(&mut self, span: OpenSpan) {
        self.span = Some(Box::new(Recorded { span, status: 0 }));
    }

    /// What was answered.
    pub(crate) fn status(&mut self, status: StatusCode) {
        if let Some(recorded) = &mut self.span {
            recorded.status = status.as_u16();
            recorded.span.status(recorded.status);
        }
    }

    pub(crate) fn keep(&mut self, connection: Connection) {
        self.connection = Some(connection);
    }

    /// The HTTP/1.1 connection that the response is read from.
    pub(crate) fn reading(&self) -> Option<&Http1> {
        match &self.connection {
            Some(Connection::Http1(connection)) => Some(connection),
            Some(Connection::Http2(_)) | None => None,
        }
    }

    /// As [`Self::reading`], to read.
    pub(crate) fn reading_mut(&mut self) -> Option<&mut Http1> {
        match &mut self.connection {
            Some(Connection::Http1(connection)) => Some(connection),
            Some(Connection::Http2(_)) | None => None,
        }
    }

    /// The head is here. A stream proves its endpoint with it, hours before its end.
    pub(crate) fn head(&mut self, outcome: Outcome, streaming: bool, now: Instant) {
        if let Some(permit) = &mut self.permit {
            permit.first_byte(now);
            if streaming && outcome == Outcome::Ok {
                permit.judge(outcome, now);
            }
        }
    }

    /// The response was read to its end: the connection is good for another request.
    pub(crate) fn complete(mut self, outcome: Outcome) {
        let now = clock::now();
        self.verdict(outcome, now);
        if let Some(Connection::Http1(connection)) = self.connection.take() {
            self.endpoint.pool.give_back(connection, now);
        }
    }

    /// Ends without a usable connection.
    pub(crate) fn end(mut self, outcome: Outcome) {
        self.verdict(outcome, clock::now());
    }

    fn verdict(&mut self, outcome: Outcome, now: Instant) {
        if let Some(permit) = self.permit.take() {
            permit.finish(outcome, now);
            self.endpoint.metrics.attempts.inc(label(outcome));
            if let Some(recorded) = self.span.take() {
                recorded.end(outcome);
            }
            if matches!(outcome, Outcome::Failed(kind) if kind.is_unreachable()) {
                self.endpoint.doubt.notify_one();
            }
        }
    }
}

impl Recorded {
    /// "Recording errors" of the HTTP conventions: to a client 4xx is an error, too.
    fn end(self, outcome: Outcome) {
        let code = (self.status >= 400).then(|| i64::from(self.status));
        let fault = match outcome {
            Outcome::Failed(_) => Some(Fault { word: label(outcome).as_str(), code }),
            Outcome::Ok | Outcome::Neutral if code.is_some() => Some(Fault { word: "status", code }),
            // A connection that the server was closing anyway.
            Outcome::Neutral if self.status == 0 => Some(Fault::of(label(outcome).as_str())),
            Outcome::Ok | Outcome::Neutral => None,
        };
        self.span.end(fault);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.permit.take().is_some() {
            self.endpoint.metrics.attempts.inc(AttemptOutcome::Cancelled);
        }
    }
}

fn label(outcome: Outcome) -> AttemptOutcome {
    match outcome {
        Outcome::Ok => AttemptOutcome::Ok,
        Outcome::Neutral => AttemptOutcome::Neutral,
        Outcome::Failed(kind) => match kind {
            FailureKind::Connect => AttemptOutcome::Connect,
            FailureKind::Tls => AttemptOutcome::Tls,
            FailureKind::Reset => AttemptOutcome::Reset,
            FailureKind::Timeout => AttemptOutcome::Timeout,
            FailureKind::Status(_) => AttemptOutcome::Status,
            FailureKind::Overloaded { .. } => AttemptOutcome::Overloaded,
        },
    }
}

/// Requests in flight of an upstream, and the most there may be.
pub(crate) struct Bulkhead {
    in_flight: Arc<AtomicUsize>,
    max: usize,
}

/// A place under the limit, until the end of the response.
pub(crate) struct Place(Arc<AtomicUsize>);

impl Bulkhead {
    /// Goes on counting where a previous one of the same upstream stands.
    pub(crate) fn new(max: usize, previous: Option<&Self>) -> Self {
        Self { in_flight: previous.map_or_else(Arc::default, |old| Arc::clone(&old.in_flight)), max }
    }

    pub(crate) fn enter(&self) -> Option<Place> {
        if self.in_flight.fetch_add(1, Ordering::Relaxed) >= self.max {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Place(Arc::clone(&self.in_flight)))
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
