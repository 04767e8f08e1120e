//! A modern client in front of a server that speaks handshake versions only: it is told so at once, in the form that makes
//! clients of both eras go on with `initialize`.

use super::refuse;
use crate::{
    caller::Caller,
    era::Version,
    errors::{McpError, Problem},
    frame::{Frame, Kind, Member},
};
use holdfast_edge::Body;
use http::Response;

/// `server/discover` is a method that is not there, as at any server of that age: every client that knows of one then sends
/// `initialize` (rmcp takes neither a list of old versions nor -32022 for a reason to). Everything else is -32022 with the versions.
pub(crate) fn answer(caller: &Caller, frame: &Frame) -> Response<Body> {
    if frame.kind() == Kind::Request && frame.is("server/discover") {
        let error = McpError::new(Problem::MethodNotFound);
        let why = "this server speaks versions with a handshake only; send `initialize`";
        return refuse(caller, frame, &error.detail(why));
    }
    let supported = Version::LEGACY.iter().map(|version| version.as_str());
    let requested = frame.text(Member::MetaProtocolVersion).unwrap_or_default();
    refuse(caller, frame, &McpError::unsupported_version(supported, &requested))
}
