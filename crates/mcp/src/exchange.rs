//! One message to an endpoint, and its answer as far as it decides what happens next.
//!
//! An answer is read before anything is promised to the client: a JSON answer whole, an event stream as far as [`Hold`]
//! says. What dies before that point can still be asked elsewhere; what dies later ends visibly.

use crate::{
    errors::{McpError, Problem},
    failure::Failure,
    frame::Frame,
    lens::Lens,
    operation::{About, Sending},
    policy::View,
    server::Server,
    source::{Event, Source, SourceError, Unread, answer_limits},
    state::Room,
    wire::{WireBody, WireReply},
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use holdfast_resilience::Safety;
use holdfast_telemetry::{
    metrics::{Limit, OperationVersion},
    trace::Parent,
};
use holdfast_upstream::{EndpointKey, clock};
use http::{HeaderMap, Method, StatusCode, header};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Name of the session header. Header names are case-insensitive; this is the older spelling.
pub(crate) const SESSION: http::HeaderName = http::HeaderName::from_static("mcp-session-id");

/// Bytes of events held back for a safe request before its answer.
const HELD_BYTES_MAX: usize = 64 * 1024;
/// Pause after a notification that ends the holding back of a safe request.
const HELD_QUIET: Duration = Duration::from_secs(1);
/// How long a lone priming event is held back: an answer this quick is sent whole, without a log.
const PRIMING_QUIET: Duration = Duration::from_millis(50);
/// How long an answered stream may take to end, so that its connection can be used again.
const TAIL: Duration = Duration::from_secs(1);

/// How much of an event stream is read before the client sees its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Up to the first message: the request cannot be repeated, so nothing is gained by waiting.
    FirstMessage,
    /// Up to the answer, within limits: the request can be repeated elsewhere until then.
    Answer,
    /// Up to the answer, whatever comes before it: the client sees only the answer.
    OnlyAnswer,
}

/// A message on its way to an endpoint.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Who calls, where that is known.
    pub(crate) principal: Option<[u8; 32]>,
    pub(crate) pin: Option<EndpointKey>,
    pub(crate) avoid: Vec<EndpointKey>,
    pub(crate) safety: Safety,
    /// Until the answer, or until a stream is open.
    pub(crate) until: Instant,
    /// Largest message of the answer.
    pub(crate) answer_max: usize,
    /// Memory of a JSON answer.
    pub(crate) room: Room,
    /// What whoever reads the answer may see; `None` = everything.
    pub(crate) view: Option<Arc<View>>,
    /// What it is about, if it is a message of ours.
    pub(crate) about: Option<About>,
    /// As far as it is agreed on.
    pub(crate) version: OperationVersion,
    /// The span it is sent below, where spans are recorded.
    pub(crate) trace: Option<Box<Parent>>,
    /// A context came with the request.
    pub(crate) continued: bool,
}

/// The beginning of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) endpoint: EndpointKey,
    pub(crate) session: Option<Arc<str>>,
    pub(crate) attempts: u32,
}

/// What an endpoint answered.
#[allow(
    clippy::large_enum_variant,
    reason = "moved a few times per message; a box would cost an allocation each"
)]
pub(crate) enum Answer {
    /// One JSON message, whole.
    Message(Head, Frame),
    /// An event stream, read to its answer.
    Events(Head, Vec<Event>),
    /// An event stream that goes on, or ended without an answer.
    Open(Head, Vec<Event>, Source),
    /// No message: a bare status.
    Bare(Head),
}

/// Sends `out` and reads the answer to the request `id` (raw JSON) as far as `hold` says. Without an id any answer is taken
/// as it comes. Cancel safe: dropping it drops the connection's exchange.
pub(crate) async fn ask(
    server: &Server,
    mut out: Outgoing,
    id: Option<&[u8]>,
    hold: Hold,
) -> Result<Answer, Failure> {
    let sending = Sending::begin(server, &mut out);
    let mut answer = exchange(server, out, id, hold).await;
    let Some(sending) = sending else { return answer };
    match &mut answer {
        Err(failure) => sending.failed(failure),
        // It ends with the stream.
        Ok(Answer::Open(_, _, source)) if id.is_some() => source.ends(sending, id),
        Ok(answer) => match answer.response() {
            Some(response) => sending.answered(response),
            None => sending.taken(answer.head().status.is_success()),
        },
    }
    answer
}

async fn exchange(server: &Server, out: Outgoing, id: Option<&[u8]>, hold: Hold) -> Result<Answer, Failure> {
    let (until, answer_max, room, view) = (out.until, out.answer_max, out.room.clone(), out.view.clone());
    let reply = server.wire.send(out).await?;
    let (head, reply) = read_head(reply);
    match media_type(reply.headers()) {
        Media::Events if head.status.is_success() => {
            let source = Source::new(
                reply.into_body(),
                answer_max,
                Lens { view, watched: Arc::clone(&server.watched) },
            );
            match id {
                Some(id) => read_events(head, source, id, hold, until).await,
                None => Ok(Answer::Open(head, Vec::new(), source)),
            }
        }
        Media::Json => read_json(head, reply, answer_max, &room, until)
            .await
            .map(|answer| server.watched.seen(answer, view.as_deref())),
        Media::Events | Media::Other => Ok(Answer::Bare(head)),
    }
}

fn read_head(reply: WireReply) -> (Head, http::Response<WireBody>) {
    let session = reply.response.headers().get(SESSION).and_then(|value| value.to_str().ok()).map(Arc::from);
    let head =
        Head { status: reply.response.status(), endpoint: reply.endpoint, session, attempts: reply.attempts };
    (head, reply.response)
}

enum Media {
    Json,
    Events,
    Other,
}

fn media_type(headers: &HeaderMap) -> Media {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Media::Other };
    if value == "application/json" {
        return Media::Json;
    }
    let text = value.to_str().unwrap_or("");
    let essence = text.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("text/event-stream") {
        Media::Events
    } else if essence.eq_ignore_ascii_case("application/json") {
        Media::Json
    } else {
        Media::Other
    }
}

async fn read_json(
    head: Head,
    reply: http::Response<WireBody>,
    max: usize,
    room: &Room,
    until: Instant,
) -> Result<Answer, Failure> {
    let endpoint = head.endpoint.clone();
    let body = match clock::timeout_at(until, crate::source::whole(reply.into_body(), max, Some(room))).await
    {
        Err(clock::Elapsed) => return Err(Failure::Late(endpoint)),
        Ok(Err(Unread::TooLarge)) => {
            room.metrics.limited.inc(Limit::ResponseBytes);
            return Err(Failure::Unusable(endpoint, "more than max_response_bytes".to_owned()));
        }
        Ok(Err(Unread::NoRoom)) => {
            room.metrics.answers_refused.inc();
            return Err(Failure::NoRoom(endpoint));
        }
        Ok(Err(Unread::Torn)) => return Err(Failure::Torn(endpoint)),
        Ok(Ok(body)) => body,
    };
    if body.is_empty() {
        return Ok(Answer::Bare(head));
    }
    match Frame::parse(body, &answer_limits(max)) {
        Ok(frame) => Ok(Answer::Message(head, frame)),
        Err(_) if !head.status.is_success() => Ok(Answer::Bare(head)),
        Err(error) => Err(Failure::Unusable(endpoint, error.to_string())),
    }
}

async fn read_events(
    head: Head,
    mut source: Source,
    id: &[u8],
    hold: Hold,
    until: Instant,
) -> Result<Answer, Failure> {
    let mut events: Vec<Event> = Vec::new();
    let (mut bytes, mut has_message) = (0, false);
    loop {
        let wait = match hold {
            Hold::FirstMessage if !events.is_empty() => until.min(clock::after(clock::now(), PRIMING_QUIET)),
            Hold::Answer if has_message => until.min(clock::after(clock::now(), HELD_QUIET)),
            _ => until,
        };
        let event = match clock::timeout_at(wait, source.next()).await {
            Err(clock::Elapsed) if wait < until => return Ok(Answer::Open(head, events, source)),
            Err(clock::Elapsed) => return Err(Failure::Late(head.endpoint)),
            Ok(Err(SourceError::TooLarge)) => {
                return Err(Failure::Unusable(head.endpoint, "an event above max_response_bytes".to_owned()));
            }
            // The server closed the connection, not the stream, if it gave an id to resume by (SEP-1699).
            Ok(Ok(None)) if hold != Hold::OnlyAnswer && events.iter().any(|event| event.id.is_some()) => {
                return Ok(Answer::Open(head, events, source));
            }
            Ok(Ok(None) | Err(SourceError::Torn)) => return Err(Failure::Torn(head.endpoint)),
            Ok(Ok(Some(event))) => event,
        };
        bytes += event.size();
        has_message |= event.frame.is_some();
        let answers = event.answers(id);
        let is_message = event.frame.is_some();
        if hold != Hold::OnlyAnswer || answers {
            events.push(event);
        }
        if answers {
            let_end(source);
            return Ok(Answer::Events(head, events));
        }
        let commits = match hold {
            Hold::FirstMessage => is_message,
            Hold::Answer => bytes > HELD_BYTES_MAX,
            Hold::OnlyAnswer => false,
        };
        if commits {
            return Ok(Answer::Open(head, events, source));
        }
    }
}

/// Reads an answered stream to its end, so that its connection can be used again.
pub(crate) fn let_end(mut source: Source) {
    match source.next().now_or_never() {
        Some(Ok(Some(_))) | None => {
            tokio::spawn(clock::timeout(TAIL, async move { while let Ok(Some(_)) = source.next().await {} }));
        }
        Some(Ok(None) | Err(_)) => {}
    }
}

impl Answer {
    /// Its beginning.
    pub(crate) fn head(&self) -> &Head {
        match self {
            Self::Message(head, _) | Self::Events(head, _) | Self::Open(head, ..) | Self::Bare(head) => head,
        }
    }

    /// The message that answers, if it was read.
    pub(crate) fn response(&self) -> Option<&Frame> {
        match self {
            Self::Message(_, frame) => Some(frame),
            Self::Events(_, events) => events.last().and_then(|event| event.frame.as_ref()),
            Self::Open(..) | Self::Bare(_) => None,
        }
    }
}

/// The typed error for an endpoint's bare status.
pub(crate) fn bare_error(status: StatusCode) -> McpError {
    let problem = match status {
        StatusCode::TOO_MANY_REQUESTS => Problem::RateLimited,
        StatusCode::SERVICE_UNAVAILABLE => Problem::NoEndpoint,
        StatusCode::GATEWAY_TIMEOUT => Problem::Timeout,
        _ => Problem::BadUpstream,
    };
    McpError::new(problem).detail(format!("it answered HTTP status {}", status.as_u16()))
}
