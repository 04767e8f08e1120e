//! A modern request at the merged endpoint.

use super::{
    Federation, List, Said, capabilities, instructions, listen,
    lists::{self, Asker},
    resources,
};
use crate::{
    caller::Caller,
    era::Version,
    errors::{McpError, Problem},
    frame::{Frame, Kind, Member},
    guest::Guest,
    headers, modern, probe, reply,
    server::Server,
};
use bytes::Bytes;
use futures_util::future::join_all;
use holdfast_edge::Body;
use http::{Response, StatusCode};
use std::sync::Arc;

/// Whom cursors of merged lists are for: no server has an empty name.
pub(super) const MERGED: &str = "";

/// An answer, and whom it was asked of, if one member alone.
pub(crate) type Answered = (Response<Body>, Option<Arc<Caller>>);

/// Answers a POST that holds one modern message.
pub(crate) async fn post(guest: Guest, federation: &Arc<Federation>, frame: Frame) -> Answered {
    if let Err(error) = headers::check_modern(&guest.headers, &frame, &Version::MODERN) {
        let id = if frame.kind() == Kind::Request { frame.id() } else { None };
        return (reply::error(&error, id), None);
    }
    if frame.kind() == Kind::Notification {
        // None that a client of this version sends over HTTP is about a member.
        return (reply::empty(StatusCode::ACCEPTED), None);
    }
    let method = frame.method_bytes().into_owned();
    if modern::REMOVED.contains(&&*method) {
        return (reply::error(&McpError::new(Problem::MethodNotFound), frame.id()), None);
    }
    let asker = Asker { guest: &guest, federation, whole: None };
    if let Some(list) = List::of(&method) {
        return (Box::pin(lists::merged(&asker, &frame, list)).await, None);
    }
    if method == b"server/discover" {
        return (Box::pin(discover(&guest, federation, &frame)).await, None);
    }
    if frame.is(modern::LISTEN) {
        return (Box::pin(listen::listen(&asker, &frame)).await, None);
    }
    match Box::pin(route(&asker, &frame)).await {
        Ok((member, frame)) => {
            let caller = guest.of_member(&member, &frame);
            (modern::post(Arc::clone(&caller), frame).await, Some(caller))
        }
        Err(error) => (reply::unasked(reply::error(&error, frame.id()), &error), None),
    }
}

/// The member that a request is about, and the request as that member knows it.
async fn route(asker: &Asker<'_>, frame: &Frame) -> Result<(Arc<Server>, Frame), McpError> {
    if let Some(found) = resources::named(asker, frame).await? {
        return Ok(found);
    }
    let Asker { guest, federation, .. } = *asker;
    if !matches!(&*frame.method_bytes(), b"tasks/get" | b"tasks/update" | b"tasks/cancel") {
        return Err(resources::nobodys(frame));
    }
    let id = frame.text(Member::TaskId).unwrap_or_default();
    let at = federation.issuer(guest, &id).ok_or_else(|| {
        McpError::new(Problem::InvalidParams)
            .detail("this task id was not issued to you here, or has expired")
    })?;
    Ok((Arc::clone(&federation.members[at]), frame.clone()))
}

/// What all members are, as one server.
async fn discover(guest: &Guest, federation: &Arc<Federation>, frame: &Frame) -> Response<Body> {
    let asked = federation.members.iter().map(|member| async move {
        let caller = guest.of_member(member, frame);
        let said = async {
            if !probe::speaks_modern(&caller).await {
                return None;
            }
            let response = modern::fetch(&caller, frame).await.ok()?;
            Some(Said::read(response.raw(Member::Result)?))
        };
        let wait = federation.patience.without;
        let said = holdfast_upstream::clock::timeout(wait, said).await.ok().flatten()?;
        Some((member.name(), said))
    });
    let members: Vec<(&str, Said)> = join_all(asked).await.into_iter().flatten().collect();
    let id = String::from_utf8_lossy(frame.id().unwrap_or(b"null")).into_owned();
    let supported: Vec<&str> = Version::MODERN.iter().map(|version| version.as_str()).collect();
    let mut result = serde_json::json!({
        "resultType": "complete",
        "supportedVersions": supported,
        "capabilities": capabilities(members.iter().map(|(_, said)| said)),
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": { "io.modelcontextprotocol/serverInfo": {
            "name": "holdfast", "version": env!("CARGO_PKG_VERSION")
        } },
    });
    if let Some(text) = instructions(members.iter().map(|(name, said)| (*name, said))) {
        result["instructions"] = text.into();
    }
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    reply::json(StatusCode::OK, Bytes::from(body))
}
