//! One attempt: a connection, the request on it, the response head.

use crate::{
    Call, CallError, Limit, Target, clock,
    connect::{ConnectError, Purpose},
    connection::{Connection, SendFailure},
    endpoint::Endpoint,
    expect::{self, Opener},
    h1::{RequestHead, Rest},
    out_body::{OutBody, Source},
    pool::Checkout,
    shared::Shared,
    slots::{Grant, Slot},
    upstream::Upstream,
};
use holdfast_resilience::{FailureKind, Outcome, Safety, Sent};
use holdfast_telemetry::{
    metrics::ConnectResult,
    trace::{HttpAttempt, OpenSpan, Parent, TRACEPARENT, Work},
};
use http::{HeaderMap, Method, Request, Response, Uri, Version, header, uri::Scheme};
use hyper::body::Incoming;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Idle connections found dead by one attempt before it opens a new one.
const STALE_MAX: u32 = 3;

/// A connection idle for this long is looked at before anything is sent: servers close idle connections by timers of
/// whole seconds.
const VERIFY_IDLE: Duration = Duration::from_secs(1);

/// The parts of a call that every attempt needs.
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Source,
    pub(crate) safety: Safety,
    pub(crate) purpose: Purpose,
    pub(crate) expects: bool,
    pub(crate) trace: Option<Box<Parent>>,
}

/// How far an attempt got. It outlives the attempt's future, which a deadline may cut off anywhere.
pub(crate) struct Progress {
    pub(crate) sent: Sent,
    /// Waiting for a free connection: our own limit, not the endpoint's fault.
    pub(crate) queued: bool,
    pub(crate) reused: bool,
    pub(crate) connected: Option<Instant>,
}

/// A response head and the connection that carries its body.
pub(crate) struct Head {
    pub(crate) response: Response<()>,
    /// The body where hyper reads it: over HTTP/2.
    pub(crate) incoming: Option<Incoming>,
    pub(crate) connection: Connection,
}

/// An attempt without a response head.
pub(crate) struct Failure {
    pub(crate) error: CallError,
    pub(crate) kind: FailureKind,
    pub(crate) sent: Sent,
    /// The endpoint's share in it.
    pub(crate) outcome: Outcome,
}

impl Ask {
    pub(crate) fn new(call: Call) -> Self {
        let body = Source::new(call.body);
        Self {
            method: call.method,
            target: call.target,
            // A body that is here, or none, is not held back.
            expects: body.is_stream() && expect::is_expected(&call.headers),
            headers: call.headers,
            body,
            safety: call.safety,
            trace: call.trace,
            purpose: if call.upgrade { Purpose::Upgrade } else { Purpose::Requests },
        }
    }

    /// Begins the span of an attempt, and names it in the request.
    pub(crate) fn span(&mut self, endpoint: &Endpoint, number: u32) -> Option<OpenSpan> {
        let parent = self.trace.as_ref()?;
        let span = parent.begin(Work::Http(HttpAttempt {
            method: self.method.clone(),
            endpoint: endpoint.key.shared(),
            number,
            status: 0,
        }));
        self.headers.insert(TRACEPARENT, span.context().header_value());
        Some(span)
    }

    /// Whether a broken connection may cost more than a repetition.
    fn is_delicate(&self) -> bool {
        self.safety == Safety::Unsafe || self.body.is_stream()
    }

    /// The head of an HTTP/1.1 request: written from the call itself, whose headers no attempt copies.
    fn head<'a>(&'a self, endpoint: &'a Endpoint) -> RequestHead<'a> {
        RequestHead {
            method: &self.method,
            target: endpoint.url.parts(&self.target),
            headers: &self.headers,
            host: endpoint.host_header(),
        }
    }

    /// The body for one attempt, held back where the server shall say first that it wants it.
    fn out_body(&self) -> (OutBody, Option<Opener>) {
        let gate = self.expects.then(|| expect::gate(clock::now()));
        let (gate, opener) = gate.unzip();
        (self.body.attempt(gate), opener)
    }

    fn http2_request(&self, endpoint: &Endpoint) -> Result<Request<OutBody>, CallError> {
        let path = endpoint.url.join(&self.target).ok_or(CallError::Target)?;
        let mut headers = self.headers.clone();
        // `:authority` instead of Host (RFC 9113 section 8.3.1).
        let host = headers.remove(header::HOST);
        let authority = host.as_ref().unwrap_or(endpoint.host_header()).as_bytes();
        let scheme = if endpoint.place.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build();
        let (body, opener) = self.out_body();
        let mut request = Request::new(body);
        if let Some(opener) = opener {
            expect::watch(&mut request, opener);
        }
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri.map_err(|_| CallError::Target)?;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { sent: Sent::Nothing, queued: false, reused: false, connected: None }
    }
}

/// Makes one attempt. Dead idle connections are not attempts: as long as nothing was sent, the next connection is
/// tried. Cancel safe; `progress` then says how far it came.
pub(crate) async fn make(
    ask: &Ask,
    endpoint: &Arc<Endpoint>,
    upstream: &Upstream,
    begun: Instant,
    progress: &mut Progress,
) -> Result<Head, Failure> {
    // It could only be a tunnel through the endpoint (RFC 9110 section 9.3.6), and no target of ours has its form.
    if ask.method == Method::CONNECT {
        return Err(Failure::local(CallError::Target));
    }
    let mut stale = 0;
    loop {
        let fresh = ask.purpose == Purpose::Upgrade || stale == STALE_MAX;
        let idle = if fresh { None } else { endpoint.pool.idle_connection(begun) };
        let (mut connection, now) = match idle {
            Some(connection) => (connection, begun),
            None => (obtain(endpoint, upstream, ask.purpose, fresh, progress).await?, clock::now()),
        };
        progress.connected = Some(now);
        progress.reused = connection.is_reused();
        let doubtful = progress.reused && (ask.is_delicate() || connection.is_idle_since(VERIFY_IDLE, now));
        if doubtful && stale < STALE_MAX && !connection.verify() {
            stale += 1;
            continue;
        }
        match exchange(ask, endpoint, &mut connection, progress).await? {
            Ok((response, incoming)) => return Ok(Head { response, incoming, connection }),
            Err(failure) if failure.unsent => {
                progress.sent = Sent::Nothing;
                if !(progress.reused && failure.stale && ask.body.is_whole() && stale < STALE_MAX) {
                    return Err(broken(failure, endpoint, ask));
                }
                stale += 1;
            }
            Err(failure) => return Err(broken(failure, endpoint, ask)),
        }
    }
}

type Exchanged = Result<(Response<()>, Option<Incoming>), SendFailure>;

/// The request on its way, up to the response head.
async fn exchange(
    ask: &Ask,
    endpoint: &Endpoint,
    connection: &mut Connection,
    progress: &mut Progress,
) -> Result<Exchanged, Failure> {
    Ok(match connection {
        Connection::Http1(connection) => {
            let (body, opener) = ask.out_body();
            progress.sent = Sent::Maybe;
            connection.send(&ask.head(endpoint), Rest { body, opener }).await.map(|response| (response, None))
        }
        Connection::Http2(lease) => {
            let request = ask.http2_request(endpoint).map_err(Failure::local)?;
            progress.sent = Sent::Maybe;
            let sent = Box::pin(lease.send(request)).await;
            sent.map(|response| {
                let (head, body) = response.into_parts();
                (Response::from_parts(head, ()), Some(body))
            })
        }
    })
}

fn broken(failure: SendFailure, endpoint: &Endpoint, ask: &Ask) -> Failure {
    let source = failure.error;
    if failure.ours || ask.body.has_failed() {
        return Failure::local(CallError::RequestBody { source });
    }
    let sent = if failure.unsent && ask.body.is_whole() { Sent::Nothing } else { Sent::Maybe };
    // A connection that the server was closing, or a stream it refused, says nothing of its health.
    let outcome = if failure.unsent { Outcome::Neutral } else { Outcome::Failed(FailureKind::Reset) };
    let error = CallError::Reset { endpoint: endpoint.key.clone(), sent, source };
    Failure { error, kind: FailureKind::Reset, sent, outcome }
}

async fn obtain(
    endpoint: &Arc<Endpoint>,
    upstream: &Upstream,
    purpose: Purpose,
    fresh: bool,
    progress: &mut Progress,
) -> Result<Connection, Failure> {
    loop {
        let slot = match endpoint.pool.checkout(clock::now(), fresh) {
            Ok(Checkout::Connection(connection)) => return Ok(connection),
            Ok(Checkout::Room(slot)) => slot,
            Ok(Checkout::Queue(mut waiting)) => {
                progress.queued = true;
                let grant = waiting.granted().await;
                progress.queued = false;
                match grant {
                    Some(Grant::Connection(connection)) if !fresh => return Ok(connection),
                    Some(Grant::Slot(slot)) => slot,
                    // An idle connection is of no use here: closed, it gives its slot to the queue.
                    Some(Grant::Connection(_)) | None => continue,
                }
            }
            Err(_full) => {
                let overloaded =
                    CallError::Overloaded { upstream: upstream.name().into(), limit: Limit::Waiting };
                return Err(Failure {
                    kind: FailureKind::Overloaded { retry_after: None },
                    ..Failure::local(overloaded)
                });
            }
        };
        return connect(endpoint, &upstream.shared, purpose, slot).await;
    }
}

async fn connect(
    endpoint: &Arc<Endpoint>,
    shared: &Shared,
    purpose: Purpose,
    slot: Slot,
) -> Result<Connection, Failure> {
    let key = &endpoint.key;
    // The rule is applied here, to what is connected to, whatever a name said before.
    if let Some(address) = endpoint.place.addresses.iter().find(|address| !shared.rules.allows(address.ip()))
    {
        endpoint.metrics.connects.inc(ConnectResult::Blocked);
        let error = CallError::Forbidden { endpoint: key.clone(), address: address.ip() };
        return Err(Failure::unsent(error, FailureKind::Connect));
    }
    let mut turn = None;
    if purpose == Purpose::Requests && endpoint.speaks_http2() {
        turn = Some(endpoint.pool.http2_turn().await);
        // Somebody may have opened one while we waited for our turn.
        if let Some(connection) = endpoint.pool.shared_stream() {
            return Ok(connection);
        }
    }
    let opening = shared.connector.connect(&endpoint.place, purpose, &endpoint.pool, slot);
    let opened = clock::timeout(endpoint.connect_timeout(), opening).await;
    drop(turn);
    let (result, failure) = match opened {
        Ok(Ok(connection)) => {
            endpoint.metrics.connects.inc(ConnectResult::Ok);
            if connection.is_http2() {
                endpoint.note_http2();
            }
            return Ok(connection);
        }
        Ok(Err(ConnectError::Tcp(source))) => {
            let error = CallError::Connect { endpoint: key.clone(), source };
            (ConnectResult::Failed, Failure::unsent(error, FailureKind::Connect))
        }
        Ok(Err(ConnectError::Tls(source))) => {
            let error = CallError::Tls { endpoint: key.clone(), source };
            (ConnectResult::Tls, Failure::unsent(error, FailureKind::Tls))
        }
        Err(_elapsed) => {
            let source = format!("no connection within {:?}", endpoint.connect_timeout()).into();
            let error = CallError::Connect { endpoint: key.clone(), source };
            (ConnectResult::Timeout, Failure::unsent(error, FailureKind::Connect))
        }
    };
    endpoint.metrics.connects.inc(result);
    Err(failure)
}

impl Failure {
    /// The endpoint failed before anything was sent.
    fn unsent(error: CallError, kind: FailureKind) -> Self {
        Self { error, kind, sent: Sent::Nothing, outcome: Outcome::Failed(kind) }
    }

    /// Nobody's fault but ours or the client's.
    fn local(error: CallError) -> Self {
        let sent = error.sent();
        Self { error, kind: FailureKind::Reset, sent, outcome: Outcome::Neutral }
    }

    /// The attempt's time passed. Only an attempt that had a fair share of time blames its endpoint.
    pub(crate) fn timed_out(endpoint: &Endpoint, progress: &Progress, fair: bool) -> Self {
        let sent = progress.sent;
        let blame = fair && !progress.queued;
        Self {
            error: CallError::Timeout { endpoint: endpoint.key.clone(), sent },
            kind: FailureKind::Timeout,
            sent,
            outcome: if blame { Outcome::Failed(FailureKind::Timeout) } else { Outcome::Neutral },
        }
    }
}
