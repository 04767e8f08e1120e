//! `subscriptions/listen` at the merged endpoint: every member is asked for its part.

use super::{lists::Asker, members::changed, resources};
use crate::{
    errors::{McpError, Problem},
    frame::{Frame, Member, elements, fields, quote, unquote},
    modern::{Wanted, listen_all},
    policy::Kind,
    probe, reply,
    server::Server,
};
use futures_util::future::join_all;
use holdfast_edge::Body;
use http::Response;
use std::sync::Arc;

/// What a client's filter wants of one member.
#[derive(Default)]
struct Filter {
    /// The member's URI, and the client's.
    uris: Vec<(String, String)>,
    /// Handles of tasks, which the member's own driver opens.
    tasks: Vec<String>,
}

/// Opens the subscription at every member that speaks this version. Resources and tasks are asked of the member that has them,
/// everything else of each.
pub(super) async fn listen(asker: &Asker<'_>, frame: &Frame) -> Response<Body> {
    let Asker { guest, federation, .. } = *asker;
    let Some(raw @ [b'{', ..]) = frame.raw(Member::Notifications) else {
        let error = McpError::new(Problem::InvalidParams).detail("`params.notifications` must be an object");
        return reply::error(&error, frame.id());
    };
    let mut filters: Vec<Filter> = federation.members.iter().map(|_| Filter::default()).collect();
    let place = |member: &Arc<Server>| federation.members.iter().position(|other| Arc::ptr_eq(other, member));
    for shown in texts(raw, "resourceSubscriptions") {
        // What nobody has is not agreed to: the acknowledgement shows it.
        if let Ok((member, own)) = resources::holder(asker, &shown, Kind::Resource, frame).await
            && let Some(at) = place(&member)
        {
            filters[at].uris.push((own, shown));
        }
    }
    for handle in texts(raw, "taskIds") {
        if let Some(at) = federation.issuer(guest, &handle) {
            filters[at].tasks.push(handle);
        }
    }
    let parts = federation.members.iter().zip(filters).map(|(member, filter)| async move {
        let asked = changed(frame.splice().set(Member::Notifications, written(raw, &filter))).ok()?;
        let caller = guest.of_member(member, &asked);
        let speaks =
            holdfast_upstream::clock::timeout(federation.patience.without, probe::speaks_modern(&caller));
        speaks.await.unwrap_or(true).then_some(Wanted { caller, frame: asked, uris: filter.uris })
    });
    let parts: Vec<Wanted> = join_all(parts).await.into_iter().flatten().collect();
    if parts.is_empty() {
        let error =
            McpError::new(Problem::NoEndpoint).detail("no member of the merged endpoint speaks this version");
        return reply::error(&error, frame.id());
    }
    listen_all(parts).await
}

/// The strings of one list of a filter.
fn texts(filter: &[u8], key: &str) -> Vec<String> {
    fields(filter)
        .filter(|(found, _)| found == key)
        .flat_map(|(_, list)| elements(list.raw))
        .filter_map(|element| Some(unquote(element.raw)?.into_owned()))
        .collect()
}

/// A client's filter as one member gets it.
fn written(filter: &[u8], part: &Filter) -> String {
    let list = |texts: Vec<String>| format!("[{}]", texts.join(","));
    let members: Vec<String> = fields(filter)
        .map(|(key, value)| {
            let value = match &*key {
                "resourceSubscriptions" => list(part.uris.iter().map(|(own, _)| quote(own)).collect()),
                "taskIds" => list(part.tasks.iter().map(|handle| quote(handle)).collect()),
                _ => String::from_utf8_lossy(value.raw).into_owned(),
            };
            format!("{}:{value}", quote(&key))
        })
        .collect();
    format!("{{{}}}", members.join(","))
}
