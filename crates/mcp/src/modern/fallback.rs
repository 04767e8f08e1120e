//! A modern client in front of a server that speaks handshake versions only: it is told so at once, in the form that makes
//! clients of both eras go on with `initialize`.

use super::refuse;
use crate::{
    caller::{Caller, Tally},
    era::Version,
    errors::McpError,
    frame::{Frame, Kind, Member, quote},
    reply,
};
use holdfast_edge::Body;
use holdfast_telemetry::metrics::{MappedEra, McpOutcome};
use http::{Response, StatusCode};

/// `server/discover` lists the handshake versions; everything else is -32022 with the same list.
pub(crate) fn answer(caller: &Caller, frame: &Frame) -> Response<Body> {
    let supported = || Version::LEGACY.iter().map(|version| version.as_str());
    if frame.kind() == Kind::Request && frame.is("server/discover") {
        let versions = supported().map(quote).collect::<Vec<_>>().join(",");
        let id = std::str::from_utf8(frame.id().unwrap_or(b"null")).unwrap_or("null");
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","supportedVersions":[{versions}],"capabilities":{{}},"ttlMs":0,"cacheScope":"private"}}}}"#
        );
        Tally::new(&caller.server, frame, MappedEra::Modern).end(McpOutcome::Ok);
        return reply::json(StatusCode::OK, body.into());
    }
    let requested = frame.text(Member::MetaProtocolVersion).unwrap_or_default();
    refuse(caller, frame, &McpError::unsupported_version(supported(), &requested))
}
