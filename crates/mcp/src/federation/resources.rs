//! Whose a URI is.

use super::{
    List, Part,
    lists::{Asker, Views},
    matches,
    members::{changed, unknown},
    unwrap_uri,
};
use crate::{
    errors::{McpError, Problem},
    frame::{Frame, Member, fields, quote, unquote},
    policy::Kind,
    server::Server,
};
use futures_util::future::join_all;
use holdfast_telemetry::metrics::Denied;
use std::sync::Arc;

/// Pages of one member's list that are looked through for a URI.
const PAGES_MAX: usize = 100;

/// The member that a request of either era names a thing of, and the request with the member's own name for it. None for a request
/// that names nothing.
pub(super) async fn named(
    asker: &Asker<'_>,
    frame: &Frame,
) -> Result<Option<(Arc<Server>, Frame)>, McpError> {
    let (member, place, own) = match &*frame.method_bytes() {
        b"tools/call" | b"prompts/get" => {
            let name = frame.text(Member::Name).unwrap_or_default();
            let (member, own) = asker.federation.named(&name).ok_or_else(|| unknown(&name))?;
            (Arc::clone(member), Member::Name, own.to_owned())
        }
        b"resources/read" | b"resources/subscribe" | b"resources/unsubscribe" => {
            let uri = frame.text(Member::Uri).unwrap_or_default();
            let (member, own) = holder(asker, &uri, Kind::Resource, frame).await?;
            (member, Member::Uri, own)
        }
        b"completion/complete" => return completed(asker, frame).await.map(Some),
        _ => return Ok(None),
    };
    Ok(Some((member, changed(frame.splice().set_text(place, &own))?)))
}

/// A request that names no member.
pub(super) fn nobodys(frame: &Frame) -> McpError {
    let error = McpError::new(Problem::MethodNotFound);
    error.detail(format!("'{}' names no member of the merged endpoint", frame.method()))
}

/// The member that has `uri`, and its own form of it: named in the URI itself, known from a list, found in the lists of all, or the
/// member whose template fits best. Members whose rules keep it from the caller are passed over, so that it makes no difference whether
/// they have it; if that is all of them, it is refused unasked.
pub(super) async fn holder(
    asker: &Asker<'_>,
    uri: &str,
    kind: Kind,
    frame: &Frame,
) -> Result<(Arc<Server>, String), McpError> {
    let views = Views::of(asker);
    let refused = |member: &Arc<Server>| {
        member.metrics.denied.inc(Denied::Resource);
        McpError::new(Problem::NotPermitted)
    };
    if let Some((member, own)) = unwrap_uri(uri) {
        let member = asker.federation.member(member).ok_or_else(|| unknown(uri))?;
        if !views.permit(member.name(), kind, own) {
            return Err(refused(member));
        }
        return Ok((Arc::clone(member), own.to_owned()));
    }
    let members = &asker.federation.members;
    let open: Vec<&Arc<Server>> =
        members.iter().filter(|member| views.permit(member.name(), kind, uri)).collect();
    if let (true, Some(first)) = (open.is_empty(), members.first()) {
        return Err(refused(first));
    }
    let shelf = &asker.guest.shared.state.shelf;
    if let Some(holder) = shelf.holder(&asker.guest.principal, uri)
        && let Some(member) = open.iter().find(|member| member.name == holder)
    {
        return Ok((Arc::clone(member), uri.to_owned()));
    }
    let looked = open.iter().map(|member| look(asker, &views, member, uri, frame));
    let found = join_all(looked).await;
    let best = found.iter().zip(open).filter_map(|(fit, member)| Some((fit.as_ref()?, member)));
    // The first of equals: the order of the configuration.
    let best = best.rev().max_by_key(|(fit, _)| **fit);
    best.map(|(_, member)| (Arc::clone(member), uri.to_owned())).ok_or_else(|| unknown(uri))
}

/// How well a URI fits a member: what it lists fits better than what one of its templates covers, a longer template better than a
/// shorter one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Template(usize),
    Listed,
}

async fn look(
    asker: &Asker<'_>,
    views: &Views,
    member: &Arc<Server>,
    uri: &str,
    frame: &Frame,
) -> Option<Fit> {
    let mut best = None;
    for list in [List::Resources, List::Templates] {
        let mut cursor: Arc<str> = Arc::from("");
        for _ in 0..PAGES_MAX {
            let asked = listing(frame, list)?;
            let (Part::Current(page) | Part::Fresh(page, _) | Part::LastGood(page)) =
                asker.part(member, list, &cursor, &asked).await
            else {
                break;
            };
            let shows = |name: &str| views.permit(member.name(), list.kind(), name);
            asker.guest.shared.state.shelf.learn(&asker.guest.principal, &member.name, list, &page, shows);
            for item in &page.items {
                let fit = match list {
                    List::Resources => (*item.name == *uri).then_some(Fit::Listed),
                    _ => matches(&item.name, uri).map(Fit::Template),
                };
                best = best.max(fit);
            }
            match &page.next {
                Some(next) if best != Some(Fit::Listed) => cursor = Arc::from(&**next),
                _ => break,
            }
        }
        if best == Some(Fit::Listed) {
            break;
        }
    }
    best
}

/// A request for a list, by whoever sent `frame`.
fn listing(frame: &Frame, list: List) -> Option<Frame> {
    let params = match frame.raw(Member::Meta) {
        Some(meta) => [&br#"{"_meta":"#[..], meta, b"}"].concat(),
        None => b"{}".to_vec(),
    };
    let splice = frame.splice().set(Member::Method, quote(list.method())).set(Member::Params, params);
    changed(splice).ok()
}

/// `completion/complete` is about a prompt or a template of one member.
async fn completed(asker: &Asker<'_>, frame: &Frame) -> Result<(Arc<Server>, Frame), McpError> {
    let invalid =
        || McpError::new(Problem::InvalidParams).detail("`params.ref` must name a prompt or a resource");
    let params = frame.raw(Member::Params).ok_or_else(invalid)?;
    let offset = params.as_ptr() as usize - frame.bytes().as_ptr() as usize;
    let (_, reference) = fields(params).find(|(key, _)| key == "ref").ok_or_else(invalid)?;
    let (key, value) =
        fields(reference.raw).find(|(key, _)| key == "name" || key == "uri").ok_or_else(invalid)?;
    let text = unquote(value.raw).ok_or_else(invalid)?;
    let (member, own) = if key == "name" {
        let (member, own) = asker.federation.named(&text).ok_or_else(|| unknown(&text))?;
        (Arc::clone(member), own.to_owned())
    } else {
        holder(asker, &text, Kind::Template, frame).await?
    };
    let (start, end) = value.range();
    let at = offset + reference.start;
    let frame = changed(frame.splice().replace((at + start, at + end), quote(&own)))?;
    Ok((member, frame))
}
