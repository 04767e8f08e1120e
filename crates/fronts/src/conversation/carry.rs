//! One message: posted, its answer read to the end, taken up again where it breaks off.

use super::{
    params,
    shared::Shared,
    talk::{CallId, Sort},
};
use crate::queue::Closed;
use bytes::Bytes;
use holdfast_edge::Body;
use holdfast_frames::sse::Parser;
use holdfast_mcp::errors::{McpError, Problem};
use holdfast_mcp::headers::LAST_EVENT_ID;
use holdfast_upstream::clock;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use http_body_util::BodyExt as _;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// A broken answer is asked for again so often in a row without anything new.
const RESUMPTIONS_MAX: u32 = 5;
/// Bounds of the pause before, which doubles; a server may name a shorter or longer one.
const PAUSE: std::ops::Range<Duration> = Duration::from_millis(100)..Duration::from_secs(10);
/// What an event stream has left after the last answer is read for so long: then its connection can be used again.
const REST: Duration = Duration::from_secs(2);

/// How far an event stream was read.
#[derive(Default)]
pub(super) struct Place {
    /// The last event that had an id.
    event: Option<HeaderValue>,
    /// The pause that the server asked for.
    retry: Option<Duration>,
    /// Events since the stream was last taken up.
    fresh: bool,
}

/// Posts a message and gives the client what comes of it. `accept` is dropped once the next message may follow.
pub(super) fn carry(
    shared: Arc<Shared>,
    call: CallId,
    sort: Sort,
    headers: HeaderMap,
    message: Bytes,
    accept: oneshot::Sender<()>,
) -> impl Future<Output = CallId> + Send {
    // Here and below: a block holds what it is given once, an async function twice; and what has its end before the next wait, in
    // a scope of its own, takes no room while a stream is open.
    async move {
        let (before, answer) = {
            let call_again = params::may_lack(&headers).then(|| message.clone());
            let response = shared.ask(Method::POST, headers, message).await;
            let response = match call_again {
                Some(message) => Box::pin(params::completed(&shared, message, response)).await,
                None => response,
            };
            let before = shared.talk.lock().head(call, response.headers());
            if sort == Sort::Initialized && response.status().is_success() {
                shared.start_listening();
            }
            let answer = if is_event_stream(&response) {
                Ok(response.into_body())
            } else {
                Err(Box::pin(whole(&shared, call, sort, response)))
            };
            (before.map(Box::new), answer)
        };
        // A notification is accepted by the head, `initialize` by the answer.
        let accept = (sort == Sort::Initialize).then_some(accept);
        let read = match answer {
            Ok(body) => read(&shared, call, sort, body).await,
            Err(whole) => whole.await,
        };
        drop(accept);
        let unanswered = shared.talk.lock().end(call);
        if read.is_ok() {
            for id in unanswered {
                let error = McpError::new(Problem::UpstreamLost).detail("the answer broke off");
                if shared.tell.push(error.render(Some(&id))).await.is_err() {
                    break;
                }
            }
        }
        if let Some(session) = before {
            shared.ask(Method::DELETE, *session, Bytes::new()).await;
        }
        call
    }
}

/// Reads an answer to its end, however often it has to be taken up.
async fn read(shared: &Shared, call: CallId, sort: Sort, body: Body) -> Result<(), Closed> {
    let mut place = Place::default();
    follow(shared, Some(call), body, &mut place).await?;
    if shared.talk.lock().is_answered(call) {
        return Ok(());
    }
    Box::pin(read_on(shared, call, sort, place)).await
}

/// Takes up an answer that broke off.
async fn read_on(shared: &Shared, call: CallId, sort: Sort, mut place: Place) -> Result<(), Closed> {
    let mut tries = 0;
    loop {
        let session = shared.talk.lock().resumption(call);
        let (Some(mut headers), Some(event)) = (session, place.event()) else { return Ok(()) };
        headers.insert(LAST_EVENT_ID, event);
        tries = if place.was_fresh() { 1 } else { tries + 1 };
        if tries > RESUMPTIONS_MAX {
            return Ok(());
        }
        tokio::time::sleep(place.pause(tries)).await;
        shared.opening.metrics.resumed.inc();
        let response = shared.ask(Method::GET, headers, Bytes::new()).await;
        if is_event_stream(&response) {
            follow(shared, Some(call), response.into_body(), &mut place).await?;
        } else if response.status().is_client_error() {
            // There is nothing to resume any more; why is in the answer.
            return Box::pin(whole(shared, call, sort, response)).await;
        }
    }
}

/// An answer that is no event stream.
async fn whole(shared: &Shared, call: CallId, sort: Sort, response: Response<Body>) -> Result<(), Closed> {
    // The service has limited its size.
    let Ok(body) = response.into_body().collect().await else { return Ok(()) };
    let body = body.to_bytes();
    match body.trim_ascii_start().first() {
        // What could not be read has no id to wait for; the answers to a batch stay together, as they were asked for.
        Some(b'{') if sort == Sort::Unread => shared.tell.push(body).await,
        Some(b'[') => {
            shared.talk.lock().end(call);
            shared.tell.push(body).await
        }
        Some(b'{') => {
            let id = shared.talk.lock().only(call);
            match shared.passing(shared.named(body, id)) {
                Some(message) => shared.tell.push(message).await,
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Gives the client every message of an event stream, in order.
pub(super) async fn follow(
    shared: &Shared,
    call: Option<CallId>,
    mut body: Body,
    place: &mut Place,
) -> Result<(), Closed> {
    let mut parser = Parser::new(shared.opening.messages.server_bytes.saturating_add(1024));
    let is_answered = || call.is_some_and(|call| shared.talk.lock().is_answered(call));
    loop {
        {
            let frame = if is_answered() {
                match clock::timeout(REST, body.frame()).await {
                    Ok(frame) => frame,
                    Err(clock::Elapsed) => return Ok(()),
                }
            } else {
                body.frame().await
            };
            let Some(Ok(frame)) = frame else { return Ok(()) };
            if let Some(bytes) = frame.data_ref() {
                parser.push(bytes);
            }
        }
        while let Some(message) = place.next(&mut parser, shared) {
            shared.tell.push(message).await?;
        }
    }
}

impl Place {
    /// The next message for the client out of what was received.
    fn next(&mut self, parser: &mut Parser, shared: &Shared) -> Option<Bytes> {
        while let Some(Ok(event)) = parser.next() {
            if let Some(retry) = event.retry() {
                self.retry = Some(Duration::from_millis(retry));
            }
            if let Some(id) = event.id() {
                self.event = HeaderValue::from_bytes(id).ok().filter(|id| !id.is_empty());
            }
            if let (true, Some(data)) = (event.is_message(), event.data()) {
                self.fresh = true;
                let message = shared.passing(data.clone());
                if message.is_some() {
                    return message;
                }
            }
        }
        None
    }

    /// The event after which a stream is taken up.
    pub(super) fn event(&self) -> Option<HeaderValue> {
        self.event.clone()
    }

    /// The pause before that, for the so-manieth time in a row without anything new.
    pub(super) fn pause(&mut self, tries: u32) -> Duration {
        pause(tries, self.retry.take())
    }

    /// Whether something came since the last look.
    pub(super) fn was_fresh(&mut self) -> bool {
        std::mem::take(&mut self.fresh)
    }
}

/// Jittered, so that the clients of a server that came back do not all ask at once.
fn pause(tries: u32, asked: Option<Duration>) -> Duration {
    let doubled = PAUSE.start.saturating_mul(1 << tries.min(16));
    let pause = asked.unwrap_or(doubled).clamp(Duration::ZERO, PAUSE.end);
    pause.mul_f64(fastrand::f64().mul_add(0.5, 0.5))
}

pub(super) fn is_event_stream(response: &Response<Body>) -> bool {
    let media = response.headers().get(header::CONTENT_TYPE);
    response.status().is_success()
        && media.is_some_and(|media| media.as_bytes().to_ascii_lowercase().starts_with(b"text/event-stream"))
}
