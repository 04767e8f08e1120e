//! What is done upstream for a request: one span each.

use super::{Trace, TraceContext};
use crate::access::Inline;
use http::Method;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// A span whose work has ended.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) context: TraceContext,
    pub(crate) started: SystemTime,
    pub(crate) duration: Duration,
    pub(crate) work: Work,
    pub(crate) fault: Option<Fault>,
}

/// What was done. Names only: no argument, no query, no credential.
#[derive(Clone, Debug)]
pub enum Work {
    /// One attempt over HTTP.
    Http(HttpAttempt),
    /// One MCP message to a server, up to its answer.
    Mcp(Box<McpWork>),
}

/// One attempt over HTTP.
#[derive(Clone, Debug)]
pub struct HttpAttempt {
    /// Method.
    pub method: Method,
    /// Stable name of the endpoint: its URL, and behind `#` the address its name stood for.
    pub endpoint: Arc<str>,
    /// 1 for the first attempt.
    pub number: u32,
    /// Status of the answer; 0 = there was none.
    pub status: u16,
}

/// One MCP message to a server.
#[derive(Clone, Debug)]
pub struct McpWork {
    /// JSON-RPC method.
    pub method: Inline<64>,
    /// Tool or prompt; empty = none.
    pub name: Inline<128>,
    /// The request's id as it is written; empty for a notification.
    pub id: Inline<64>,
    /// The server's name in the configuration.
    pub server: Arc<str>,
    /// Protocol version; empty = not agreed on yet.
    pub version: &'static str,
    /// The server is a program at the other end of a pipe.
    pub piped: bool,
}

/// Why work failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In a word that the program chose.
    pub word: &'static str,
    /// The code of a JSON-RPC error, which then says more than the word.
    pub code: Option<i64>,
}

impl Fault {
    /// Without a code.
    pub fn of(word: &'static str) -> Self {
        Self { word, code: None }
    }
}

/// Which span a new one belongs to.
#[derive(Clone, Debug)]
pub struct Parent {
    /// The spans of the request.
    pub trace: Arc<Trace>,
    /// The span that does the work.
    pub context: TraceContext,
}

impl Parent {
    /// Begins a span below.
    pub fn begin(&self, work: Work) -> OpenSpan {
        self.trace.begin(&self.context, work)
    }
}

/// A span under way. Dropped without an end it was cancelled.
#[derive(Debug)]
pub struct OpenSpan {
    pub(super) trace: Arc<Trace>,
    pub(super) span: Option<Box<Span>>,
    pub(super) context: TraceContext,
}

impl OpenSpan {
    /// What goes along with the work.
    pub fn context(&self) -> &TraceContext {
        &self.context
    }

    /// As a parent of further spans.
    pub fn parent(&self) -> Parent {
        Parent { trace: Arc::clone(&self.trace), context: self.context }
    }

    /// The status of an HTTP answer.
    pub fn status(&mut self, status: u16) {
        if let Some(Work::Http(attempt)) = self.span.as_mut().map(|span| &mut span.work) {
            attempt.status = status;
        }
    }

    /// The work has ended.
    pub fn end(mut self, fault: Option<Fault>) {
        self.close(fault);
    }

    fn close(&mut self, fault: Option<Fault>) {
        if let Some(mut span) = self.span.take() {
            span.fault = fault;
            self.trace.ended(*span);
        }
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        self.close(Some(Fault::of("cancelled")));
    }
}
