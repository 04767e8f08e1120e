//! What cuts across: the things every room may want to know of a request, in one value instead of in globals.

use crate::{ConnectionInfo, RequestId, TraceContext, client_address, client_proto};
use holdfast_identity::Principal;
use holdfast_resilience::Deadline;
use holdfast_telemetry::{AccessRecord, Inline};
use http::{Request, header};
use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// One request's context, made when its head was read and filled on the way forward.
#[derive(Debug)]
pub struct RequestContext {
    /// Request id, sent both ways as `x-request-id`.
    pub id: RequestId,
    /// Place in a distributed trace.
    pub trace: TraceContext,
    /// The client's own address, behind trusted hops.
    pub client: IpAddr,
    /// `http` or `https`, as the client used it.
    pub proto: &'static str,
    /// Who calls; anonymous until the route's rules named somebody.
    pub principal: Arc<Principal>,
    /// Until the response head; the route narrows it.
    pub deadline: Deadline,
    /// Name of the matched route.
    pub route: Arc<str>,
    /// When the head was read.
    pub started: Instant,
    /// The connection it came on.
    pub connection: Arc<ConnectionInfo>,
    /// What will be remembered of it.
    pub record: AccessRecord,
}

impl RequestContext {
    /// The context of a request that arrived at `now`. `limit` is the widest deadline a route may leave it.
    pub fn new<B>(
        request: &Request<B>,
        connection: &Arc<ConnectionInfo>,
        route: &Arc<str>,
        now: Instant,
        limit: Duration,
        rng: &mut fastrand::Rng,
    ) -> Self {
        let headers = request.headers();
        let id = RequestId::of(headers, connection, rng);
        let trace = TraceContext::of(headers, rng);
        let client = client_address(connection.client, headers, &connection.trusted);
        let record = AccessRecord {
            started: SystemTime::now(),
            request_id: Inline::new(id.as_str()),
            trace_id: u128::from_be_bytes(trace.trace_id()),
            client: Some(client),
            listener: Some(Arc::clone(&connection.listener)),
            route: Some(Arc::clone(route)),
            method: request.method().clone(),
            target: request.uri().path_and_query().cloned(),
            user_agent: headers.get(header::USER_AGENT).cloned(),
            ..AccessRecord::default()
        };
        Self {
            id,
            trace,
            client,
            proto: client_proto(connection.proto(), connection.client, headers, &connection.trusted),
            principal: Principal::anonymous(),
            deadline: Deadline::at(now + limit),
            route: Arc::clone(route),
            started: now,
            connection: Arc::clone(connection),
            record,
        }
    }
}
