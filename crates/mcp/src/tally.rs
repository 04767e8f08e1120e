//! How a message ended: counted once, whoever answers it and even if nobody does.

use crate::{
    caller::Caller,
    era::Version,
    errors::McpError,
    failure::Failure,
    frame::{Frame, Kind, Member},
    operation::About,
    server::Server,
};
use holdfast_telemetry::{
    metrics::{MappedEra, McpMetrics, McpOutcome, MethodClass, OperationVersion, Verdict},
    trace::Trace,
};
use std::{sync::Arc, time::Instant};

/// Counts one message when it ends; dropped without a verdict it was cancelled.
pub(crate) struct Tally {
    metrics: Arc<McpMetrics>,
    method: MethodClass,
    era: MappedEra,
    open: bool,
    served: Option<Served>,
}

/// A client's operation: see the semantic conventions.
struct Served {
    about: About,
    started: Instant,
    version: OperationVersion,
    piped: bool,
    trace: Option<Arc<Trace>>,
}

impl Tally {
    /// For `frame` of a client.
    pub(crate) fn new(caller: &Caller, frame: &Frame, era: MappedEra) -> Self {
        let served = About::new(frame, false).map(|about| Served {
            about,
            started: caller.started,
            version: caller.version,
            piped: caller.piped,
            trace: caller.spans.clone(),
        });
        let mut tally = Self::of(&caller.server, class(frame), era);
        tally.served = served;
        tally
    }

    /// For `frame`, which the gateway asks on its own account.
    pub(crate) fn own(server: &Server, frame: &Frame, era: MappedEra) -> Self {
        Self::of(server, class(frame), era)
    }

    /// For a message of class `method` at `server`, of which no more is known.
    pub(crate) fn of(server: &Server, method: MethodClass, era: MappedEra) -> Self {
        Self { metrics: Arc::clone(&server.metrics), method, era, open: true, served: None }
    }

    /// The version of the session.
    #[must_use]
    pub(crate) fn in_version(mut self, version: Version) -> Self {
        if let Some(served) = &mut self.served {
            served.version = version.label();
        }
        self
    }

    /// It ends elsewhere.
    pub(crate) fn forget(mut self) {
        self.open = false;
    }

    /// How it ended.
    pub(crate) fn end(mut self, verdict: impl Into<Verdict>) {
        self.close(verdict.into());
    }

    fn close(&mut self, verdict: Verdict) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        self.metrics.count(self.method, self.era, verdict.outcome);
        let Some(served) = self.served.take() else { return };
        if let Some(trace) = &served.trace {
            trace.answered(verdict);
        }
        let Served { about, started, version, piped, .. } = served;
        self.metrics.operations.served(&about.ended(version, piped, verdict, started));
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.close(McpOutcome::Cancelled.into());
    }
}

/// The class a method is counted under.
pub(crate) fn class(frame: &Frame) -> MethodClass {
    match frame.kind() {
        Kind::Notification => return MethodClass::Notification,
        Kind::Response | Kind::ErrorResponse => return MethodClass::Response,
        Kind::Request => {}
    }
    match &*frame.method_bytes() {
        b"initialize" | b"server/discover" => MethodClass::Handshake,
        b"tools/list" | b"resources/list" | b"resources/templates/list" | b"prompts/list" => {
            MethodClass::List
        }
        b"resources/read" | b"prompts/get" | b"completion/complete" => MethodClass::Read,
        b"tools/call" => MethodClass::Call,
        b"subscriptions/listen" | b"resources/subscribe" | b"resources/unsubscribe" => MethodClass::Subscribe,
        b"ping" | b"logging/setLevel" => MethodClass::Utility,
        method if method.starts_with(b"tasks/") => MethodClass::Task,
        _ => MethodClass::Other,
    }
}

/// How a server's own answer counts.
pub(crate) fn verdict(response: &Frame) -> Verdict {
    let code = response.error_code();
    let outcome = match code {
        None if response.kind() == Kind::ErrorResponse => McpOutcome::ServerError,
        None => {
            if response.has(Member::IsError) {
                McpOutcome::ToolError
            } else {
                McpOutcome::Ok
            }
        }
        Some(-32603 | -32099..=-32023 | -32019..=-32000) => McpOutcome::ServerError,
        Some(_) => McpOutcome::CallerError,
    };
    Verdict { outcome, code }
}

/// How a refusal of ours counts.
pub(crate) fn refusal(error: &McpError) -> Verdict {
    Verdict { outcome: McpOutcome::Refused, code: Some(error.problem().row().code.into()) }
}

/// How a failure counts.
pub(crate) fn failure_verdict(failure: &Failure) -> McpOutcome {
    match failure {
        Failure::Late(_) => McpOutcome::Timeout,
        Failure::NoRoom(_) => McpOutcome::Refused,
        Failure::Call(error) if error.wire().0 == http::StatusCode::GATEWAY_TIMEOUT => McpOutcome::Timeout,
        Failure::Call(_) | Failure::Torn(_) | Failure::Unusable(..) => McpOutcome::UpstreamError,
    }
}
