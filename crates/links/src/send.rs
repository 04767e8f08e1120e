//! One HTTP request to a server behind links, answered as a Streamable HTTP server would.

use crate::{
    body::LinkBody,
    link::{Asked, Link, NotTaken},
    links::Links,
    opening::Where,
    queue::Item,
    session_id,
    switchboard::{Owner, Refused},
};
use bytes::Bytes;
use holdfast_frames::frame::{self, Frame, Kind, MAX_DEPTH, TraceMeta};
use holdfast_resilience::Sent;
use holdfast_telemetry::metrics::{LinkEnd, LinkTear};
use holdfast_upstream::{CallError, EndpointKey, clock};
use http::{HeaderValue, Method, Response, StatusCode, header};
use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

const SESSION: http::HeaderName = http::HeaderName::from_static("mcp-session-id");

/// A request on its way to a server behind links.
#[derive(Clone, Debug)]
pub struct LinkCall<'a> {
    /// POST, GET or DELETE.
    pub method: Method,
    /// `Mcp-Session-Id`.
    pub session: Option<&'a str>,
    /// One message, for a POST.
    pub body: Bytes,
    /// Who calls. Not known where a session ends because its time is over.
    pub principal: Option<[u8; 32]>,
    /// The only endpoint it may reach.
    pub pin: Option<&'a EndpointKey>,
    /// Endpoints to use only if there is no other.
    pub avoid: &'a [EndpointKey],
    /// Until the first message of the answer.
    pub until: Instant,
    /// Goes along in `_meta`: there are no headers.
    pub trace: Option<TraceMeta<'a>>,
}

/// What a link answered.
#[derive(Debug)]
pub struct LinkReply {
    /// Head and body.
    pub response: Response<LinkBody>,
    /// Who answered.
    pub endpoint: EndpointKey,
}

impl Links {
    /// Answers `call`. Dropped before the head, the request's reader has left: see [`LinkBody`].
    pub async fn send(self: &Arc<Self>, call: LinkCall<'_>) -> Result<LinkReply, CallError> {
        let elsewhere = |pin: &&EndpointKey| **pin != self.anywhere && !self.endpoints().contains(pin);
        if let Some(pin) = call.pin.filter(elsewhere) {
            return Err(CallError::PinnedGone { upstream: (&*self.name).into(), endpoint: pin.clone() });
        }
        let link = match call.session {
            Some(id) => match self.find(id, call.principal) {
                Some(link) => Some(link),
                // Session management, 3: the client then initialises anew.
                None => return Ok(self.bare(StatusCode::NOT_FOUND)),
            },
            None => None,
        };
        match (&call.method, link) {
            (&Method::POST, link) => self.post(&call, link).await,
            (&Method::GET, Some(link)) => match link.listen() {
                Ok(listening) => Ok(reply(
                    &link.endpoint,
                    StatusCode::OK,
                    Some("text/event-stream"),
                    LinkBody::listener(listening),
                )),
                Err(_) => Ok(self.bare(StatusCode::NOT_FOUND)),
            },
            (&Method::DELETE, Some(link)) => {
                link.close(LinkEnd::Closed);
                Ok(self.bare(StatusCode::NO_CONTENT))
            }
            _ => Ok(self.bare(StatusCode::METHOD_NOT_ALLOWED)),
        }
    }

    /// Which endpoints a call may reach.
    fn place<'a>(&self, call: &LinkCall<'a>) -> Where<'a> {
        Where { pin: call.pin.filter(|pin| **pin != self.anywhere), avoid: call.avoid }
    }

    /// The link of a session: of this replica, and of whoever calls.
    fn find(&self, id: &str, principal: Option<Owner>) -> Option<Arc<Link>> {
        session_id::replica(id).filter(|replica| *replica == self.replica)?;
        self.pool.session(id).filter(|link| principal.is_none_or(|principal| principal == link.owner))
    }

    async fn post(
        self: &Arc<Self>,
        call: &LinkCall<'_>,
        link: Option<Arc<Link>>,
    ) -> Result<LinkReply, CallError> {
        let limits = frame::Limits { bytes_max: call.body.len(), depth_max: MAX_DEPTH };
        let Ok(mut frame) = Frame::parse(call.body.clone(), &limits) else {
            return Ok(self.bare(StatusCode::BAD_REQUEST));
        };
        if let Some(bytes) = call.trace.and_then(|trace| frame.with_trace(&trace)) {
            let limits = frame::Limits { bytes_max: bytes.len(), depth_max: MAX_DEPTH };
            frame = Frame::parse(bytes, &limits).unwrap_or(frame);
        }
        let owner = call.principal.unwrap_or_default();
        if frame.kind() != Kind::Request {
            return self.told(call, &frame, owner, link).await;
        }
        let _turn = InFlight::begin(self).ok_or_else(|| self.at_limit())?;
        if let Some(link) = link {
            return self.asked(&link, &frame, owner, call.until, false).await;
        }
        if frame.is("initialize") {
            return self.initialize(&frame, owner, call).await;
        }
        let link = self.shared(owner, self.place(call), call.until).await?;
        self.asked(&link, &frame, owner, call.until, true).await
    }

    /// A notification, or the answer to a request of the server.
    async fn told(
        self: &Arc<Self>,
        call: &LinkCall<'_>,
        frame: &Frame,
        owner: Owner,
        link: Option<Arc<Link>>,
    ) -> Result<LinkReply, CallError> {
        let of_session = link.is_some();
        let link = match link {
            Some(link) => link,
            None => self.shared(owner, self.place(call), call.until).await?,
        };
        match link.tell(frame, owner, call.until).await {
            // "the server MUST return HTTP status code 202 Accepted with no body". What speaks of nothing goes nowhere.
            Ok(()) | Err(NotTaken::Refused(_)) => Ok(self.bare(StatusCode::ACCEPTED)),
            Err(NotTaken::Ended) if of_session => Ok(self.bare(StatusCode::NOT_FOUND)),
            Err(NotTaken::Ended) => Err(reset(&link, Sent::Nothing)),
            Err(NotTaken::Unread) => Err(self.late()),
        }
    }

    /// Opens a link for a session, which stays open if the server agrees.
    async fn initialize(
        self: &Arc<Self>,
        frame: &Frame,
        owner: Owner,
        call: &LinkCall<'_>,
    ) -> Result<LinkReply, CallError> {
        let until = call.until;
        let opened = self.session(owner, self.place(call), until).await?;
        let link = Arc::clone(opened.link().ok_or_else(|| self.gone())?);
        let mut reply = self.asked(&link, frame, owner, until, false).await?;
        reply.endpoint = self.anywhere.clone();
        let agreed = reply.response.body().message().is_some_and(|message| {
            let limits = frame::Limits { bytes_max: message.len(), depth_max: MAX_DEPTH };
            Frame::parse(message.clone(), &limits).is_ok_and(|answer| answer.kind() == Kind::Response)
        });
        if let (true, Some(Ok(id))) = (agreed, link.session.as_deref().map(HeaderValue::from_str)) {
            reply.response.headers_mut().insert(SESSION, id);
            opened.keep();
        }
        Ok(reply)
    }

    /// Puts a request on a link and waits for the first word of its answer.
    async fn asked(
        &self,
        link: &Arc<Link>,
        frame: &Frame,
        owner: Owner,
        until: Instant,
        modern: bool,
    ) -> Result<LinkReply, CallError> {
        let asked = match link.ask(frame, owner, until).await {
            Ok(asked) => asked,
            Err(NotTaken::Ended) if !modern && !frame.is("initialize") => {
                return Ok(self.bare(StatusCode::NOT_FOUND));
            }
            Err(NotTaken::Ended) => return Err(reset(link, Sent::Nothing)),
            Err(NotTaken::Unread) => return Err(self.late()),
            Err(NotTaken::Refused(Refused::Full)) => return Err(self.at_limit()),
            Err(NotTaken::Refused(refused)) => return Ok(refused_reply(link, frame, refused)),
        };
        let sent = |asked: &Asked| if asked.sending.has_begun() { Sent::Maybe } else { Sent::Nothing };
        match clock::timeout_at(until, poll_fn(|cx| asked.queue.poll(cx))).await {
            Ok(Ok(Item::Answer(message))) => {
                let status = if modern { modern_status(&message) } else { StatusCode::OK };
                Ok(reply(&link.endpoint, status, Some("application/json"), LinkBody::json(message)))
            }
            Ok(Ok(first)) => Ok(reply(
                &link.endpoint,
                StatusCode::OK,
                Some("text/event-stream"),
                LinkBody::answer(first, asked),
            )),
            Ok(Err(_)) => Err(reset(link, sent(&asked))),
            Err(clock::Elapsed) => {
                self.metrics.torn.inc(LinkTear::Deadline);
                Err(CallError::Deadline { upstream: (&*self.name).into(), sent: sent(&asked) })
            }
        }
    }

    fn bare(&self, status: StatusCode) -> LinkReply {
        reply(&self.anywhere, status, None, LinkBody::empty())
    }
}

fn refused_reply(link: &Link, frame: &Frame, refused: Refused) -> LinkReply {
    let why = match refused {
        Refused::IdInUse => "a request with this id is in flight",
        Refused::Full | Refused::Malformed | Refused::NotTheirs => "the request cannot be passed on",
    };
    let id = String::from_utf8_lossy(frame.id().unwrap_or(b"null")).into_owned();
    let error = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32600,"message":"{why}"}}}}"#);
    reply(&link.endpoint, StatusCode::BAD_REQUEST, Some("application/json"), LinkBody::json(error.into()))
}

fn reset(link: &Link, sent: Sent) -> CallError {
    CallError::Reset { endpoint: link.endpoint.clone(), sent, source: "the link ended".into() }
}

fn reply(
    endpoint: &EndpointKey,
    status: StatusCode,
    media: Option<&'static str>,
    body: LinkBody,
) -> LinkReply {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Some(media) = media {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    }
    LinkReply { response, endpoint: endpoint.clone() }
}

/// The status that Streamable HTTP gives an error of 2026-07-28.
fn modern_status(message: &Bytes) -> StatusCode {
    let limits = frame::Limits { bytes_max: message.len(), depth_max: MAX_DEPTH };
    match Frame::parse(message.clone(), &limits).ok().and_then(|frame| frame.error_code()) {
        // "MUST respond with 404 Not Found" to a method that is not there.
        Some(-32601) => StatusCode::NOT_FOUND,
        Some(-32022..=-32020) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

/// A request that has no answer yet, of `max_requests`.
struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    fn begin(links: &Links) -> Option<Self> {
        let before = links.in_flight.fetch_add(1, Ordering::Relaxed);
        let turn = Self(Arc::clone(&links.in_flight));
        (before < links.requests_max).then_some(turn)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
