//! `Mcp-Param-*` of a call whose server gets no headers (2026-07-28 "Custom Headers from Tool Parameters"): only the gateway can compare
//! them with the body. It knows what the server listed for the same caller; where it does not, and a call has such headers, it asks.

use super::call::fetch;
use crate::{
    caller::Caller,
    errors::McpError,
    frame::{Frame, Member, unquote},
    headers::{METHOD, NAME, PARAM_PREFIX},
    state::{Annotated, is_whole, read_params},
};
use holdfast_upstream::clock;
use http::HeaderValue;
use std::{sync::Arc, time::Duration};

/// Pages of a list that are asked for; tools on later ones are not compared.
const PAGES_MAX: usize = 32;
/// How long a call waits for them. A server that is slower is not asked again for a while, and its calls are not compared.
const LIST_WAIT: Duration = Duration::from_secs(5);
const LIST: HeaderValue = HeaderValue::from_static("tools/list");

/// Compares the headers of a call with its arguments. Headers that were made from the body need no comparison.
pub(super) async fn check(caller: &Arc<Caller>, frame: &Frame) -> Result<(), McpError> {
    if caller.mirrored || !caller.server.is_linked() || !frame.is("tools/call") {
        return Ok(());
    }
    let Some(name) = frame.text(Member::Name) else { return Ok(()) };
    let params = &caller.shared.state.params;
    let known = params.get(&caller.server.name, &caller.principal, clock::now());
    let has_any = || caller.headers.keys().any(|name| name.as_str().starts_with(PARAM_PREFIX));
    let tools = match known {
        Some(tools) => Some(tools),
        None if has_any() => Box::pin(list(caller, frame)).await,
        None => None,
    };
    match tools.as_ref().and_then(|tools| tools.get(&*name)) {
        Some(schema) => schema.check(&caller.headers, frame),
        None => Ok(()),
    }
}

/// Keeps what an answer to the client says; not where rules have left something out of it for this token.
pub(super) fn learn(caller: &Caller, request: &Frame, page: &Frame) {
    let linked = caller.view.is_none() && caller.server.is_linked();
    if linked && request.is("tools/list") && is_whole(request, page) {
        let mut tools = Annotated::new();
        read_params(page, &mut tools);
        caller.shared.state.params.put(&caller.server.name, &caller.principal, tools, clock::now());
    }
}

/// Asks for all tools, as the caller of `call` would. A server that does not list any has none that could be compared.
async fn list(caller: &Arc<Caller>, call: &Frame) -> Option<Arc<Annotated>> {
    let mut headers = caller.headers.clone();
    headers.insert(METHOD, LIST);
    headers.remove(NAME);
    let asker = caller.with_headers(headers).unlimited_view();
    let mut tools = Annotated::new();
    let pages = async {
        let mut cursor = None;
        for _ in 0..PAGES_MAX {
            let page = fetch(&asker, &question(call, cursor.as_deref())?).await.ok()?;
            read_params(&page, &mut tools);
            cursor = Some(String::from(page.raw(Member::NextCursor).and_then(unquote)?));
        }
        None::<()>
    };
    // What was read until then is what is known.
    let _ = clock::timeout(LIST_WAIT, pages).await;
    let params = &caller.shared.state.params;
    params.put(&caller.server.name, &caller.principal, tools, clock::now());
    params.get(&caller.server.name, &caller.principal, clock::now())
}

/// A list request with the `_meta` of a call: its version, its client, its capabilities.
fn question(call: &Frame, cursor: Option<&str>) -> Option<Frame> {
    let meta = std::str::from_utf8(call.raw(Member::Meta)?).ok()?;
    let cursor = cursor.map(|cursor| format!(r#""cursor":{},"#, crate::frame::quote(cursor)));
    let cursor = cursor.unwrap_or_default();
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":"holdfast-tools","method":"tools/list","params":{{{cursor}"_meta":{meta}}}}}"#
    );
    let limits = crate::source::answer_limits(text.len());
    Frame::parse(text.into(), &limits).ok()
}
