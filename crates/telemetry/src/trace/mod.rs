//! Distributed tracing: the context that goes along with a request, and the spans that are kept of it.
//!
//! Whether a request is kept is known at its end: a sampled one always is, any other only if it failed. So the spans of each request
//! wait in its [`Trace`] until its access record is written, and then go to the queue of the [`Tracer`] or nowhere. Who sends them on
//! takes them from there in batches; [`encode`] makes OTLP of a batch. Without a tracer a request costs one branch.

mod context;
mod otlp;
mod request;
mod span;
mod tracer;

#[cfg(test)]
mod tests;

pub use context::{
    BAGGAGE, MAX_BAGGAGE_BYTES, MAX_BAGGAGE_MEMBERS, MAX_TRACESTATE_BYTES, MAX_TRACESTATE_MEMBERS,
    TRACEPARENT, TRACEPARENT_BYTES, TRACESTATE, TraceContext, baggage_value, tracestate_value,
};
pub use otlp::{Resource, encode, rejected};
pub use request::{Beginning, Trace};
pub use span::{Fault, HttpAttempt, McpWork, OpenSpan, Parent, Work};
pub use tracer::{Batch, Limits, Tracer};

pub(crate) use request::Kept;
