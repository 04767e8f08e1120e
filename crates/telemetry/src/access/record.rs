//! What is remembered of one request.

use super::Inline;
use crate::{
    metrics::{Carrier, Label},
    trace::Trace,
};
use http::{HeaderValue, Method, uri::PathAndQuery};
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

/// One request, from head to last byte. Fill what is known; empty fields are not written.
///
/// There is no field for a credential, a query or a body. Copying a field in is a reference count or a few bytes: the
/// record allocates nothing.
#[derive(Clone, Debug)]
pub struct AccessRecord {
    /// When the head was read.
    pub started: SystemTime,
    /// Request id.
    pub request_id: Inline<64>,
    /// W3C trace id; 0 = none.
    pub trace_id: u128,
    /// Client address, after PROXY v2 and trusted hops.
    pub client: Option<IpAddr>,
    /// Subject of the principal; never the credential.
    pub subject: Option<Arc<str>>,
    /// Listener.
    pub listener: Option<Arc<str>>,
    /// Route.
    pub route: Option<Arc<str>>,
    /// Method.
    pub method: Method,
    /// Target; only its path is ever written, because a query may hold a token.
    pub target: Option<PathAndQuery>,
    /// Status sent; 0 = none.
    pub status: u16,
    /// Request body bytes, as far as they were known when this was set.
    pub bytes_in: u64,
    /// Counts the request body while it streams; its value is added to `bytes_in` when the record is used. Only a
    /// request that has a body needs one.
    pub body_counter: Option<Arc<AtomicU64>>,
    /// Response body bytes written.
    pub bytes_out: u64,
    /// Head to last byte.
    pub duration: Duration,
    /// Head to response head.
    pub first_byte: Option<Duration>,
    /// Upstream.
    pub upstream: Option<Arc<str>>,
    /// Endpoint that answered, or was tried last.
    pub endpoint: Option<Arc<str>>,
    /// Attempts made.
    pub attempts: u32,
    /// How it ended.
    pub outcome: RecordOutcome,
    /// Why, in a word or two that the program chose: `no_route`, `body_too_large`, ... Empty = nothing to say.
    pub reason: &'static str,
    /// An event stream or a tunnel: its duration says nothing about latency.
    pub streaming: bool,
    /// What was asked over MCP.
    pub mcp: Option<McpCall>,
    /// `User-Agent`.
    pub user_agent: Option<HeaderValue>,
    /// A message of a conversation over this, not a request: it leaves no line in the log.
    pub carrier: Option<Carrier>,
    /// The spans of the request, where spans are recorded. They end with the record.
    pub trace: Option<Arc<Trace>>,
}

/// What was asked over MCP. Names only, no arguments.
#[derive(Clone, Debug)]
pub struct McpCall {
    /// JSON-RPC method.
    pub method: Inline<64>,
    /// `legacy` or `modern`.
    pub era: &'static str,
    /// Tool, prompt or resource template name; empty = none.
    pub name: Inline<128>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RecordOutcome {
    /// Answered to the end, whatever the status the upstream chose.
    #[default]
    Ok,
    /// The client went away first. Not a failure of the service.
    ClientAbort,
    /// Refused here because of the request: no route, no credential, over a limit.
    Rejected,
    /// No endpoint answered.
    UpstreamError,
    /// No endpoint answered in time.
    Timeout,
    /// The response began and could not be finished.
    Truncated,
    /// Ended because the process shuts down.
    EndedDrain,
}

impl Label for RecordOutcome {
    const ALL: &'static [Self] = &[
        Self::Ok,
        Self::ClientAbort,
        Self::Rejected,
        Self::UpstreamError,
        Self::Timeout,
        Self::Truncated,
        Self::EndedDrain,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientAbort => "client_abort",
            Self::Rejected => "rejected",
            Self::UpstreamError => "upstream_error",
            Self::Timeout => "timeout",
            Self::Truncated => "truncated",
            Self::EndedDrain => "ended_drain",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

impl Default for AccessRecord {
    fn default() -> Self {
        Self {
            started: SystemTime::UNIX_EPOCH,
            request_id: Inline::default(),
            trace_id: 0,
            client: None,
            subject: None,
            listener: None,
            route: None,
            method: Method::GET,
            target: None,
            status: 0,
            bytes_in: 0,
            body_counter: None,
            bytes_out: 0,
            duration: Duration::ZERO,
            first_byte: None,
            upstream: None,
            endpoint: None,
            attempts: 0,
            outcome: RecordOutcome::Ok,
            reason: "",
            streaming: false,
            mcp: None,
            user_agent: None,
            carrier: None,
            trace: None,
        }
    }
}

impl AccessRecord {
    /// Request body bytes read so far.
    pub fn received(&self) -> u64 {
        self.bytes_in + self.body_counter.as_ref().map_or(0, |counter| counter.load(Relaxed))
    }

    /// Writes the record into this thread's buffer, for the log that [`super::install_access_log`] installed. Without
    /// one this does nothing. The request's spans end here, too.
    pub fn emit(&self) {
        if let Some(trace) = &self.trace {
            trace.finish(self);
        }
        if self.carrier.is_none() {
            super::buffer::emit(self);
        }
    }
}
