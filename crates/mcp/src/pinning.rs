//! Calls on a server with pins: a tool is called only while its definition is a pinned one, as far as the gateway can know (decision 0019).
//!
//! | what is known of the tool | what happens to its call |
//! |---|---|
//! | it has no pin | refused |
//! | it was last listed as pinned, lately | goes out |
//! | it was last listed otherwise, lately | refused |
//! | nothing, or that is too long ago, or the server said that its tools changed | the server is asked for its tools; then as above, and refused if it is still not known |

use crate::{
    caller::{Caller, reason},
    errors::{McpError, Problem},
    frame::{Frame, Member, quote, unquote},
    headers::{METHOD, NAME},
    legacy::{self, Session},
    modern,
    source::answer_limits,
    state::Verdict,
};
use futures_util::{FutureExt as _, future::BoxFuture};
use holdfast_telemetry::metrics::{Denied, McpOutcome};
use holdfast_upstream::clock;
use http::HeaderValue;
use std::sync::atomic::{AtomicU64, Ordering};

/// Pages of one list that are asked for; tools on later ones are not known.
const PAGES_MAX: usize = 100;
const LIST: HeaderValue = HeaderValue::from_static("tools/list");
/// JSON-RPC 2.0, 4.1: a request of a session has an id of its own.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// Whether the call in `frame` may go to its server, which is asked first if need be, over `session` if there is one. Cancel safe.
pub(crate) async fn verify(
    caller: &Caller,
    frame: &Frame,
    session: Option<&Session>,
) -> Result<(), McpError> {
    let Some(pins) = &caller.server.watched.pins else { return Ok(()) };
    if !frame.is("tools/call") {
        return Ok(());
    }
    let tool = frame.text(Member::Name).unwrap_or_default();
    if pins.knows(&tool) && settled(caller, frame, session, &tool).await == Verdict::Pinned {
        return Ok(());
    }
    caller.server.metrics.denied.inc(Denied::Unpinned);
    let error = McpError::new(Problem::NotPinned);
    caller.note_outcome(McpOutcome::Refused, reason(&error));
    Err(error)
}

/// What there is to think of `tool` once the server was asked, if that was necessary and possible. Boxed: asking is a request like another.
fn settled<'a>(
    caller: &'a Caller,
    frame: &'a Frame,
    session: Option<&'a Session>,
    tool: &'a str,
) -> BoxFuture<'a, Verdict> {
    let watched = &caller.server.watched;
    let known = watched.judge(tool);
    if known != Verdict::Unknown {
        return std::future::ready(known).boxed();
    }
    async move {
        let refused = || watched.watch.is_refused(&caller.principal, clock::now());
        let until = caller.until.min(clock::after(clock::now(), caller.server.initialize_timeout));
        let asked = clock::timeout_at(until, async {
            let _turn = watched.watch.asking.lock().await;
            if watched.judge(tool) == Verdict::Unknown && !refused() {
                ask(caller, frame, session).await;
            }
        });
        // What was listed until then is what is known.
        let _ = asked.await;
        let verdict = watched.judge(tool);
        if verdict == Verdict::Unknown && !refused() {
            watched.watch.refuse(caller.principal, clock::now());
        }
        verdict
    }
    .boxed()
}

/// Asks the server for all its tools, as the caller would. What they are is noted on the way in.
async fn ask(caller: &Caller, call: &Frame, session: Option<&Session>) {
    let mut headers = caller.headers.clone();
    headers.insert(METHOD, LIST);
    headers.remove(NAME);
    let asker = caller.with_headers(headers).unlimited_view();
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let Some(question) = question(call, session.is_none(), cursor.as_deref()) else { return };
        let page = match session {
            Some(session) => legacy::fetch(&asker, session, &question).await,
            None => modern::fetch(&asker, &question).await.ok(),
        };
        let next = page.as_ref().and_then(|page| page.raw(Member::NextCursor)).and_then(unquote);
        let Some(next) = next else { return };
        cursor = Some(next.into_owned());
    }
}

/// A list request; a modern one with the `_meta` of the call: its version, its client, its capabilities.
fn question(call: &Frame, modern: bool, cursor: Option<&str>) -> Option<Frame> {
    let meta = call.raw(Member::Meta).filter(|_| modern).map(std::str::from_utf8).transpose().ok()?;
    let meta = meta.map(|meta| format!(r#""_meta":{meta}"#));
    let cursor = cursor.map(|cursor| format!(r#""cursor":{}"#, quote(cursor)));
    let params: Vec<String> = meta.into_iter().chain(cursor).collect();
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":"holdfast-pins-{}","method":"tools/list","params":{{{}}}}}"#,
        ASKED.fetch_add(1, Ordering::Relaxed),
        params.join(",")
    );
    let limits = answer_limits(text.len());
    Frame::parse(text.into(), &limits).ok()
}
