//! The accept side: listeners, PROXY v2, TLS, the framing guard, HTTP/1 and HTTP/2, caps, deadlines and drain.
//!
//! [`Handler`] is the one door to the rest of the gateway.

mod answers;
mod body;
mod caps;
mod cell;
mod connection;
mod context;
mod control;
mod count;
mod drain;
mod edge;
mod fd_limit;
mod forwarded;
mod guard;
mod handler;
mod handover;
mod handshake;
mod io;
mod limited;
mod listener;
mod long;
mod proxy_v2;
mod recorded;
mod request_body;
mod request_id;
mod serve;
mod service;
mod settings;
mod sniff;
mod stream_cell;
mod tls;
mod turns;
mod unshared;
mod worker;

pub use answers::local_response;
pub use body::{Body, BodyError, BoxedBody};
pub use connection::{ConnectionInfo, HttpVersion, TlsInfo};
pub use context::{ContextDefaults, RequestContext};
pub use drain::{Drain, DrainEvent, DrainHandle, IllegalDrain, Phase};
pub use edge::{Edge, EdgeError, EdgeHandle, Workers};
pub use forwarded::{X_FORWARDED_FOR, X_FORWARDED_PROTO, client_address, client_proto, is_trusted};
pub use guard::{Violation, fuzz_guard};
pub use handler::Handler;
pub use holdfast_telemetry::trace::{
    BAGGAGE, MAX_TRACESTATE_BYTES, MAX_TRACESTATE_MEMBERS, TRACEPARENT, TRACEPARENT_BYTES, TRACESTATE,
    TraceContext,
};
pub use limited::{Limited, RequestBodyError};
pub use listener::Bound;
pub use long::LongLived;
pub use proxy_v2::fuzz_proxy_v2;
pub use recorded::Recorded;
pub use request_body::RequestBody;
pub use request_id::{MAX_REQUEST_ID_BYTES, REQUEST_ID, RequestId};
pub use tls::{CertificateError, CertificateView, TlsError, UnknownSuite};
pub use turns::{Turn, Turns};
pub use unshared::{unshared, unshared_value};
pub use worker::{Hook, Hooks};
