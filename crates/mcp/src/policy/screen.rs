//! A server's message as one caller may see it.
//!
//! Judged by what the message holds and not by what was asked: an answer is the same whether it comes as JSON, in an event stream, in a
//! batch, or on a stream that is taken up again.

use super::{Digest, Kind, Pins, View};
use crate::frame::{self, Frame, Json, Member, elements, fields, unquote};
use bytes::Bytes;
use std::cell::Cell;

/// What is left of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Screened {
    /// All of it.
    AsIs,
    /// This.
    Changed(Bytes),
    /// Nothing.
    Dropped,
}

/// Lists by their key in a result: what they name, and the member of an item that names it.
const LISTS: [(&str, Kind, &str); 4] = [
    ("tools", Kind::Tool, "name"),
    ("prompts", Kind::Prompt, "name"),
    ("resources", Kind::Resource, "uri"),
    ("resourceTemplates", Kind::Template, "uriTemplate"),
];

/// What decides of what is shown.
pub(crate) struct Sight<'a> {
    view: Option<&'a View>,
    pins: Option<&'a Pins>,
    withheld: Cell<u64>,
}

impl<'a> Sight<'a> {
    /// Of the caller of `view`, at a server with `pins`; `None` decides nothing.
    pub(crate) fn new(view: Option<&'a View>, pins: Option<&'a Pins>) -> Self {
        Self { view, pins, withheld: Cell::new(0) }
    }

    /// Tools that were left out because of pins alone.
    pub(crate) fn withheld(&self) -> u64 {
        self.withheld.get()
    }

    fn permits(&self, kind: Kind, name: &str) -> bool {
        self.view.is_none_or(|view| view.permits(kind, name))
    }

    /// Whether an item of a list is shown.
    fn shows(&self, kind: Kind, name: &str, item: &[u8]) -> bool {
        if !self.permits(kind, name) {
            return false;
        }
        let Some(pins) = self.pins.filter(|_| kind == Kind::Tool) else { return true };
        let holds = pins.knows(name) && pins.hold(name, Digest::of_definition(item));
        self.withheld.set(self.withheld.get() + u64::from(!holds));
        holds
    }
}

/// What is to be seen of `message`: lists without what may not be used or is not the pinned one, no news of resources that may not be read,
/// and, where rules decide, nothing that others may be shown from a cache.
pub(crate) fn screen(sight: &Sight<'_>, message: &Frame) -> Screened {
    match message.kind() {
        frame::Kind::Response => {}
        frame::Kind::Notification if message.is("notifications/resources/updated") => {
            let visible = message.text(Member::Uri).is_some_and(|uri| sight.permits(Kind::Resource, &uri));
            return if visible { Screened::AsIs } else { Screened::Dropped };
        }
        frame::Kind::Request | frame::Kind::Notification | frame::Kind::ErrorResponse => {
            return Screened::AsIs;
        }
    }
    let Some(result) = message.raw(Member::Result) else { return Screened::AsIs };
    let offset = result.as_ptr() as usize - message.bytes().as_ptr() as usize;
    let mut splice = message.splice();
    let mut changes = false;
    for (key, value) in fields(result) {
        let new = if key.eq_ignore_ascii_case("cacheScope") {
            // 2026-07-28 caching: a "public" answer may be shown to anybody.
            (sight.view.is_some() && value.raw != br#""private""#).then(|| br#""private""#.to_vec())
        } else {
            let list = LISTS.iter().find(|(list, ..)| key.eq_ignore_ascii_case(list));
            list.and_then(|(_, kind, name)| visible(sight, *kind, name, value))
        };
        if let Some(new) = new {
            let (start, end) = value.range();
            splice = splice.replace((offset + start, offset + end), new);
            changes = true;
        }
    }
    if !changes {
        return Screened::AsIs;
    }
    splice.finish().map_or(Screened::Dropped, Screened::Changed)
}

/// The array without what may not be seen, or whose name cannot be read; `None` if that is all of it.
fn visible(sight: &Sight<'_>, kind: Kind, name: &str, list: Json<'_>) -> Option<Vec<u8>> {
    if !list.raw.starts_with(b"[") {
        return Some(b"[]".to_vec());
    }
    let items = elements(list.raw);
    let all = items.len();
    let kept: Vec<&[u8]> =
        items.into_iter().map(|item| item.raw).filter(|item| is_visible(sight, kind, name, item)).collect();
    (kept.len() < all).then(|| [&b"["[..], &kept.join(&b','), b"]"].concat())
}

fn is_visible(sight: &Sight<'_>, kind: Kind, name: &str, item: &[u8]) -> bool {
    let mut names = fields(item).filter(|(key, _)| key.eq_ignore_ascii_case(name));
    // Two names: two readers could take two different ones.
    let (Some((_, only)), None) = (names.next(), names.next()) else { return false };
    unquote(only.raw).is_some_and(|name| sight.shows(kind, &name, item))
}
