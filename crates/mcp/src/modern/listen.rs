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
    forward_headers,
    handles::{self, declares_tasks, tasks_not_declared},
    listen_body::ListenBody,
    merge, refuse,
};
use crate::{
    caller::{Caller, Tally},
    errors::{McpError, Problem},
    exchange::{Answer, Hold, ask, bare_error},
    frame::{Frame, Member, Place, fields, quote, unquote},
    reply,
    seal::Purpose,
    source::{Event, Source},
    sse,
};
use bytes::{Bytes, BytesMut};
use holdfast_edge::Body;
use holdfast_resilience::Safety;
use holdfast_telemetry::metrics::{MappedEra, McpOutcome};
use holdfast_upstream::{EndpointKey, clock};
use http::{Response, StatusCode};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::JoinSet};

/// After the first acknowledgement, how long the others are waited for.
const ACK_WAIT: Duration = Duration::from_millis(250);
/// Pause before a lost endpoint is opened again: doubles up to the maximum, jittered over its whole range.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Events of all endpoints that may wait for the client. A full queue slows the endpoints down.
const QUEUE: usize = 16;

/// What an endpoint's task says.
#[allow(
    clippy::large_enum_variant,
    reason = "moved a few times per message; a box would cost an allocation each"
)]
pub(super) enum Said {
    /// It agreed to this (raw `notifications`); the whole message, for the first.
    Acknowledged(Frame),
    /// An event for the client, as bytes.
    Event(Bytes),
    /// It answered with an error.
    Refused(StatusCode, Bytes),
    /// It did not answer.
    Unreachable,
}

/// What all endpoints of one subscription share.
pub(super) struct Subscription {
    pub(super) caller: Arc<Caller>,
    frame: Frame,
    /// The request's id as raw JSON.
    pub(super) id: Bytes,
    /// Task handles of the client's filter: by endpoint, the server's id and the handle.
    tasks: HashMap<EndpointKey, Vec<(String, String)>>,
    names_tasks: bool,
    said: mpsc::Sender<Said>,
}

/// Opens a subscription on every endpoint and answers with the merged stream.
pub(crate) async fn listen(caller: Arc<Caller>, frame: Frame) -> Response<Body> {
    if !matches!(frame.raw(Member::Notifications), Some([b'{', ..])) {
        let error = McpError::new(Problem::InvalidParams).detail("`params.notifications` must be an object");
        return refuse(&caller, &frame, &error);
    }
    let handles = frame.places(Place::TaskId);
    if !handles.is_empty() && !declares_tasks(&frame) {
        Tally::new(&caller.server, &frame, MappedEra::Modern).end(McpOutcome::Refused);
        return reply::json(StatusCode::BAD_REQUEST, tasks_not_declared(frame.id().unwrap_or(b"null")));
    }
    let mut tasks: HashMap<EndpointKey, Vec<(String, String)>> = HashMap::new();
    for (start, end) in &handles {
        // What does not open is not agreed to: the acknowledgement shows it.
        let Some(handle) = unquote(&frame.bytes()[*start..*end]) else { continue };
        if let Ok(opened) = handles::open(&caller, Purpose::Task, &handle) {
            tasks.entry(opened.endpoint).or_default().push((opened.original, handle.into_owned()));
        }
    }
    let tally = Tally::new(&caller.server, &frame, MappedEra::Modern);
    let (said, heard) = mpsc::channel(QUEUE);
    let id = frame.id_bytes().unwrap_or_default();
    let names_tasks = !handles.is_empty();
    let subscription = Subscription { caller: Arc::clone(&caller), frame, id, tasks, names_tasks, said };
    begin(Arc::new(subscription), heard, tally).await
}

async fn begin(
    subscription: Arc<Subscription>,
    mut heard: mpsc::Receiver<Said>,
    tally: Tally,
) -> Response<Body> {
    let caller = &subscription.caller;
    let mut followers = JoinSet::new();
    let endpoints: Vec<EndpointKey> =
        caller.server.upstream.endpoints().into_iter().map(|endpoint| endpoint.key).collect();
    for endpoint in &endpoints {
        followers.spawn(follow(Arc::clone(&subscription), endpoint.clone()));
    }
    let first = gather(&subscription, &mut heard, endpoints.len()).await;
    if !first.acknowledged.is_empty() {
        caller.notes.lock().streaming = true;
        let ready = opening(&first);
        let body = ListenBody::new(subscription, ready, heard, followers, endpoints, tally);
        return reply::events(Body::boxed(body));
    }
    tally.end(McpOutcome::UpstreamError);
    if let Some((status, body)) = first.refused {
        return reply::json(status, body);
    }
    let error = McpError::new(Problem::NoEndpoint).retry_after(Duration::from_secs(1));
    reply::error(&error, Some(&subscription.id))
}

#[derive(Default)]
struct First {
    acknowledged: Vec<Frame>,
    events: Vec<Bytes>,
    refused: Option<(StatusCode, Bytes)>,
}

/// Waits for the endpoints' first words.
async fn gather(subscription: &Subscription, heard: &mut mpsc::Receiver<Said>, expected: usize) -> First {
    let mut until = clock::after(clock::now(), subscription.caller.server.initialize_timeout);
    let mut first = First::default();
    let mut answered = 0;
    while answered < expected {
        match clock::timeout_at(until, heard.recv()).await {
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

/// Listens to one endpoint until the subscription ends or the endpoint leaves the set.
pub(super) async fn follow(subscription: Arc<Subscription>, endpoint: EndpointKey) {
    let mut pause = PAUSE_MIN;
    loop {
        match open(&subscription, &endpoint).await {
            Opened::Stream(events, source) => {
                pause = PAUSE_MIN;
                if relay(&subscription, &endpoint, events, source).await.is_err() {
                    return;
                }
            }
            Opened::Not(said) => {
                if subscription.said.send(said).await.is_err() {
                    return;
                }
            }
            Opened::Removed => {
                let _ = subscription.said.send(Said::Unreachable).await;
                return;
            }
        }
        tokio::time::sleep(pause.mul_f64(fastrand::f64())).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

#[allow(
    clippy::large_enum_variant,
    reason = "moved a few times per message; a box would cost an allocation each"
)]
enum Opened {
    Stream(Vec<Event>, Source),
    Not(Said),
    /// The endpoint is no longer part of the server.
    Removed,
}

async fn open(subscription: &Subscription, endpoint: &EndpointKey) -> Opened {
    let caller = &subscription.caller;
    let Some(body) = subscription.body_for(endpoint) else { return Opened::Not(Said::Unreachable) };
    let mut out = caller.message(body, Safety::Unsafe);
    forward_headers(caller, &mut out.headers);
    out.pin = Some(endpoint.clone());
    out.until = clock::after(clock::now(), caller.server.initialize_timeout);
    match ask(&caller.server, out, Some(&subscription.id), Hold::FirstMessage).await {
        Ok(Answer::Open(head, events, source)) => {
            caller.note_head(&head);
            Opened::Stream(events, source)
        }
        Ok(Answer::Message(head, frame)) => Opened::Not(Said::Refused(head.status, frame.into_bytes())),
        // An error as the only event of a stream.
        Ok(Answer::Events(_, events)) => match events.into_iter().rev().find_map(|event| event.frame) {
            Some(frame) => Opened::Not(Said::Refused(StatusCode::OK, frame.into_bytes())),
            None => Opened::Not(Said::Unreachable),
        },
        Ok(Answer::Bare(head)) => {
            let error = bare_error(head.status);
            Opened::Not(Said::Refused(error.status(), error.render(Some(&subscription.id))))
        }
        Err(crate::exchange::Failure::Call(holdfast_upstream::CallError::PinnedGone { .. })) => {
            Opened::Removed
        }
        Err(_) => Opened::Not(Said::Unreachable),
    }
}

/// The client is gone.
struct Gone;

async fn relay(
    subscription: &Subscription,
    endpoint: &EndpointKey,
    events: Vec<Event>,
    mut source: Source,
) -> Result<(), Gone> {
    let mut events = events.into_iter();
    loop {
        let event = match events.next() {
            Some(event) => event,
            None => match source.next().await {
                Ok(Some(event)) => event,
                Ok(None) | Err(_) => return Ok(()),
            },
        };
        // The endpoint ends the subscription on its own account; the client's goes on.
        if event.answers(&subscription.id) {
            return Ok(());
        }
        let Some(said) = subscription.translate(endpoint, &event) else { continue };
        subscription.said.send(said).await.map_err(|_| Gone)?;
    }
}

impl Subscription {
    /// The request as `endpoint` gets it: with the ids of its own tasks alone.
    fn body_for(&self, endpoint: &EndpointKey) -> Option<Bytes> {
        if !self.names_tasks {
            return Some(self.frame.bytes().clone());
        }
        let ids: Vec<String> =
            self.tasks.get(endpoint).into_iter().flatten().map(|(original, _)| quote(original)).collect();
        let filter = self.frame.raw(Member::Notifications)?;
        let members: Vec<String> = fields(filter)
            .map(|(key, value)| match &*key {
                "taskIds" => format!("\"taskIds\":[{}]", ids.join(",")),
                _ => format!("{}:{}", quote(&key), String::from_utf8_lossy(value.raw)),
            })
            .collect();
        let filter = format!("{{{}}}", members.join(","));
        self.frame.splice().set(Member::Notifications, filter).finish().ok()
    }

    /// An event of `endpoint` for the client; `None` for what is not passed on.
    fn translate(&self, endpoint: &EndpointKey, event: &Event) -> Option<Said> {
        let Some(frame) = &event.frame else { return None };
        let mut splice = frame.splice();
        let places = frame.places(Place::TaskId);
        for (start, end) in &places {
            let original = unquote(&frame.bytes()[*start..*end])?;
            let known = self.tasks.get(endpoint).into_iter().flatten().find(|(id, _)| *id == original);
            let handle = match known {
                Some((_, handle)) => handle.clone(),
                None => handles::seal(&self.caller, Purpose::Task, endpoint, &original).ok()?,
            };
            splice = splice.replace((*start, *end), quote(&handle));
        }
        let acknowledges = frame.is("notifications/subscriptions/acknowledged");
        if places.is_empty() && !acknowledges {
            return Some(Said::Event(event.raw().clone()));
        }
        let message = splice.finish().ok()?;
        if acknowledges {
            let limits = crate::source::answer_limits(self.caller.shared.response_max);
            return Frame::parse(message, &limits).ok().map(Said::Acknowledged);
        }
        let mut out = BytesMut::new();
        sse::message(&mut out, None, &message);
        Some(Said::Event(out.freeze()))
    }
}
