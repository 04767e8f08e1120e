//! `subscriptions/listen`: a change can happen on any endpoint, so all of them are listened to, and the client sees one stream.
//!
//! | state of one endpoint | what it sends | next |
//! |---|---|---|
//! | opening | nothing | acknowledged, refused, or unreachable: opened again after a jittered pause |
//! | acknowledged | its acknowledgement (merged into the one the client gets), then events | its stream ends: opening |
//!
//! The client gets one acknowledgement, made when all endpoints have answered or [`ACK_WAIT`] after the first. The stream ends
//! with a proper result when this process drains, and is cancelled everywhere when the client goes away.

use super::{
    handles::{self, declares_tasks, tasks_not_declared},
    listen_body::{Followers, ListenBody},
    merge, refuse,
    subscription::{Said, Subscription},
};
use crate::{
    caller::Caller,
    errors::{McpError, Problem},
    frame::{Frame, Member, Place, elements, fields, quote, unquote},
    policy::Kind,
    queue::{Receiver, Sender, queue},
    reply,
    seal::Purpose,
    sse,
    tally::Tally,
};
use bytes::{Bytes, BytesMut};
use holdfast_edge::Body;
use holdfast_telemetry::metrics::{MappedEra, McpOutcome};
use holdfast_upstream::{EndpointKey, clock};
use http::{Response, StatusCode};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// After the first acknowledgement, how long the others are waited for.
const ACK_WAIT: Duration = Duration::from_millis(250);
/// Events of all endpoints that may wait for the client. A full queue slows the endpoints down.
const QUEUE: usize = 16;

/// One server's part of a subscription.
pub(crate) struct Wanted {
    pub(crate) caller: Arc<Caller>,
    /// The request as this server gets it.
    pub(crate) frame: Frame,
    /// Resources that the client knows by another URI than the server: the server's, and the client's.
    pub(crate) uris: Vec<(String, String)>,
}

/// Opens a subscription on every endpoint and answers with the merged stream.
pub(crate) async fn listen(caller: Arc<Caller>, frame: Frame) -> Response<Body> {
    listen_all(vec![Wanted { caller, frame, uris: Vec::new() }]).await
}

/// Opens a subscription on every endpoint of several servers. Answers with the error of the first that cannot be asked at all.
pub(crate) async fn listen_all(parts: Vec<Wanted>) -> Response<Body> {
    let (said, heard) = queue(QUEUE);
    let mut subscriptions = Vec::with_capacity(parts.len());
    for part in parts {
        match prepare(part, said.clone()) {
            Ok(subscription) => subscriptions.push(Arc::new(subscription)),
            Err(refusal) => return *refusal,
        }
    }
    drop(said);
    begin(subscriptions, heard).await
}

fn prepare(part: Wanted, said: Sender<Said>) -> Result<Subscription, Box<Response<Body>>> {
    let Wanted { caller, frame, uris } = part;
    let frame = frame.unshared();
    if !matches!(frame.raw(Member::Notifications), Some([b'{', ..])) {
        let error = McpError::new(Problem::InvalidParams).detail("`params.notifications` must be an object");
        return Err(Box::new(refuse(&caller, &frame, &error)));
    }
    let frame = match permitted(&caller, &frame) {
        Ok(changed) => changed.unwrap_or(frame),
        Err(error) => return Err(Box::new(refuse(&caller, &frame, &error))),
    };
    let handles = frame.places(Place::TaskId);
    if !handles.is_empty() && !declares_tasks(&frame) {
        Tally::new(&caller, &frame, MappedEra::Modern).end(McpOutcome::Refused);
        let body = tasks_not_declared(frame.id().unwrap_or(b"null"));
        return Err(Box::new(reply::json(StatusCode::BAD_REQUEST, body)));
    }
    let mut tasks: HashMap<EndpointKey, Vec<(String, String)>> = HashMap::new();
    for (start, end) in &handles {
        // What does not open is not agreed to: the acknowledgement shows it.
        let Some(handle) = unquote(&frame.bytes()[*start..*end]) else { continue };
        if let Ok(opened) = handles::open(&caller, Purpose::Task, &handle) {
            tasks.entry(opened.endpoint).or_default().push((opened.original, handle.into_owned()));
        }
    }
    let id = frame.id_bytes().unwrap_or_default();
    let names_tasks = !handles.is_empty();
    Ok(Subscription { caller, frame, id, tasks, names_tasks, uris, said })
}

/// The request without what the rules do not let its caller hear of; `None` if that is all of it. What is missing is not agreed to, as if
/// it did not exist.
fn permitted(caller: &Caller, frame: &Frame) -> Result<Option<Frame>, McpError> {
    let (Some(view), Some(filter)) = (&caller.view, frame.raw(Member::Notifications)) else {
        return Ok(None);
    };
    let mut all = true;
    let members: Vec<String> = fields(filter)
        .map(|(key, value)| {
            let list = elements(value.raw);
            let permits = |uri: &[u8]| unquote(uri).is_some_and(|uri| view.permits(Kind::Resource, &uri));
            let kept: Vec<&[u8]> = match &*key {
                "resourceSubscriptions" => {
                    list.iter().map(|uri| uri.raw).filter(|uri| permits(uri)).collect()
                }
                "taskIds" if !view.permits_some_tool() => Vec::new(),
                _ => return format!("{}:{}", quote(&key), String::from_utf8_lossy(value.raw)),
            };
            all &= kept.len() == list.len();
            format!("{}:[{}]", quote(&key), String::from_utf8_lossy(&kept.join(&b',')))
        })
        .collect();
    if all {
        return Ok(None);
    }
    let internal = || McpError::new(Problem::Internal);
    let written = format!("{{{}}}", members.join(","));
    let bytes = frame.splice().set(Member::Notifications, written).finish().map_err(|_| internal())?;
    Frame::parse(bytes, &caller.shared.message).map(Some).map_err(|_| internal())
}

async fn begin(subscriptions: Vec<Arc<Subscription>>, mut heard: Receiver<Said>) -> Response<Body> {
    let Some(one) = subscriptions.first().map(Arc::clone) else {
        return reply::error(&McpError::new(Problem::NoEndpoint), None);
    };
    let tally = |part: &Arc<Subscription>| Tally::new(&part.caller, &part.frame, MappedEra::Modern);
    let tallies: Vec<Tally> = subscriptions.iter().map(tally).collect();
    let mut followers = Followers::default();
    let expected = followers.join(&subscriptions);
    let first = gather(&one, &mut heard, expected).await;
    if !first.acknowledged.is_empty() {
        one.caller.notes.lock().streaming = true;
        let ready = opening(&first);
        let body = ListenBody::new(subscriptions, ready, heard, followers, tallies);
        return reply::listening(Body::boxed(body));
    }
    for tally in tallies {
        tally.end(McpOutcome::UpstreamError);
    }
    if let Some((status, body)) = first.refused {
        return reply::json(status, body);
    }
    let error = McpError::new(Problem::NoEndpoint).retry_after(Duration::from_secs(1));
    reply::error(&error, Some(&one.id))
}

#[derive(Default)]
struct First {
    acknowledged: Vec<Frame>,
    events: Vec<Bytes>,
    refused: Option<(StatusCode, Bytes)>,
}

/// Waits for the endpoints' first words.
async fn gather(subscription: &Subscription, heard: &mut Receiver<Said>, expected: usize) -> First {
    let mut until = clock::after(clock::now(), subscription.caller.server.initialize_timeout);
    let mut first = First::default();
    let mut answered = 0;
    while answered < expected {
        match clock::timeout_at(until, heard.next()).await {
            Ok(Some(Said::Acknowledged(frame))) => {
                answered += 1;
                until = until.min(clock::after(clock::now(), ACK_WAIT));
                first.acknowledged.push(frame);
            }
            Ok(Some(Said::Event(event))) => first.events.push(event),
            Ok(Some(Said::Refused(status, body))) => {
                answered += 1;
                first.refused.get_or_insert((status, body));
            }
            Ok(Some(Said::Unreachable)) => answered += 1,
            Ok(None) | Err(clock::Elapsed) => break,
        }
    }
    first
}

/// "The server MUST send notifications/subscriptions/acknowledged as the first message": the merged one, then what came since.
fn opening(first: &First) -> Vec<Bytes> {
    let filters: Vec<&[u8]> =
        first.acknowledged.iter().filter_map(|frame| frame.raw(Member::Notifications)).collect();
    let Some(frame) = first.acknowledged.first() else { return Vec::new() };
    let message = frame.splice().set(Member::Notifications, merge::agreed(&filters)).finish();
    let mut out = BytesMut::new();
    sse::message(&mut out, None, &message.unwrap_or_else(|_| frame.bytes().clone()));
    let mut ready = vec![out.freeze()];
    ready.extend(first.events.iter().cloned());
    ready
}
