//! `requestState` and task ids: sealed with the endpoint they belong to before a client sees them, opened when they return.

use crate::{
    caller::{Caller, seal_failure},
    errors::{McpError, Problem},
    frame::{Frame, Member, Place, fields, quote, unquote},
    seal::Purpose,
    token::{Audience, EndpointTag, Handle, unix_now},
};
use bytes::Bytes;
use holdfast_upstream::EndpointKey;

/// The extension a client must declare to use tasks (tasks extension, "Capability Negotiation").
const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// What a handle stands for.
pub(crate) struct Opened {
    pub(crate) endpoint: EndpointKey,
    /// The server's own value.
    pub(crate) original: String,
}

/// Opens a handle that a client presents. One answer for forged, foreign and expired ones.
pub(crate) fn open(caller: &Caller, purpose: Purpose, text: &str) -> Result<Opened, McpError> {
    let audience = Audience { server: &caller.server.name, principal: &caller.principal };
    let handle =
        Handle::open(&caller.shared.ring, purpose, audience, text, unix_now()).map_err(|refused| {
            caller.server.metrics.seal_failures.inc(seal_failure(refused.reason()));
            let what = if purpose == Purpose::Task { "task id" } else { "requestState" };
            McpError::new(Problem::InvalidParams)
                .detail(format!("this {what} was not issued to you here, or has expired"))
        })?;
    let endpoint =
        caller.server.endpoint(handle.endpoint).ok_or_else(|| McpError::new(Problem::EndpointGone))?;
    Ok(Opened { endpoint, original: handle.original })
}

/// Seals a value of `endpoint` for this caller.
pub(crate) fn seal(
    caller: &Caller,
    purpose: Purpose,
    endpoint: &EndpointKey,
    original: &str,
) -> Result<String, McpError> {
    let handle = Handle { endpoint: EndpointTag::of(endpoint.as_str()), original: original.to_owned() };
    let audience = Audience { server: &caller.server.name, principal: &caller.principal };
    let expires = unix_now().saturating_add(caller.server.handle_ttl.as_secs());
    handle
        .seal(&caller.shared.ring, purpose, audience, expires)
        .map_err(|_| McpError::new(Problem::Internal).detail("a handle could not be sealed"))
}

/// What has to be changed in the answers to one request.
#[derive(Clone, Default)]
pub(crate) struct Rewrite {
    /// The task the request is about: the server's id, and the handle the client knows it by.
    pub(crate) task: Option<(String, String)>,
}

impl Rewrite {
    /// A response of `endpoint` as the client may see it. Shares the bytes when nothing changes.
    pub(crate) fn response(
        &self,
        caller: &Caller,
        endpoint: &EndpointKey,
        response: &Frame,
    ) -> Result<Bytes, McpError> {
        let kind = response.text(Member::ResultType);
        let place = match kind.as_deref() {
            Some("input_required") => Place::RequestState,
            Some("task") => Place::TaskId,
            _ if self.task.is_some() => Place::TaskId,
            _ => return Ok(response.bytes().clone()),
        };
        let mut splice = response.splice();
        for range in response.places(place) {
            let Some(original) = unquote(&response.bytes()[range.0..range.1]) else { continue };
            let known = self.task.as_ref().filter(|(id, _)| place == Place::TaskId && *id == original);
            let handle = match (known, place) {
                (Some((_, handle)), _) => handle.clone(),
                (None, Place::RequestState) => seal(caller, Purpose::RequestState, endpoint, &original)?,
                (None, Place::TaskId) => seal(caller, Purpose::Task, endpoint, &original)?,
            };
            splice = splice.replace(range, quote(&handle));
        }
        splice.finish().map_err(|_| McpError::new(Problem::Internal))
    }
}

/// Whether the client declared the tasks extension on this request.
pub(crate) fn declares_tasks(frame: &Frame) -> bool {
    frame.raw(Member::MetaClientCapabilities).is_some_and(|capabilities| {
        fields(capabilities)
            .filter(|(key, _)| key == "extensions")
            .any(|(_, extensions)| fields(extensions.raw).any(|(key, _)| key == TASKS_EXTENSION))
    })
}

/// -32021 for a client that uses tasks without having declared them (tasks extension, "Protocol Errors").
pub(crate) fn tasks_not_declared(id: &[u8]) -> Bytes {
    let id = String::from_utf8_lossy(id);
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32021,"message":"Missing required client capability","data":{{"requiredCapabilities":{{"extensions":{{"{TASKS_EXTENSION}":{{}}}}}}}}}}}}"#
    )
    .into()
}
