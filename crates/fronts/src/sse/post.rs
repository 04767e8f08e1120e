//! A message of an HTTP+SSE client: taken here, or passed to the replica that holds its stream.

use super::name::Name;
use crate::{Fronts, MessageLimits, fronts::Undelivered};
use bytes::Bytes;
use holdfast_edge::Body;
use holdfast_frames::{
    batch::{self, Batch},
    frame::{Frame, Limits},
};
use holdfast_mcp::{
    errors::{McpError, Problem},
    headers::check_content_type,
};
use holdfast_peers::{Ask, Handle, PeerError, Peers, Refusal};
use holdfast_seal::KeyRing;
use holdfast_telemetry::metrics::{Carrier, MessageRefusal, Passed};
use holdfast_upstream::clock;
use http::{Response, StatusCode, request};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a peer is asked to do with a conversation.
pub(super) const WHAT: &str = "say";
/// The kind of its handle.
pub(super) const HANDLE_KIND: &str = "conversation";
/// How long a handle between replicas lives, in seconds.
const HANDLE_SECONDS: u64 = 60;
/// From the first byte of a body to its last. The accept side bounds the pauses in between.
const BODY_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a conversation may take to let a message in.
const TAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client of a conversation that is full should wait.
const COME_BACK: Duration = Duration::from_secs(1);

/// Who says it, to which server, and what is needed to find the conversation.
#[derive(Clone, Copy)]
pub struct Desk<'d> {
    /// Opens names.
    pub ring: &'d KeyRing,
    /// The other replicas.
    pub peers: Option<&'d Peers>,
    /// [`Principal::binding`](holdfast_mcp) of the caller.
    pub principal: [u8; 32],
    /// The server of the path.
    pub server: &'d str,
    /// Limits of messages.
    pub messages: MessageLimits,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Taken,
    Gone,
    Full,
}

impl From<Result<(), Undelivered>> for Answer {
    fn from(said: Result<(), Undelivered>) -> Self {
        match said {
            Ok(()) => Self::Taken,
            Err(Undelivered::Unknown) => Self::Gone,
            Err(Undelivered::Full) => Self::Full,
        }
    }
}

impl Answer {
    /// As SDK servers answer; an error names the request of `message`.
    pub(super) fn response(self, message: &Bytes) -> Response<Bytes> {
        let error = match self {
            Self::Taken => {
                let mut accepted = Response::new(Bytes::from_static(b"Accepted"));
                *accepted.status_mut() = StatusCode::ACCEPTED;
                return accepted;
            }
            Self::Gone => gone(),
            Self::Full => McpError::new(Problem::Overloaded)
                .detail("the conversation takes nothing: mcp.conversations.max_queued_bytes wait")
                .retry_after(COME_BACK),
        };
        let id = Frame::parse(message.clone(), &Limits { bytes_max: message.len(), ..Limits::default() });
        error.response(id.ok().as_ref().and_then(Frame::id))
    }
}

fn gone() -> McpError {
    McpError::new(Problem::SessionDead).detail("its event stream is not open; begin anew with GET")
}

impl Fronts {
    /// Takes a POST. `parts` have passed Origin and credential.
    pub async fn post<B>(&self, desk: Desk<'_>, parts: &request::Parts, body: B) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match self.take(desk, parts, body).await {
            Ok(response) => response,
            Err((error, refused)) => {
                if let Some(refused) = refused {
                    self.metrics.refused.get(Carrier::Sse).inc(refused);
                }
                error.response(None).map(Body::full)
            }
        }
    }

    async fn take<B>(
        &self,
        desk: Desk<'_>,
        parts: &request::Parts,
        body: B,
    ) -> Result<Response<Body>, (McpError, Option<MessageRefusal>)>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let sealed = parts.uri.query().and_then(session_id).ok_or_else(|| {
            let error = McpError::new(Problem::SessionMissing).detail("the query has no session_id");
            (error, Some(MessageRefusal::Name))
        })?;
        let name = Name::open(desk.ring, &desk.principal, desk.server, sealed, now)
            .map_err(|_| (gone(), Some(MessageRefusal::Name)))?;
        check_content_type(&parts.headers).map_err(|error| (error, None))?;
        let message = read(body, desk.messages).await?;
        if name.replica == self.replica {
            let until = clock::after(clock::now(), TAKE_TIMEOUT);
            let answer = Answer::from(self.deliver(&name.id, &desk.principal, message.clone(), until).await);
            let refused = match answer {
                Answer::Taken => None,
                Answer::Gone => Some(MessageRefusal::Name),
                Answer::Full => Some(MessageRefusal::Queue),
            };
            if let Some(refused) = refused {
                self.metrics.refused.get(Carrier::Sse).inc(refused);
            }
            return Ok(answer.response(&message).map(Body::full));
        }
        Ok(self.pass(desk, name, message, now).await)
    }

    /// Passes a message to the replica of its conversation.
    async fn pass(&self, desk: Desk<'_>, name: Name, message: Bytes, now: u64) -> Response<Body> {
        let handle = Handle::new(name.replica, HANDLE_KIND, &name.id).seal(
            desk.ring,
            &desk.principal,
            now + HANDLE_SECONDS,
        );
        let asked = match (desk.peers, handle) {
            (Some(peers), Ok(handle)) => {
                let until = clock::after(clock::now(), TAKE_TIMEOUT);
                let ask = Ask { what: WHAT, handle, principal: desk.principal, until, body: message.clone() };
                peers.ask(name.replica, ask).await
            }
            // Without a channel, a replica of another name is one that this process was before.
            _ => Err(PeerError::Unknown(name.replica)),
        };
        let error = match asked {
            Ok(answer) => {
                self.metrics.passed.inc(Passed::Answered);
                return answer.map(Body::boxed);
            }
            Err(error) => error,
        };
        tracing::debug!(replica = %name.replica, %error, "a message did not reach the replica of its event stream");
        let (error, passed) = match error {
            PeerError::Unknown(_) | PeerError::Dead { .. } => (gone(), Passed::Dead),
            PeerError::Timeout(_) => (McpError::new(Problem::Timeout), Passed::Failed),
            PeerError::Torn(_) => (McpError::new(Problem::UpstreamLost), Passed::Failed),
            PeerError::Refused(Refusal::TooLarge) => (
                McpError::new(Problem::PayloadTooLarge).detail("more than ha.peer_channel.max_ask_bytes"),
                Passed::Failed,
            ),
            PeerError::Refused(_) => (gone(), Passed::Failed),
            _ => (McpError::new(Problem::Overloaded).retry_after(COME_BACK), Passed::Failed),
        };
        self.metrics.passed.inc(passed);
        let frame = Frame::parse(message, &desk.messages.client).ok();
        error.response(frame.as_ref().and_then(Frame::id)).map(Body::full)
    }
}

/// The body: one message, or a batch of them, that can be read.
async fn read<B>(body: B, limits: MessageLimits) -> Result<Bytes, (McpError, Option<MessageRefusal>)>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let whole = Box::pin(Limited::new(body, limits.client.bytes_max).collect());
    let message = match clock::timeout(BODY_TIMEOUT, whole).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let error = McpError::new(Problem::PayloadTooLarge).detail("more than mcp.max_message_bytes");
            return Err((error, Some(MessageRefusal::TooLarge)));
        }
        Ok(Err(_)) | Err(clock::Elapsed) => return Err((McpError::new(Problem::BodyIncomplete), None)),
    };
    let read = if batch::is_batch(&message) {
        Batch::parse(message.clone(), &limits.client, limits.batch).map(drop)
    } else {
        Frame::parse(message.clone(), &limits.client).map(drop)
    };
    match read {
        Ok(()) => Ok(message),
        Err(error) => {
            let parses = serde_json::from_slice::<serde::de::IgnoredAny>(&message).is_ok();
            let problem = if parses { Problem::InvalidRequest } else { Problem::ParseError };
            Err((McpError::new(problem).detail(error.to_string()), None))
        }
    }
}

fn session_id(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("session_id=")).filter(|id| !id.is_empty())
}
