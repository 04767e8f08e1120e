//! One subscription as its endpoints' tasks see it: each listens to one endpoint, for as long as the client does.

use super::{forward_headers, handles};
use crate::{
    caller::Caller,
    exchange::{Answer, Hold, ask, bare_error},
    frame::{Frame, Member, Place, elements, fields, quote, unquote},
    queue::{Closed, Sender, Waits},
    seal::Purpose,
    source::{Event, Source},
    sse,
};
use bytes::{Bytes, BytesMut};
use holdfast_resilience::Safety;
use holdfast_upstream::{EndpointKey, clock};
use http::StatusCode;
use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

/// Pause before a lost endpoint is opened again: doubles up to the maximum, jittered over its whole range.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);

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

impl Waits for Said {
    fn cost(&self) -> usize {
        1
    }
}

/// What all endpoints of one subscription share.
pub(super) struct Subscription {
    pub(super) caller: Arc<Caller>,
    pub(super) frame: Frame,
    /// The request's id as raw JSON.
    pub(super) id: Bytes,
    /// Task handles of the client's filter: by endpoint, the server's id and the handle.
    pub(super) tasks: HashMap<EndpointKey, Vec<(String, String)>>,
    pub(super) names_tasks: bool,
    /// Resources that the client knows by another URI: the server's, and the client's.
    pub(super) uris: Vec<(String, String)>,
    pub(super) said: Sender<Said>,
}

/// Listens to one endpoint until the subscription ends or the endpoint leaves the set.
pub(super) async fn follow(subscription: Arc<Subscription>, endpoint: EndpointKey) {
    let mut pause = PAUSE_MIN;
    loop {
        // In a box: what it takes to open a stream is of no use while the stream is open.
        let opened = match Box::pin(open(&subscription, &endpoint)).await {
            Opened::Stream(events, source) => Ok((events, source)),
            Opened::Not(said) => Err((said, false)),
            Opened::Removed => Err((Said::Unreachable, true)),
        };
        match opened {
            Ok((events, source)) => {
                pause = PAUSE_MIN;
                if relay(&subscription, &endpoint, events, source).await.is_err() {
                    return;
                }
            }
            Err((said, removed)) => {
                if subscription.said.push(said).await.is_err() || removed {
                    return;
                }
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
    let mut out = caller.message(caller.about(&subscription.frame), body, Safety::Unsafe);
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
        Err(crate::failure::Failure::Call(holdfast_upstream::CallError::PinnedGone { .. })) => {
            Opened::Removed
        }
        Err(_) => Opened::Not(Said::Unreachable),
    }
}

/// What an event of an endpoint means for the client.
enum Heard {
    /// The endpoint ends the subscription on its own account: the client's goes on.
    End,
    /// Nothing.
    Nothing,
    Said(Said),
}

/// Gives the client what an endpoint says, until it ends or the client is gone.
fn relay(
    subscription: &Subscription,
    endpoint: &EndpointKey,
    events: Vec<Event>,
    mut source: Source,
) -> impl Future<Output = Result<(), Closed>> + Send {
    let mut events = events.into_iter();
    // A block holds what it is given once, an async function twice; an event is read in a scope of its own, so that it takes no room
    // beside what is made of it.
    async move {
        loop {
            let heard = {
                let event = match events.next() {
                    Some(event) => event,
                    None => match source.next().await {
                        Ok(Some(event)) => event,
                        Ok(None) | Err(_) => return Ok(()),
                    },
                };
                subscription.hear(endpoint, &event)
            };
            match heard {
                Heard::End => return Ok(()),
                Heard::Nothing => {}
                Heard::Said(said) => subscription.said.push(said).await?,
            }
        }
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

    /// The client's URI of a resource that changed, where it is another than the server's.
    fn shown_uri(&self, frame: &Frame) -> Option<String> {
        if self.uris.is_empty() || !frame.is("notifications/resources/updated") {
            return None;
        }
        let own = frame.text(Member::Uri)?;
        self.uris.iter().find(|(theirs, _)| *theirs == own).map(|(_, shown)| shown.clone())
    }

    /// What was agreed to, with the client's URIs. A filter that names tasks of a member under other URIs keeps its tasks' ids.
    fn shown_filter(&self, frame: &Frame) -> Option<String> {
        if self.uris.is_empty() || self.names_tasks {
            return None;
        }
        let shown = |raw: &[u8]| {
            let own = unquote(raw)?;
            let known = self.uris.iter().find(|(theirs, _)| *theirs == own);
            Some(quote(known.map_or(&*own, |(_, shown)| shown)))
        };
        let members = fields(frame.raw(Member::Notifications)?).map(|(key, value)| {
            let value = match &*key {
                "resourceSubscriptions" => {
                    let uris: Vec<String> =
                        elements(value.raw).iter().filter_map(|uri| shown(uri.raw)).collect();
                    format!("[{}]", uris.join(","))
                }
                _ => String::from_utf8_lossy(value.raw).into_owned(),
            };
            format!("{}:{value}", quote(&key))
        });
        Some(format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
    }

    /// What an event of `endpoint` means.
    fn hear(&self, endpoint: &EndpointKey, event: &Event) -> Heard {
        if event.answers(&self.id) {
            return Heard::End;
        }
        self.translate(endpoint, event).map_or(Heard::Nothing, Heard::Said)
    }

    /// An event of `endpoint` for the client; `None` for what is not passed on.
    fn translate(&self, endpoint: &EndpointKey, event: &Event) -> Option<Said> {
        let Some(frame) = &event.frame else { return None };
        self.caller.shared.state.shelf.hear(&self.caller.server.name, frame);
        let mut splice = frame.splice();
        let uri = self.shown_uri(frame);
        if let Some(uri) = &uri {
            splice = splice.set_text(Member::Uri, uri);
        }
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
        if acknowledges && let Some(filter) = self.shown_filter(frame) {
            splice = splice.set(Member::Notifications, filter);
        }
        if places.is_empty() && uri.is_none() && !acknowledges {
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
