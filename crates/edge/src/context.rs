//! What cuts across: one value that rides with a request from the edge to the upstream.

use crate::{ConnectionInfo, RequestId, TRACEPARENT, TraceContext, client_address, client_proto};
use holdfast_identity::Principal;
use holdfast_resilience::Deadline;
use holdfast_telemetry::{
    AccessRecord,
    trace::{Beginning, Parent, Tracer},
};
use http::{HeaderMap, HeaderValue, Request, header::USER_AGENT};
use std::{
    net::IpAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

/// One request's identity, limits and record.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Its id, ours or a trusted hop's.
    pub id: RequestId,
    /// The id as a header value, if somebody has made one: see [`RequestContext::id_value`].
    pub id_header: Option<HeaderValue>,
    /// Its place in a trace.
    pub trace: TraceContext,
    /// The client behind trusted proxies.
    pub client: IpAddr,
    /// `http` or `https`, as the client used it.
    pub proto: &'static str,
    /// Who calls; anonymous until a route authenticated it.
    pub principal: Arc<Principal>,
    /// When the request has to be answered.
    pub deadline: Deadline,
    /// Name of the route; empty until one matched.
    pub route: Arc<str>,
    /// When the head was read.
    pub started: Instant,
    /// What will be logged of it. [`crate::Body::recorded`] takes it in the end. In a box of its own: it is large, and it moves
    /// with the request from future to future and into the response body.
    pub record: Box<AccessRecord>,
}

impl RequestContext {
    /// The context of a request that has just been read, with the record filled as far as the edge knows.
    ///
    /// `route` and `anonymous` are shared values, so that nothing is allocated here.
    pub fn begin<B>(
        request: &Request<B>,
        connection: &ConnectionInfo,
        deadline: Deadline,
        rng: &mut fastrand::Rng,
        shared: &ContextDefaults,
    ) -> Self {
        Self::begin_at(request, connection, (Instant::now(), deadline), rng, shared)
    }

    /// As [`RequestContext::begin`], for a caller that has looked at the clock already.
    pub fn begin_at<B>(
        request: &Request<B>,
        connection: &ConnectionInfo,
        (started, deadline): (Instant, Deadline),
        rng: &mut fastrand::Rng,
        shared: &ContextDefaults,
    ) -> Self {
        let headers = request.headers();
        let seen = Seen::of(headers);
        let id = RequestId::of(headers, connection, rng);
        let trace = TraceContext::continued(seen.traceparent, rng);
        let client = client_address(connection.client, headers, &connection.trusted);
        let proto = client_proto(connection.proto(), connection.client, headers, &connection.trusted);
        let record = Box::new(AccessRecord {
            started: SystemTime::now(),
            request_id: id.inline(),
            trace_id: u128::from_be_bytes(trace.trace_id()),
            client: Some(client),
            listener: Some(Arc::clone(&connection.listener)),
            method: request.method().clone(),
            target: request.uri().path_and_query().cloned(),
            user_agent: seen.user_agent.cloned(),
            ..AccessRecord::default()
        });
        Self {
            id,
            id_header: None,
            trace,
            client,
            proto,
            principal: Arc::clone(&shared.anonymous),
            deadline,
            route: Arc::clone(&shared.route),
            started,
            record,
        }
    }
}

impl RequestContext {
    /// Begins to keep the request's spans, if the process records any. `route` says which requests it is like.
    pub fn record_spans(&mut self, shared: &ContextDefaults, route: &Arc<str>) {
        if let Some(tracer) = &shared.tracer {
            let started = (self.record.started, self.started);
            let beginning = Beginning { started, route, scheme: self.proto };
            self.record.trace = Some(tracer.begin(&mut self.trace, beginning));
        }
    }

    /// The request's own span, as the parent of others.
    pub fn span(&self) -> Option<Box<Parent>> {
        let trace = self.record.trace.as_ref()?;
        Some(Box::new(Parent { trace: Arc::clone(trace), context: self.trace }))
    }

    /// The id as a header value; a copy of the one that was sent on, if it was.
    pub fn id_value(&self) -> HeaderValue {
        self.id_header.clone().unwrap_or_else(|| self.id.header_value())
    }
}

/// What a context needs of any client's headers, found in one pass: a look-up hashes a name for what is mostly not there.
#[derive(Default)]
struct Seen<'a> {
    /// Where there is exactly one.
    traceparent: Option<&'a HeaderValue>,
    user_agent: Option<&'a HeaderValue>,
}

impl<'a> Seen<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let mut seen = Self::default();
        let mut traceparents = 0;
        for (name, value) in headers {
            if *name == USER_AGENT {
                seen.user_agent = seen.user_agent.or(Some(value));
            } else if *name == TRACEPARENT {
                traceparents += 1;
                seen.traceparent = (traceparents == 1).then_some(value);
            }
        }
        seen
    }
}

/// What every context begins with; one per process.
#[derive(Clone, Debug)]
pub struct ContextDefaults {
    anonymous: Arc<Principal>,
    route: Arc<str>,
    tracer: Option<Arc<Tracer>>,
}

impl ContextDefaults {
    /// For a process that records spans, if there is a tracer.
    pub fn new(tracer: Option<Arc<Tracer>>) -> Self {
        Self { anonymous: Principal::anonymous(), route: Arc::from(""), tracer }
    }
}

impl Default for ContextDefaults {
    fn default() -> Self {
        Self::new(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DrainHandle, HttpVersion};

    fn connection(client: &str) -> ConnectionInfo {
        ConnectionInfo {
            peer: "10.0.0.1:1".parse().expect("address"),
            client: client.parse().expect("address"),
            local: "10.0.0.2:80".parse().expect("address"),
            listener: "server".into(),
            tls: None,
            http: HttpVersion::Http1,
            trusted: ["10.0.0.0/8".parse().expect("net")].into(),
            drain: DrainHandle::new(),
        }
    }

    fn begin(client: &str) -> RequestContext {
        let request = Request::get("/path?token=secret")
            .header("x-request-id", "from-outside")
            .header("x-forwarded-for", "192.0.2.7")
            .header("x-forwarded-proto", "https")
            .body(())
            .expect("request");
        let deadline = Deadline::at(Instant::now());
        let mut rng = fastrand::Rng::with_seed(1);
        RequestContext::begin(&request, &connection(client), deadline, &mut rng, &ContextDefaults::default())
    }

    #[test]
    fn a_trusted_hop_speaks_for_its_client() {
        let context = begin("10.0.0.1");
        assert_eq!(context.id.as_str(), "from-outside");
        assert_eq!((context.client.to_string().as_str(), context.proto), ("192.0.2.7", "https"));
        assert_eq!(context.record.client, Some(context.client));
    }

    #[test]
    fn anybody_else_speaks_for_nobody() {
        let context = begin("198.51.100.1");
        assert_ne!(context.id.as_str(), "from-outside");
        assert_eq!((context.client.to_string().as_str(), context.proto), ("198.51.100.1", "http"));
    }
}
