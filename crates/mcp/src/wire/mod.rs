//! The way to a server: Streamable HTTP to its endpoints, or links that are shown as such.

mod linked;
mod peer_link;

use crate::exchange::Outgoing;
use bytes::Bytes;
use holdfast_links::LinkBody;
use holdfast_peers::PeerBody;
use holdfast_resilience::Deadline;
use holdfast_upstream::{Call, CallBody, CallError, EndpointKey, ReplyBody, Target, Upstream};
use http::Response;
use http_body::{Body, Frame, SizeHint};
pub use linked::Linked;
pub(crate) use linked::answer;
pub(crate) use peer_link::PeerLink;
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
    Linked(Linked),
}

impl From<Arc<Upstream>> for Wire {
    fn from(upstream: Arc<Upstream>) -> Self {
        Self::Http(upstream)
    }
}

impl From<Linked> for Wire {
    fn from(linked: Linked) -> Self {
        Self::Linked(linked)
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
    /// Of a link that another replica holds.
    Elsewhere(Box<PeerBody>),
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
            Self::Linked(linked) => linked.send(out).await,
        }
    }

    /// Where requests may go now.
    pub(crate) fn endpoints(&self) -> Vec<EndpointKey> {
        match self {
            Self::Http(upstream) => upstream.endpoints().into_iter().map(|endpoint| endpoint.key).collect(),
            Self::Linked(linked) => linked.links().endpoints(),
        }
    }

    /// Whatever a token may be bound to: the endpoints, and for links the name that a session's own id completes.
    pub(crate) fn bindable(&self) -> Vec<EndpointKey> {
        let mut all = self.endpoints();
        if let Self::Linked(linked) = self {
            all.push(linked.links().session_endpoint().clone());
            all.extend(linked.elsewhere());
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
    call.trace = out.trace;
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
            Self::Elsewhere(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(|_| BrokeOff)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http(body) => body.is_end_stream(),
            Self::Linked(body) => body.is_end_stream(),
            Self::Elsewhere(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http(body) => body.size_hint(),
            Self::Linked(body) => body.size_hint(),
            Self::Elsewhere(body) => body.size_hint(),
        }
    }
}
