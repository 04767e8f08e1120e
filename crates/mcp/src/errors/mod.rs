//! Every JSON-RPC error that Holdfast itself sends, in one table.
//!
//! A server's own errors pass through untouched; these are the gateway's. Codes: JSON-RPC 2.0 and MCP where they have
//! one for the case. Holdfast's own lie in -31099..=-31000, outside the range that JSON-RPC reserves
//! (-32768..=-32000), as MCP "Error Codes" asks; none is in -32020..=-32099, which belongs to the specification.
//!
//! `docs/reference/mcp-errors.md` is generated from the table; a test keeps it true.

mod refusal;
mod table;

#[cfg(test)]
mod tests;

pub(crate) use refusal::Refusal;
pub use table::{Problem, Retry, Row, TABLE};

use crate::frame::quote;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use std::time::Duration;

/// Longest detail that is written into a message, in bytes. Details can quote the client.
const DETAIL_BYTES_MAX: usize = 512;

/// One error on its way to a client.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", self.message())]
pub struct McpError {
    problem: Problem,
    detail: Option<String>,
    /// Members for `error.data`, each `"key":value`.
    data: Vec<String>,
    retry_after: Option<Duration>,
}

impl McpError {
    /// The table's code, status and message.
    pub fn new(problem: Problem) -> Self {
        Self { problem, detail: None, data: Vec::new(), retry_after: None }
    }

    /// Says what exactly is wrong. Cut at 512 bytes. Must hold no secret: it is sent to the client.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if detail.len() > DETAIL_BYTES_MAX {
            let end = (0..=DETAIL_BYTES_MAX).rev().find(|&end| detail.is_char_boundary(end)).unwrap_or(0);
            detail.truncate(end);
        }
        self.detail = Some(detail);
        self
    }

    /// Adds a member to `error.data`; `raw` is JSON.
    #[must_use]
    pub fn data(mut self, key: &str, raw: &str) -> Self {
        self.data.push(format!("{}:{raw}", quote(key)));
        self
    }

    /// Adds a list of strings to `error.data`.
    #[must_use]
    pub fn list<'t>(self, key: &str, texts: impl IntoIterator<Item = &'t str>) -> Self {
        let quoted: Vec<String> = texts.into_iter().map(quote).collect();
        self.data(key, &format!("[{}]", quoted.join(",")))
    }

    /// Sends `Retry-After`, in whole seconds, rounded up, at least 1.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// -32022 with the versions that would do and the one that was asked for (2026-07-28, "Protocol Version
    /// Negotiation"). With handshake versions only, a dual-era client falls back to `initialize`.
    pub fn unsupported_version<'t>(supported: impl IntoIterator<Item = &'t str>, requested: &str) -> Self {
        Self::new(Problem::UnsupportedVersion)
            .list("supported", supported)
            .data("requested", &quote(requested))
    }

    /// What kind of problem it is.
    pub fn problem(&self) -> Problem {
        self.problem
    }

    /// HTTP status when the error is the whole response.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.problem.row().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// JSON-RPC code.
    pub fn code(&self) -> i32 {
        self.problem.row().code
    }

    /// The table's message, with the detail behind it.
    pub fn message(&self) -> String {
        let message = self.problem.row().message;
        match &self.detail {
            Some(detail) => format!("{message}: {detail}"),
            None => message.to_owned(),
        }
    }

    /// The JSON-RPC error response. `id` is the request's id as raw JSON; without one the member is left out, because
    /// MCP ids are never null.
    pub fn render(&self, id: Option<&[u8]>) -> Bytes {
        let mut out = Vec::with_capacity(192);
        out.extend_from_slice(br#"{"jsonrpc":"2.0""#);
        if let Some(id) = id {
            out.extend_from_slice(br#","id":"#);
            out.extend_from_slice(id);
        }
        out.extend_from_slice(format!(r#","error":{{"code":{}"#, self.code()).as_bytes());
        out.extend_from_slice(format!(r#","message":{}"#, quote(&self.message())).as_bytes());
        let data = self.members();
        if !data.is_empty() {
            out.extend_from_slice(format!(r#","data":{{{}}}"#, data.join(",")).as_bytes());
        }
        out.extend_from_slice(b"}}");
        out.into()
    }

    /// The error as a whole HTTP response.
    pub fn response(&self, id: Option<&[u8]>) -> Response<Bytes> {
        let mut response = Response::new(self.render(id));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(after) = self.retry_after {
            headers
                .insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs_f64().ceil().max(1.0) as u64));
        }
        response
    }

    /// Own codes say in `data` what happened and whether trying again is safe; codes of the specification carry only
    /// what it defines.
    fn members(&self) -> Vec<String> {
        let row = self.problem.row();
        let mut members = Vec::new();
        if self.problem.is_own() {
            members.push(format!(r#""reason":"{}","retry":"{}""#, row.reason, row.retry.as_str()));
        }
        members.extend_from_slice(&self.data);
        members
    }
}
