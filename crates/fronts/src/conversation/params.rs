//! A call whose server misses `Mcp-Param-*` headers: its client never listed the tool in this conversation, so nobody knew here that an
//! argument has one. The tools are listed in the client's place, and the call is made once more: a refusal for its headers says that
//! nothing was done (2026-07-28 "Server Validation").

use super::{carry::is_event_stream, shared::Shared};
use bytes::Bytes;
use holdfast_edge::Body;
use holdfast_frames::{
    frame::{Frame, Limits, MAX_DEPTH, Member, quote, unquote},
    sse::Parser,
};
use holdfast_mcp::headers::METHOD;
use holdfast_upstream::clock;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use std::time::Duration;

/// `HeaderMismatch`.
const MISMATCH: i64 = -32020;
/// Pages of one list that are asked for; tools on later ones stay unknown.
const PAGES_MAX: usize = 100;
/// Time to list them all.
const LISTING: Duration = Duration::from_secs(10);

/// Whether a message that is posted with `headers` may have to be posted once more.
pub(super) fn may_lack(headers: &HeaderMap) -> bool {
    headers.get(METHOD).is_some_and(|method| method == "tools/call")
}

/// The answer to the call in `message`: the one that came, or that to a second try with the headers that the first lacked.
pub(super) async fn completed(shared: &Shared, message: Bytes, first: Response<Body>) -> Response<Body> {
    if first.status() != StatusCode::BAD_REQUEST {
        return first;
    }
    let (head, body) = first.into_parts();
    // The service has limited its size.
    let Ok(body) = body.collect().await else { return Response::from_parts(head, Body::Empty) };
    let body = body.to_bytes();
    let refused = Response::from_parts(head, Body::full(body.clone()));
    let (Some(error), Some(call)) = (read(shared, body), read(shared, message.clone())) else {
        return refused;
    };
    if error.error_code() != Some(MISMATCH) {
        return refused;
    }
    let lacked = shared.mirrored(&call);
    // What was listed until then is what is known.
    let _ = clock::timeout(LISTING, list(shared, &call)).await;
    let headers = shared.mirrored(&call);
    if headers == lacked { refused } else { shared.ask(Method::POST, headers, message).await }
}

/// Learns from every page of the server's list.
async fn list(shared: &Shared, call: &Frame) {
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let Some(question) = question(shared, call, cursor.as_deref()) else { return };
        let response = shared.ask(Method::POST, shared.mirrored(&question), question.into_bytes()).await;
        let Some(page) = answer(shared, response).await else { return };
        shared.talk.lock().learn(&page);
        let Some(next) = page.raw(Member::NextCursor).and_then(unquote) else { return };
        cursor = Some(next.into_owned());
    }
}

/// A list request with the `_meta` of the call: its version, its client, its capabilities.
fn question(shared: &Shared, call: &Frame, cursor: Option<&str>) -> Option<Frame> {
    let meta = std::str::from_utf8(call.raw(Member::Meta)?).ok()?;
    let cursor = cursor.map_or_else(String::new, |cursor| format!(r#","cursor":{}"#, quote(cursor)));
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":"holdfast-params","method":"tools/list","params":{{"_meta":{meta}{cursor}}}}}"#
    );
    read(shared, text.into())
}

/// The one answer in a response.
async fn answer(shared: &Shared, response: Response<Body>) -> Option<Frame> {
    let is_stream = is_event_stream(&response);
    let body = response.into_body().collect().await.ok()?.to_bytes();
    if !is_stream {
        return read(shared, body);
    }
    let mut parser = Parser::new(shared.opening.messages.server_bytes.saturating_add(1024));
    parser.push(&body);
    while let Some(Ok(event)) = parser.next() {
        if let Some(message) = event.data().filter(|_| event.is_message())
            && let Some(frame) = read(shared, message.clone())
            && frame.is_response()
        {
            return Some(frame);
        }
    }
    None
}

fn read(shared: &Shared, message: Bytes) -> Option<Frame> {
    Frame::parse(message, &Limits { bytes_max: shared.opening.messages.server_bytes, depth_max: MAX_DEPTH })
        .ok()
}
