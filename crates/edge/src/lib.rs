//! The accept side: listeners, PROXY v2, TLS, the framing guard, HTTP/1 and HTTP/2, caps, deadlines and drain.
//!
//! [`Handler`] is the one door to the rest of the gateway.

mod body;
mod connection;
mod context;
mod drain;
mod forwarded;
mod handler;
mod limited;
mod request_id;
mod trace;

pub use body::{Body, BodyError, BoxedBody};
pub use connection::{ConnectionInfo, HttpVersion, TlsInfo};
pub use context::RequestContext;
pub use drain::{Drain, DrainEvent, DrainHandle, IllegalDrain, Phase};
pub use forwarded::{X_FORWARDED_FOR, X_FORWARDED_PROTO, client_address, client_proto, is_trusted};
pub use handler::Handler;
pub use limited::{Limited, RequestBodyError};
pub use request_id::{MAX_REQUEST_ID_BYTES, REQUEST_ID, RequestId};
pub use trace::{MAX_TRACESTATE_BYTES, MAX_TRACESTATE_MEMBERS, TRACEPARENT, TRACESTATE, TraceContext};
