//! What is asked of an upstream.

use crate::EndpointKey;
use bytes::Bytes;
use holdfast_resilience::{Deadline, Safety};
use holdfast_telemetry::trace::Parent;
use http::{HeaderMap, Method, uri::PathAndQuery};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use std::fmt;

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request body of unknown making.
pub type BoxedBody = UnsyncBoxBody<Bytes, BoxError>;

/// One request to an upstream. [`crate::Upstream::send`] makes as many attempts of it as policy and safety allow.
#[derive(Debug)]
pub struct Call {
    /// Request method.
    pub method: Method,
    /// Where below the endpoint's base path.
    pub target: Target,
    /// End-to-end headers only: the caller has removed hop-by-hop ones (RFC 9110 section 7.6.1). `Host` may be absent;
    /// then the endpoint's own is sent.
    pub headers: HeaderMap,
    /// Request body.
    pub body: CallBody,
    /// What may be repeated.
    pub safety: Safety,
    /// Until the response head, over all attempts, pauses and queues. Coarse: see [`crate::clock`].
    pub deadline: Deadline,
    /// Reach this endpoint or fail.
    pub pin: Option<EndpointKey>,
    /// Key of hash balancers.
    pub hash: Option<u64>,
    /// The response is a stream: the long idle timeout applies to its body.
    pub streaming: bool,
    /// Endpoints to use only when no other is left, for callers that make several calls for one request.
    pub avoid: Vec<EndpointKey>,
    /// Ask for a protocol upgrade: HTTP/1.1 is used, and a 101 hands the connection over.
    pub upgrade: bool,
    /// The span that asks, where spans are recorded: each attempt is one below it, and is named to the endpoint by `traceparent`.
    pub trace: Option<Box<Parent>>,
}

impl Call {
    /// A call with an empty body and no headers. Safety follows the method: `GET`, `HEAD`, `OPTIONS` and `TRACE` are
    /// safe, `PUT` and `DELETE` idempotent, all else is unsafe (RFC 9110 section 9.2).
    pub fn new(method: Method, target: Target, deadline: Deadline) -> Self {
        let safety = safety_of(&method);
        Self {
            method,
            target,
            headers: HeaderMap::new(),
            body: CallBody::Empty,
            safety,
            deadline,
            pin: None,
            hash: None,
            streaming: false,
            avoid: Vec::new(),
            upgrade: false,
            trace: None,
        }
    }
}

/// The safety class of a method by RFC 9110 section 9.2.
pub fn safety_of(method: &Method) -> Safety {
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE => Safety::Safe,
        Method::PUT | Method::DELETE => Safety::Idempotent,
        _ => Safety::Unsafe,
    }
}

/// Where a call goes, relative to the endpoint's base path.
#[derive(Clone, Debug)]
pub enum Target {
    /// The endpoint's URL itself, as an MCP server's `/mcp`.
    Base,
    /// The endpoint's base path with this appended; the base alone when it is `/`. Always begins with `/`.
    Path(PathAndQuery),
    /// This, whatever the base path is: an address that the endpoint itself named.
    At(PathAndQuery),
}

/// A request body.
pub enum CallBody {
    /// None.
    Empty,
    /// Whole in memory; every attempt can send it.
    Full(Bytes),
    /// From the client's connection. Once a byte of it was asked for, no other attempt can be made.
    Incoming(Incoming),
    /// Any other stream, with the same restriction.
    Stream(BoxedBody),
}

impl fmt::Debug for CallBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Incoming(_) => f.write_str("Incoming"),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}
