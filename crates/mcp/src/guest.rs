//! A request before it is known which server it is for.

use crate::{
    caller::{Caller, Notes, PROTOCOL_VERSION},
    policy::View,
    server::Server,
    shared::Shared,
};
use holdfast_edge::{DrainHandle, RequestId, TraceContext};
use holdfast_identity::Principal;
use holdfast_telemetry::{metrics::OperationVersion, trace::Trace};
use holdfast_upstream::clock;
use http::HeaderMap;
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};

/// One request's surroundings.
pub(crate) struct Guest {
    pub(crate) shared: Arc<Shared>,
    /// Who calls, as sealed values are bound to it.
    pub(crate) principal: [u8; 32],
    /// The same, as rules see it.
    pub(crate) who: Arc<Principal>,
    /// The client's request headers.
    pub(crate) headers: HeaderMap,
    /// They were made from the body of its message.
    pub(crate) mirrored: bool,
    pub(crate) id: RequestId,
    pub(crate) trace: TraceContext,
    /// The spans of the request, where they are recorded.
    pub(crate) spans: Option<Arc<Trace>>,
    /// The client is at the other end of a pipe.
    pub(crate) piped: bool,
    pub(crate) drain: DrainHandle,
}

impl Guest {
    /// The caller of `server`, if that is the only one.
    pub(crate) fn into_caller(self, server: &Arc<Server>) -> Arc<Caller> {
        let view = server.view(&self.who);
        self.seeing(server, view)
    }

    fn seeing(self, server: &Arc<Server>, view: Option<Arc<View>>) -> Arc<Caller> {
        let started = clock::now();
        let version = self.headers.get(&PROTOCOL_VERSION).and_then(|value| value.to_str().ok());
        Arc::new(Caller {
            view,
            until: clock::after(started, server.request_timeout),
            started,
            version: version.map_or(OperationVersion::Unknown, OperationVersion::of),
            spans: self.spans,
            piped: self.piped,
            server: Arc::clone(server),
            shared: self.shared,
            principal: self.principal,
            id: self.id,
            trace: self.trace,
            headers: self.headers,
            mirrored: self.mirrored,
            drain: self.drain,
            notes: Mutex::new(Notes::default()),
            using: OnceLock::new(),
        })
    }

    /// A caller of `server`, one of several, as if its client had sent `headers`.
    pub(crate) fn caller(&self, server: &Arc<Server>, headers: HeaderMap) -> Arc<Caller> {
        self.with(headers).into_caller(server)
    }

    /// The same, to ask for lists that are kept for others as well: what is shown of them has to be judged afterwards.
    pub(crate) fn lister(&self, server: &Arc<Server>, headers: HeaderMap) -> Arc<Caller> {
        self.with(headers).seeing(server, None)
    }

    fn with(&self, headers: HeaderMap) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            principal: self.principal,
            who: Arc::clone(&self.who),
            headers,
            mirrored: self.mirrored,
            id: self.id,
            trace: self.trace,
            spans: self.spans.clone(),
            piped: self.piped,
            drain: self.drain.clone(),
        }
    }
}
