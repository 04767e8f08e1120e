//! One list of all members.

use super::{
    Federation, Key, List, Merged, NoPage, ORIGINAL_BYTES_MAX, Page, PageCursor, Part, members::changed,
    modern::MERGED, whole::Whole,
};
use crate::{
    caller::Caller,
    errors::{McpError, Problem},
    frame::{Frame, Member},
    guest::Guest,
    legacy::{self, Session},
    modern,
    policy::{Kind, Pins, View},
    probe, reply,
    server::Server,
    token::{Audience, unix_now},
};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, join_all},
};
use holdfast_config::EraMode;
use holdfast_edge::Body;
use http::{Response, StatusCode};
use std::{collections::HashMap, sync::Arc};

/// Who asks the members, and how.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) guest: &'a Guest,
    pub(super) federation: &'a Arc<Federation>,
    /// The session, for versions that have one.
    pub(super) whole: Option<&'a Arc<Whole>>,
}

/// One list of all members.
pub(super) async fn merged(asker: &Asker<'_>, frame: &Frame, list: List) -> Response<Body> {
    let Asker { guest, federation, .. } = *asker;
    let wanted = match wanted(guest, federation, frame, list) {
        Ok(wanted) => wanted,
        Err(error) => return reply::error(&error, frame.id()),
    };
    let asked = wanted.into_iter().map(|(member, cursor)| async move {
        let part = asker.part(&member, list, &cursor, frame).await;
        (member, part)
    });
    let parts = join_all(asked).await;
    if !parts.is_empty() && parts.iter().all(|(_, part)| *part == Part::Missing) {
        let error = McpError::new(Problem::NoEndpoint).detail("no member of the merged endpoint answers");
        return reply::error(&error.retry_after(std::time::Duration::from_secs(1)), frame.id());
    }
    let shelf = &guest.shared.state.shelf;
    let views = Views::of(asker);
    let mut merged = Merged::new(list, &federation.names);
    let mut rest = Vec::new();
    for (member, part) in &parts {
        member.metrics.list_parts.inc(part.outcome());
        let page = match part {
            Part::Current(page) => page,
            Part::Fresh(page, left) => {
                merged.lasts(*left);
                page
            }
            Part::LastGood(page) => {
                merged.incomplete();
                page
            }
            Part::Missing => {
                merged.incomplete();
                continue;
            }
            Part::None => continue,
        };
        // Whether somebody else has it is told only to who may see that.
        let taken = |uri: &str| {
            shelf
                .holder(&guest.principal, uri)
                .is_some_and(|holder| *holder != *member.name && views.permit(&holder, list.kind(), uri))
        };
        let shows = |name: &str| views.permit(&member.name, list.kind(), name);
        if views.limit(&member.name) {
            merged.personal();
        }
        merged.add(member.name(), page, taken, shows);
        shelf.learn(&guest.principal, &member.name, list, page, shows);
        if let Some(next) = page.next.as_ref().filter(|next| next.len() <= ORIGINAL_BYTES_MAX) {
            rest.push((member.name().to_owned(), next.to_string()));
        }
    }
    match next_cursor(guest, federation, list, rest) {
        Ok(next) => {
            let id = frame.id().unwrap_or(b"null");
            reply::json(StatusCode::OK, merged.response(id, next.as_deref(), asker.whole.is_none()))
        }
        Err(error) => reply::error(&error, frame.id()),
    }
}

/// What the rules of each member leave to one caller.
pub(super) struct Views(HashMap<Arc<str>, Arc<View>>);

impl Views {
    pub(super) fn of(asker: &Asker<'_>) -> Self {
        let members = &asker.federation.members;
        let view = |member: &Arc<Server>| Some((Arc::clone(&member.name), member.view(&asker.guest.who)?));
        Self(members.iter().filter_map(view).collect())
    }

    /// Whether the member has rules.
    pub(super) fn limit(&self, member: &str) -> bool {
        self.0.contains_key(member)
    }

    /// Whether they permit the caller to use `name`.
    pub(super) fn permit(&self, member: &str, kind: Kind, name: &str) -> bool {
        self.0.get(member).is_none_or(|view| view.permits(kind, name))
    }
}

/// A member, and its cursor.
type Wanted = (Arc<Server>, Arc<str>);

/// The members that a page is made of, with the cursor of each.
fn wanted(
    guest: &Guest,
    federation: &Federation,
    frame: &Frame,
    list: List,
) -> Result<Vec<Wanted>, McpError> {
    if !frame.has(Member::Cursor) {
        return Ok(federation.members.iter().map(|member| (Arc::clone(member), Arc::from(""))).collect());
    }
    let foreign = || {
        McpError::new(Problem::InvalidParams).detail("this cursor was not issued to you here, or has expired")
    };
    let text = frame.text(Member::Cursor).ok_or_else(foreign)?;
    let audience = Audience { server: MERGED, principal: &guest.principal };
    let cursor = PageCursor::open(&guest.shared.ring, audience, &text, unix_now()).map_err(|_| foreign())?;
    if cursor.method != list.method() {
        return Err(foreign());
    }
    // A member that has been removed has no more to show.
    let here =
        |(name, cursor): (String, String)| Some((Arc::clone(federation.member(&name)?), Arc::from(cursor)));
    Ok(cursor.rest.into_iter().filter_map(here).collect())
}

fn next_cursor(
    guest: &Guest,
    federation: &Federation,
    list: List,
    rest: Vec<(String, String)>,
) -> Result<Option<String>, McpError> {
    if rest.is_empty() {
        return Ok(None);
    }
    let cursor = PageCursor { method: list.method().to_owned(), rest };
    let audience = Audience { server: MERGED, principal: &guest.principal };
    let expires = unix_now().saturating_add(federation.cursor_ttl.as_secs());
    let sealed = cursor.seal(&guest.shared.ring, audience, expires);
    sealed.map(Some).map_err(|_| McpError::new(Problem::Internal).detail("a cursor could not be sealed"))
}

impl Asker<'_> {
    /// What `member` has for one page.
    pub(super) async fn part(
        &self,
        member: &Arc<Server>,
        list: List,
        cursor: &Arc<str>,
        frame: &Frame,
    ) -> Part {
        let key = Key {
            context: self.guest.principal,
            member: Arc::clone(&member.name),
            list,
            cursor: Arc::clone(cursor),
            modern: self.whole.is_none(),
            pins: member.watched.pins.as_ref().map_or(0, Pins::tag),
        };
        let ask = || self.ask(member, list, cursor, frame);
        self.guest.shared.state.shelf.part(key, self.federation.patience, ask).await
    }

    /// Asks `member` for a page; ends with the member's own timeouts.
    fn ask(
        &self,
        member: &Arc<Server>,
        list: List,
        cursor: &str,
        frame: &Frame,
    ) -> BoxFuture<'static, Result<Page, NoPage>> {
        let asked = if cursor.is_empty() {
            Ok(frame.clone())
        } else {
            changed(frame.splice().set_text(Member::Cursor, cursor))
        };
        let Ok(asked) = asked else { return std::future::ready(Err(NoPage::None)).boxed() };
        let Some(whole) = self.whole else {
            let caller = self.guest.lister(member, self.guest.member_headers(&asked));
            return modern_page(caller, asked, list).boxed();
        };
        match whole.part(member.name()) {
            Some(part) if member.era != EraMode::Modern => {
                let caller = self.guest.lister(member, self.guest.headers.clone());
                legacy_page(caller, Arc::clone(&part.session), asked, list).boxed()
            }
            _ => std::future::ready(Err(NoPage::None)).boxed(),
        }
    }
}

async fn modern_page(caller: Arc<Caller>, asked: Frame, list: List) -> Result<Page, NoPage> {
    if !probe::speaks_modern(&caller).await {
        return Err(NoPage::None);
    }
    let response = modern::fetch(&caller, &asked).await.map_err(|_| NoPage::Unreachable)?;
    Page::read(list, &response).ok_or(NoPage::None)
}

async fn legacy_page(
    caller: Arc<Caller>,
    session: Arc<Session>,
    asked: Frame,
    list: List,
) -> Result<Page, NoPage> {
    let response = legacy::fetch(&caller, &session, &asked).await.ok_or(NoPage::Unreachable)?;
    Page::read(list, &response).ok_or(NoPage::None)
}
