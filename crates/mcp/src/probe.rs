//! Which eras a server speaks: configured, or asked once with `server/discover` and believed for a while.
//!
//! Asked per server, not per endpoint: a server is a set of equal endpoints, and a request goes to any of them.

use crate::{
    caller::Caller,
    era::Version,
    exchange::{Answer, Hold, ask},
    frame::{Frame, Member, elements, unquote},
    headers,
    operation::About,
    state::Spoken,
};
use bytes::Bytes;
use holdfast_config::EraMode;
use holdfast_resilience::{Safety, Sent};
use holdfast_telemetry::metrics::OperationMethod;
use holdfast_upstream::clock;
use http::{HeaderValue, StatusCode};
use std::time::Instant;

const ID: &[u8] = b"\"holdfast-probe\"";
const DISCOVER: Bytes = Bytes::from_static(
    br#"{"jsonrpc":"2.0","id":"holdfast-probe","method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"holdfast","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}"#,
);

/// Whether the server takes modern requests. A server that cannot be asked is taken at its best: the request itself then
/// shows what is wrong.
pub(crate) async fn speaks_modern(caller: &Caller) -> bool {
    match caller.server.era {
        EraMode::Legacy => return false,
        EraMode::Modern | EraMode::Dual => return true,
        EraMode::Auto => {}
    }
    let knowledge = &caller.shared.state.knowledge;
    if let Some(spoken) = knowledge.get(&caller.server.name, clock::now()) {
        return spoken.modern;
    }
    Box::pin(discover(caller)).await
}

/// Asks the server; one request does, the others wait for its answer.
async fn discover(caller: &Caller) -> bool {
    let knowledge = &caller.shared.state.knowledge;
    let until = caller.until.min(clock::after(clock::now(), caller.server.initialize_timeout));
    let lock = knowledge.asking(&caller.server.name);
    let Ok(_asking) = clock::timeout_at(until, lock.lock()).await else { return true };
    if let Some(spoken) = knowledge.get(&caller.server.name, clock::now()) {
        return spoken.modern;
    }
    let mut verdict = question(caller, until).await;
    if verdict == Verdict::BrokeOff {
        // That may have been chance.
        verdict = question(caller, until).await;
    }
    let modern = match verdict {
        Verdict::Speaks(modern) => Some(modern),
        Verdict::BrokeOff => Some(false),
        Verdict::Nothing => None,
    };
    match modern {
        Some(modern) => {
            knowledge.put(&caller.server.name, Spoken { modern }, clock::now());
            modern
        }
        None => true,
    }
}

/// What came of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Whether it speaks the modern version.
    Speaks(bool),
    /// The link ended under the question: so do servers of old when they are asked what they do not know (the Python SDK 1.6 does).
    BrokeOff,
    /// Nothing about the server's eras.
    Nothing,
}

async fn question(caller: &Caller, until: Instant) -> Verdict {
    let mut out = caller.message(Some(About::own(OperationMethod::Discover)), DISCOVER, Safety::Safe);
    out.until = until;
    out.headers.insert(headers::PROTOCOL_VERSION, HeaderValue::from_static(Version::V2026_07_28.as_str()));
    out.headers.insert(headers::METHOD, HeaderValue::from_static("server/discover"));
    match ask(&caller.server, out, Some(ID), Hold::OnlyAnswer).await {
        Ok(answer) => judge(&answer).map_or(Verdict::Nothing, Verdict::Speaks),
        Err(failure) if caller.server.is_linked() && failure.broken() && failure.sent() == Sent::Maybe => {
            Verdict::BrokeOff
        }
        Err(_) => Verdict::Nothing,
    }
}

/// What an answer to `server/discover` says; `None` if it says nothing about the server's eras.
fn judge(answer: &Answer) -> Option<bool> {
    let status = answer.head().status;
    if let Some(response) = answer.response() {
        return Some(lists_modern(response));
    }
    // "If the body is empty or is not a recognized modern JSON-RPC error, fall back to `initialize`."
    let about_credentials = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    (status.is_client_error() && !about_credentials && status != StatusCode::TOO_MANY_REQUESTS)
        .then_some(false)
}

fn lists_modern(response: &Frame) -> bool {
    match response.raw(Member::SupportedVersions) {
        Some(versions) => elements(versions).iter().any(|version| {
            unquote(version.raw).and_then(|text| Version::parse(&text)).is_some_and(Version::is_modern)
        }),
        // Errors that only a modern server has: HeaderMismatch, MissingRequiredClientCapability.
        None => matches!(response.error_code(), Some(-32020 | -32021)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Limits;

    fn lists(text: &'static str) -> bool {
        lists_modern(&Frame::parse(Bytes::from_static(text.as_bytes()), &Limits::default()).unwrap())
    }

    #[test]
    fn only_a_list_with_a_modern_version_or_a_modern_error_is_modern() {
        assert!(lists(
            r#"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2025-11-25","2026-07-28"]}}"#
        ));
        assert!(!lists(r#"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2025-11-25"]}}"#));
        assert!(!lists(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#));
        assert!(lists(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32021,"message":"m"}}"#));
        assert!(!lists(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"m"}}"#));
    }
}
