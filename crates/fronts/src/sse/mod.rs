//! HTTP+SSE (2024-11-05): a GET opens the stream of answers, whose first event says where the messages go.

mod body;
mod name;
mod owners;
mod post;

pub use owners::Owners;
pub use post::Desk;

use crate::{Carriage, Conversation, Fronts, Opening, polite};
use body::Events;
use holdfast_edge::{Body, LongLived};
use holdfast_mcp::errors::{McpError, Problem};
use holdfast_seal::KeyRing;
use http::{HeaderName, HeaderValue, Response, header};
use name::Name;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const NO_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What names the stream that a GET opens.
#[derive(Clone, Copy)]
pub struct Stream<'s> {
    /// Seals the name.
    pub ring: &'s KeyRing,
    /// How long the name is good.
    pub life: Duration,
    /// The server of the path.
    pub server: &'s str,
    /// The path that messages go to.
    pub messages_path: &'s str,
    /// Pause between comments on a quiet stream.
    pub keep_alive: Duration,
}

impl Fronts {
    /// Answers a GET that has passed Origin and credential: begins the conversation, on the runtime of the caller.
    pub fn open_sse(
        self: &Arc<Self>,
        stream: Stream<'_>,
        opening: Opening,
        carriage: Carriage,
    ) -> Result<Response<Body>, McpError> {
        let place = self.place(opening.limits.max)?;
        let principal = opening.origin.principal().binding();
        let drain = opening.connection.drain.clone();
        let (mut conversation, say, told) = Conversation::new(opening);
        let registered = self.name(principal, say)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let sealed = Name { replica: self.replica, id: registered.id }
            .seal(stream.ring, &principal, stream.server, (now + stream.life).as_secs())
            .map_err(|_| McpError::new(Problem::Internal))?;
        let endpoint = format!("{}?session_id={sealed}", stream.messages_path);
        let drained = Arc::new(AtomicBool::new(false));
        let events =
            Events::new(&endpoint, told, stream.keep_alive, Arc::clone(&drained), (registered, place));
        let leave = async move {
            polite(&drain, carriage.spread).await;
            drained.store(true, Relaxed);
        };
        let metrics = Arc::clone(&self.metrics);
        // It ends with its event stream, at the latest.
        drop(tokio::spawn(async move {
            let end = conversation.run(leave, carriage.grace).await;
            metrics.ends.get(holdfast_telemetry::metrics::Carrier::Sse).inc(end);
        }));
        let mut response = Response::new(Body::boxed(events));
        response.extensions_mut().insert(LongLived);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(NO_BUFFERING, HeaderValue::from_static("no"));
        Ok(response)
    }
}
