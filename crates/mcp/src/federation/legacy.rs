//! A message of a session at the merged endpoint.

use super::{
    Federation, List,
    lists::{self, Asker},
    members::changed,
    modern::Answered,
    opening, resources,
    whole::{Part, Whole},
};
use crate::{
    errors::{McpError, Problem},
    frame::{Frame, Kind, Member},
    guest::Guest,
    ids, legacy, reply,
    tally::refusal,
};
use bytes::Bytes;
use futures_util::future::join_all;
use holdfast_edge::Body;
use http::{Response, StatusCode};
use std::sync::Arc;

/// Answers a POST that holds one message of a version with sessions.
pub(crate) async fn post_legacy(guest: Guest, federation: &Arc<Federation>, frame: Frame) -> Answered {
    if frame.kind() == Kind::Request && frame.is("initialize") {
        return (Box::pin(opening::initialize(&guest, federation, &frame)).await, None);
    }
    let whole = Whole::open(&guest, federation).and_then(|whole| {
        legacy::agree(&guest.headers, whole.token.version, &frame)?;
        Ok(whole)
    });
    let whole = match whole {
        Ok(whole) => Arc::new(whole),
        Err(error) => return (reply::error(&error, frame.id()), None),
    };
    match frame.kind() {
        Kind::Notification => (notification(&guest, whole, frame).await, None),
        Kind::Response | Kind::ErrorResponse => answer(&guest, &whole, &frame).await,
        Kind::Request => request(guest, federation, &whole, frame).await,
    }
}

/// Tells every member that is bound: what a notification is about, only its member knows. Who is bound later is told then.
async fn notification(guest: &Guest, whole: Arc<Whole>, frame: Frame) -> Response<Body> {
    // Each member heard it from the gateway when it was bound.
    if !frame.is("notifications/initialized") {
        tell(guest, &whole, &frame).await;
    }
    reply::empty(StatusCode::ACCEPTED)
}

/// Sends `frame` to every member that is bound, whatever each of them says.
async fn tell(guest: &Guest, whole: &Whole, frame: &Frame) {
    let bound = whole.parts.iter().filter(|part| part.session.is_bound(&guest.shared));
    let told = bound.map(|part| legacy::one(part.caller(guest), Arc::clone(&part.session), frame.clone()));
    join_all(told).await;
}

/// A client's answer goes to the member whose request it answers. One that answers nobody is taken and dropped.
async fn answer(guest: &Guest, whole: &Whole, frame: &Frame) -> Answered {
    let found =
        frame.id().and_then(ids::split_member).and_then(|(member, id)| Some((whole.part(member)?, id)));
    let Some((part, id)) = found else { return (reply::empty(StatusCode::ACCEPTED), None) };
    match changed(frame.splice().set(Member::Id, id)) {
        Ok(frame) => one(guest, part, frame).await,
        Err(error) => (reply::error(&error, frame.id()), None),
    }
}

async fn request(guest: Guest, federation: &Arc<Federation>, whole: &Arc<Whole>, frame: Frame) -> Answered {
    let method = frame.method_bytes().into_owned();
    let asker = Asker { guest: &guest, federation, whole: Some(whole) };
    if let Some(list) = List::of(&method) {
        return (Box::pin(lists::merged(&asker, &frame, list)).await, None);
    }
    match &*method {
        b"ping" => (empty(&frame), None),
        b"logging/setLevel" => {
            tell(&guest, whole, &frame).await;
            (empty(&frame), None)
        }
        _ => match Box::pin(route(&asker, &frame)).await {
            Ok((part, frame)) => one(&guest, &part, frame).await,
            // As its server would answer: a status other than 200 is the end of the connection for some clients of these versions.
            Err(error) => {
                let mut response = reply::json(StatusCode::OK, error.render(frame.id()));
                response.extensions_mut().insert(refusal(&error));
                (reply::unasked(response, &error), None)
            }
        },
    }
}

/// The part that a request is about, and the request as its member knows it.
async fn route(asker: &Asker<'_>, frame: &Frame) -> Result<(Part, Frame), McpError> {
    let (member, frame) = resources::named(asker, frame).await?.ok_or_else(|| resources::nobodys(frame))?;
    let part = asker
        .whole
        .and_then(|whole| whole.part(member.name()))
        .ok_or_else(|| McpError::new(Problem::Internal))?;
    Ok((part.clone(), frame))
}

async fn one(guest: &Guest, part: &Part, frame: Frame) -> Answered {
    let caller = part.caller(guest);
    let response = legacy::one(Arc::clone(&caller), Arc::clone(&part.session), frame).await;
    (response, Some(caller))
}

fn empty(frame: &Frame) -> Response<Body> {
    let id = String::from_utf8_lossy(frame.id().unwrap_or(b"null"));
    reply::json(StatusCode::OK, Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)))
}
