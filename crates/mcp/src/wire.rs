//! The way to a server: Streamable HTTP to its endpoints, or links that are shown as such.

use crate::exchange::{Outgoing, SESSION};
use bytes::Bytes;
use holdfast_links::{LinkBody, LinkCall, Links};
use holdfast_resilience::Deadline;
use holdfast_upstream::{Call, CallBody, CallError, EndpointKey, ReplyBody, Target, Upstream};
use http::Response;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// See the module.
#[derive(Clone)]
pub enum Wire {
    /// Endpoints that speak Streamable HTTP.
    Http(Arc<Upstream>),
    /// Something else, such as a program.
    Linked(Arc<Links>),
}

impl From<Arc<Upstream>> for Wire {
    fn from(upstream: Arc<Upstream>) -> Self {
        Self::Http(upstream)
    }
}

impl From<Arc<Links>> for Wire {
    fn from(links: Arc<Links>) -> Self {
        Self::Linked(links)
    }
}

/// The head of an answer, its body to be read.
pub(crate) struct WireReply {
    pub(crate) response: Response<WireBody>,
    pub(crate) endpoint: EndpointKey,
    pub(crate) attempts: u32,
}

/// The body of an answer. Dropped early, it ends the exchange: see [`ReplyBody`] and [`LinkBody`].
#[allow(clippy::large_enum_variant, reason = "both are moved a few times per message")]
pub(crate) enum WireBody {
    Http(ReplyBody),
    Linked(LinkBody),
}

/// It broke off; nobody asks why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BrokeOff;

impl Wire {
    /// Sends a message on its way. Cancel safe: dropping it drops the exchange.
    pub(crate) async fn send(&self, out: Outgoing) -> Result<WireReply, CallError> {
        match self {
            Self::Http(upstream) => {
                let reply = upstream.send(to_call(out)).await?;
                let response = reply.response.map(WireBody::Http);
                Ok(WireReply { response, endpoint: reply.endpoint, attempts: reply.attempts })
            }
            Self::Linked(links) => {
                let session = out.headers.get(SESSION).map(|id| id.to_str().unwrap_or_default());
                let reply = links
                    .send(LinkCall {
                        method: out.method,
                        session,
                        body: out.body,
                        principal: out.principal,
                        pin: out.pin.as_ref(),
                        avoid: &out.avoid,
                        until: out.until,
                    })
                    .await?;
                let response = reply.response.map(WireBody::Linked);
                Ok(WireReply { response, endpoint: reply.endpoint, attempts: 1 })
            }
        }
    }

    /// Where requests may go now.
    pub(crate) fn endpoints(&self) -> Vec<EndpointKey> {
        match self {
            Self::Http(upstream) => upstream.endpoints().into_iter().map(|endpoint| endpoint.key).collect(),
            Self::Linked(links) => links.endpoints(),
        }
    }

    /// Whatever a token may be bound to: the endpoints, and for links the name that a session's own id completes.
    pub(crate) fn bindable(&self) -> Vec<EndpointKey> {
        let mut all = self.endpoints();
        if let Self::Linked(links) = self {
            all.push(links.session_endpoint().clone());
        }
        all
    }
}

fn to_call(out: Outgoing) -> Call {
    let mut call = Call::new(out.method, Target::Base, Deadline::at(out.until));
    call.headers = out.headers;
    call.body = if out.body.is_empty() { CallBody::Empty } else { CallBody::Full(out.body) };
    call.safety = out.safety;
    call.pin = out.pin;
    call.avoid = out.avoid;
    call.streaming = true;
    call
}

impl Body for WireBody {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        match self.get_mut() {
            Self::Http(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(|_| BrokeOff)))
            }
            Self::Linked(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(|_| BrokeOff)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http(body) => body.is_end_stream(),
            Self::Linked(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http(body) => body.size_hint(),
            Self::Linked(body) => body.size_hint(),
        }
    }
}
