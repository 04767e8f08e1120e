//! What a client's message names.

use super::{Kind, View};
use crate::frame::{self, Frame, Member, fields, unquote};
use holdfast_telemetry::metrics::Denied;
use std::borrow::Cow;

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named<'f> {
    /// Nothing: handshakes, pings, lists, notifications, answers. What a list shows is judged item by item.
    Nothing,
    /// Things of a server; all of them have to be permitted.
    Things(Vec<(Kind, Cow<'f, str>)>),
    /// A task.
    Task,
    /// A request that must name something, and does not, or names it in a way that two readers could take for two things.
    Unreadable(Kind),
}

impl<'f> Named<'f> {
    /// What `frame` names.
    pub(crate) fn read(frame: &'f Frame) -> Self {
        if frame.kind() != frame::Kind::Request {
            return Self::Nothing;
        }
        let one = |kind, member| match frame.text(member) {
            Some(name) => Self::Things(vec![(kind, name)]),
            None => Self::Unreadable(kind),
        };
        match &*frame.method_bytes() {
            b"tools/call" => one(Kind::Tool, Member::Name),
            b"prompts/get" => one(Kind::Prompt, Member::Name),
            b"resources/read" | b"resources/subscribe" | b"resources/unsubscribe" => {
                one(Kind::Resource, Member::Uri)
            }
            b"completion/complete" => completed(frame),
            b"initialize"
            | b"ping"
            | b"server/discover"
            | b"logging/setLevel"
            | b"subscriptions/listen"
            | b"tools/list"
            | b"prompts/list"
            | b"resources/list"
            | b"resources/templates/list" => Self::Nothing,
            method if method.starts_with(b"tasks/") => Self::Task,
            method => {
                let method = String::from_utf8_lossy(method).into_owned();
                Self::Things(vec![(Kind::Other, Cow::Owned(method))])
            }
        }
    }

    /// Whether all of it is permitted; else the kind of what is not.
    pub(crate) fn judge(&self, view: &View) -> Result<(), Denied> {
        match self {
            Self::Nothing => Ok(()),
            Self::Task if view.permits_some_tool() => Ok(()),
            Self::Task => Err(Denied::Task),
            Self::Unreadable(kind) => Err(denied(*kind)),
            Self::Things(things) => {
                let refused = things.iter().find(|(kind, name)| !view.permits(*kind, name));
                refused.map_or(Ok(()), |(kind, _)| Err(denied(*kind)))
            }
        }
    }
}

fn denied(kind: Kind) -> Denied {
    match kind {
        Kind::Tool => Denied::Tool,
        Kind::Prompt => Denied::Prompt,
        Kind::Resource | Kind::Template => Denied::Resource,
        Kind::Other => Denied::Other,
    }
}

/// `completion/complete` is about the prompt or the template that `params.ref` names. Some readers do not tell upper case from lower.
fn completed(frame: &Frame) -> Named<'_> {
    let unreadable = Named::Unreadable(Kind::Prompt);
    let Some(params) = frame.raw(Member::Params) else { return unreadable };
    let mut references = fields(params).filter(|(key, _)| key.eq_ignore_ascii_case("ref"));
    let (Some((_, reference)), None) = (references.next(), references.next()) else { return unreadable };
    let mut things: Vec<(Kind, Cow<'_, str>)> = Vec::with_capacity(1);
    for (key, value) in fields(reference.raw) {
        let kind = if key.eq_ignore_ascii_case("name") {
            Kind::Prompt
        } else if key.eq_ignore_ascii_case("uri") {
            Kind::Template
        } else {
            continue;
        };
        let Some(name) = unquote(value.raw) else { return unreadable };
        things.push((kind, name));
    }
    if things.is_empty() { unreadable } else { Named::Things(things) }
}
