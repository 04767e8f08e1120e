//! GET and DELETE of a session at the merged endpoint.

use super::{
    Federation,
    whole::{Part, Whole},
};
use crate::{
    errors::{McpError, Problem},
    guest::Guest,
    headers::LAST_EVENT_ID,
    legacy::{self, Bound},
    reply,
    token::{EventId, refused_from, unix_now},
};
use bytes::Bytes;
use futures_util::future::join_all;
use holdfast_edge::{Body, BodyError};
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Answers a GET: one stream of what all members say on their own, or, taken up again, the stream of one request.
pub(crate) async fn get(guest: Guest, federation: &Arc<Federation>) -> Response<Body> {
    let whole = match Whole::open(&guest, federation) {
        Ok(whole) => whole,
        Err(error) => return reply::error(&error, None),
    };
    let left = place(&guest, &whole);
    if let Some((part, place)) = &left
        && place.awaiting.is_some()
    {
        return legacy::get_stream(&part.caller(&guest), &part.session).await;
    }
    let mut elsewhere = guest.headers.clone();
    elsewhere.remove(LAST_EVENT_ID);
    let opening = whole.parts.iter().map(|part| {
        let left_here = left.as_ref().is_some_and(|(left, _)| Arc::ptr_eq(&left.session, &part.session));
        let headers = if left_here { guest.headers.clone() } else { elsewhere.clone() };
        let caller = part.caller_with(&guest, headers);
        async move {
            let opened = legacy::get_stream(&caller, &part.session);
            holdfast_upstream::clock::timeout(federation.patience.without, opened).await.ok()
        }
    });
    let responses: Vec<Response<Body>> = join_all(opening).await.into_iter().flatten().collect();
    let (open, closed): (Vec<_>, Vec<_>) =
        responses.into_iter().partition(|response| response.status() == StatusCode::OK);
    if !open.is_empty() {
        let bodies = open.into_iter().map(Response::into_body).collect();
        return reply::listening(Body::boxed(Streams(bodies)));
    }
    if !closed.is_empty() && closed.iter().all(|response| response.status() == StatusCode::METHOD_NOT_ALLOWED)
    {
        let mut response = reply::empty(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST, DELETE"));
        return response;
    }
    let error = McpError::new(Problem::NoEndpoint).detail("no member of the merged endpoint opens a stream");
    reply::error(&error.retry_after(std::time::Duration::from_secs(1)), None)
}

/// Whose stream the client left, and where.
fn place<'w>(guest: &Guest, whole: &'w Whole) -> Option<(&'w Part, EventId)> {
    let text = guest.headers.get(LAST_EVENT_ID)?.to_str().ok()?;
    let now = unix_now();
    whole.parts.iter().find_map(|part| {
        let (session, ring) = (&part.session, &guest.shared.ring);
        let place = EventId::open(ring, session.audience(), session.uid, text, now).ok()?;
        Some((part, place))
    })
}

/// Answers a DELETE: the session ends here, at the other replicas, and at every member that is bound.
pub(crate) async fn delete(guest: Guest, federation: &Arc<Federation>) -> Response<Body> {
    let whole = match Whole::open(&guest, federation) {
        Ok(whole) => whole,
        Err(error) => return reply::error(&error, None),
    };
    let expires = refused_from(whole.token.expires);
    // The whole first: nobody finds a part ended whose session goes on.
    let Some(first) = whole.parts.first() else { return reply::empty(StatusCode::NO_CONTENT) };
    if !legacy::end(&first.caller(&guest), whole.token.uid, expires).await {
        let error = McpError::new(Problem::Overloaded)
            .detail("sessions.max_entries sessions are already ended and not expired yet")
            .retry_after(std::time::Duration::from_mins(1));
        return reply::error(&error, None);
    }
    let (token, caller) = (&whole.token, first.caller(&guest));
    legacy::ended::of_client(&federation.operations, &caller, token.version, token.issued);
    join_all(whole.parts.iter().map(|part| async {
        let caller = part.caller(&guest);
        let bound = part.session.binding(&caller).await;
        legacy::end(&caller, part.session.uid, expires).await;
        if let Bound::To(binding) = bound {
            legacy::close(&caller, &part.session, &binding).await;
        }
    }))
    .await;
    reply::empty(StatusCode::NO_CONTENT)
}

/// Event streams as one. Each body's frames are whole events; one that breaks ends alone, and the stream ends with the last.
struct Streams(Vec<Body>);

impl http_body::Body for Streams {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut at = 0;
        while at < self.0.len() {
            match Pin::new(&mut self.0[at]).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // The others are asked first next time.
                    self.0.rotate_left(at + 1);
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(Some(Err(_)) | None) => {
                    self.0.remove(at);
                }
                Poll::Pending => at += 1,
            }
        }
        if self.0.is_empty() { Poll::Ready(None) } else { Poll::Pending }
    }
}
