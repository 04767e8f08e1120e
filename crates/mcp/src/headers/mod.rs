//! The header rules of Streamable HTTP: 2026-07-28 "Request Metadata" and "Server Validation", and the older version
//! header.
//!
//! Routing by a header is only safe when header and body agree, and whoever reads the body has to check it. Names are
//! compared without regard to case, values with.

mod encoding;
mod params;

#[cfg(test)]
mod tests;

pub use encoding::{decode_value, encode_value};
pub use params::{HeaderParam, ParamKind, ParamSchema, SchemaFault};

use crate::era::Version;
use crate::errors::{McpError, Problem};
use crate::frame::{Frame, Kind, Member, quote};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;

/// `MCP-Protocol-Version`
pub const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// `Mcp-Method`
pub const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// `Mcp-Name`
pub const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// `Mcp-Session-Id`
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// `Last-Event-ID`
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What `Mcp-Param-*` begins with, in the lower case of header names.
pub const PARAM_PREFIX: &str = "mcp-param-";

/// `Accept` as the SDKs write it. Further lines could only add to it.
const ACCEPT_BOTH: &str = "application/json, text/event-stream";
/// What that covers.
const BOTH: [&str; 2] = ["application/json", "text/event-stream"];

/// Marks a request whose headers were made from its body, because its client's transport has none: an extension of the request.
#[derive(Clone, Copy, Debug)]
pub struct Mirrored;

impl Mirrored {
    /// Whether a request is marked.
    pub(crate) fn is_in(extensions: &http::Extensions) -> bool {
        extensions.get::<Self>().is_some()
    }
}

/// Longest header value that is quoted in an error.
const QUOTED_BYTES_MAX: usize = 80;

/// The one value of a header without its optional whitespace (RFC 9110 section 5.5); None when it is absent.
///
/// Repeated headers and values with anything but visible ASCII, space and tab are faults.
pub fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, HeaderFault> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(HeaderFault::Repeated);
    }
    let text = value.to_str().map_err(|_| HeaderFault::Malformed)?;
    Ok(Some(text.trim_ascii()))
}

/// Why a header has no one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// More than one line.
    #[error("is repeated")]
    Repeated,
    /// Characters that no field value may have, or broken base64.
    #[error("holds invalid characters")]
    Malformed,
}

/// Checks a message that [`crate::era::classify`] called modern against its headers and required `_meta`.
///
/// The errors and their order are those of the specification: missing `_meta` members -32602, header and body that
/// differ -32020, a version that is not in `supported` -32022 (status 400 all). Answer with the request's id.
pub fn check_modern(headers: &HeaderMap, frame: &Frame, supported: &[Version]) -> Result<(), McpError> {
    match frame.kind() {
        Kind::Request => {}
        // "header requirements for notification POSTs are not defined": only what is there must not contradict.
        Kind::Notification => return check_method(headers, frame, false),
        Kind::Response | Kind::ErrorResponse => {
            let error = McpError::new(Problem::InvalidRequest);
            return Err(error.detail("2026-07-28: a client sends requests and notifications, not responses"));
        }
    }
    let version = check_version(headers, frame)?;
    if !supported.iter().any(|known| known.as_str() == version) {
        return Err(McpError::unsupported_version(supported.iter().map(|known| known.as_str()), &version));
    }
    check_method(headers, frame, true)?;
    match frame.raw(Member::MetaClientCapabilities) {
        Some([b'{', ..]) => {}
        _ => return Err(missing_meta(Member::MetaClientCapabilities, "an object")),
    }
    check_name(headers, frame)
}

/// The version of the body, when the header agrees.
fn check_version<'f>(headers: &HeaderMap, frame: &'f Frame) -> Result<Cow<'f, str>, McpError> {
    let body = frame
        .text(Member::MetaProtocolVersion)
        .ok_or_else(|| missing_meta(Member::MetaProtocolVersion, "a string"))?;
    let header = plain(headers, &PROTOCOL_VERSION)?
        .ok_or_else(|| mismatch("MCP-Protocol-Version is missing".to_owned()))?;
    if header != body {
        return Err(differs("MCP-Protocol-Version", header, &body));
    }
    Ok(body)
}

fn check_method(headers: &HeaderMap, frame: &Frame, required: bool) -> Result<(), McpError> {
    match plain(headers, &METHOD)? {
        Some(header) if frame.is(header) => Ok(()),
        Some(header) => Err(differs("Mcp-Method", header, &frame.method())),
        None if required => Err(mismatch("Mcp-Method is missing".to_owned())),
        None => Ok(()),
    }
}

fn check_name(headers: &HeaderMap, frame: &Frame) -> Result<(), McpError> {
    let Some(member) = name_source(&frame.method_bytes()) else { return Ok(()) };
    let body = frame.text(member).ok_or_else(|| {
        McpError::new(Problem::InvalidParams).detail(format!("`params.{}` must be a string", member.key()))
    })?;
    let header = plain(headers, &NAME)?.ok_or_else(|| mismatch("Mcp-Name is missing".to_owned()))?;
    let decoded = decode_value(header).map_err(|fault| mismatch(format!("Mcp-Name {fault}")))?;
    if decoded == body { Ok(()) } else { Err(differs("Mcp-Name", &decoded, &body)) }
}

/// The member of `params` that `Mcp-Name` repeats ("Standard Request Headers", tasks extension "Routing Headers").
pub fn name_source(method: &[u8]) -> Option<Member> {
    match method {
        b"tools/call" | b"prompts/get" => Some(Member::Name),
        b"resources/read" => Some(Member::Uri),
        b"tasks/get" | b"tasks/update" | b"tasks/cancel" => Some(Member::TaskId),
        _ => None,
    }
}

/// The `Mcp-Name` that belongs to a request, encoded; None when its method has none.
pub fn name_value(frame: &Frame) -> Option<HeaderValue> {
    let name = frame.text(name_source(&frame.method_bytes())?)?;
    HeaderValue::from_str(&encode_value(&name)).ok()
}

/// The version header of a legacy request: None when it is absent. 400 when it is repeated or malformed; whether its
/// value is known is for [`crate::era::classify`].
pub fn legacy_version(headers: &HeaderMap) -> Result<Option<&str>, McpError> {
    single(headers, &PROTOCOL_VERSION).map_err(|fault| {
        McpError::new(Problem::InvalidRequest).detail(format!("MCP-Protocol-Version {fault}"))
    })
}

/// The answer to [`crate::era::Era::BadVersion`]: HTTP 400 (2025-06-18 "Protocol Version Header").
pub fn bad_legacy_version(header: &str, session: Option<Version>) -> McpError {
    let detail = match session {
        Some(version) => {
            format!("MCP-Protocol-Version is {}, the session's is {}", cut(header), version.as_str())
        }
        None => format!("MCP-Protocol-Version {} is not supported", cut(header)),
    };
    McpError::new(Problem::InvalidRequest).detail(detail)
}

/// `Content-Type` of a POST must be `application/json`; a charset other than UTF-8 is refused.
pub fn check_content_type(headers: &HeaderMap) -> Result<(), McpError> {
    let refuse = || McpError::new(Problem::UnsupportedMediaType);
    let value = single(headers, &CONTENT_TYPE).map_err(|_| refuse())?.ok_or_else(refuse)?;
    if value == "application/json" {
        return Ok(());
    }
    let mut parts = value.split(';').map(str::trim);
    if !parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
        return Err(refuse());
    }
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8") {
            return Err(refuse());
        }
    }
    Ok(())
}

/// `Accept` must cover every one of `kinds` ("The client MUST include an Accept header, listing both"). Wildcards
/// count, a weight of 0 excludes, and no `Accept` at all means anything (RFC 9110 section 12.5.1).
pub fn check_accept(headers: &HeaderMap, kinds: &[&str]) -> Result<(), McpError> {
    if headers.get(ACCEPT).is_some_and(|value| value == ACCEPT_BOTH)
        && kinds.iter().all(|kind| BOTH.contains(kind))
    {
        return Ok(());
    }
    let mut ranges = Vec::new();
    for value in headers.get_all(ACCEPT) {
        let text = value.to_str().map_err(|_| McpError::new(Problem::NotAcceptable))?;
        ranges.extend(text.split(',').filter_map(media_range));
    }
    let accepts = |kind: &&str| ranges.iter().any(|range| covers(range, kind));
    if ranges.is_empty() || kinds.iter().all(accepts) {
        return Ok(());
    }
    Err(McpError::new(Problem::NotAcceptable).detail(format!("Accept must list {}", kinds.join(" and "))))
}

/// The range without parameters; None when it is empty or has the weight 0.
fn media_range(text: &str) -> Option<&str> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| !range.is_empty())?;
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let excluded = weight.is_some_and(|weight| weight.trim().parse::<f32>() == Ok(0.0));
    (!excluded).then_some(range)
}

fn covers(range: &str, kind: &str) -> bool {
    let class = kind.split('/').next().unwrap_or(kind);
    range == "*/*"
        || range.eq_ignore_ascii_case(kind)
        || range.strip_suffix("/*").is_some_and(|wild| wild.eq_ignore_ascii_case(class))
}

fn plain<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, McpError> {
    single(headers, name).map_err(|fault| mismatch(format!("{name} {fault}")))
}

fn missing_meta(member: Member, kind: &str) -> McpError {
    let detail = format!("`params._meta[{}]` must be {kind}", quote(member.key()));
    McpError::new(Problem::InvalidParams).detail(detail)
}

fn mismatch(detail: String) -> McpError {
    McpError::new(Problem::HeaderMismatch).detail(detail)
}

fn differs(name: &str, header: &str, body: &str) -> McpError {
    mismatch(format!("{name} header value '{}' does not match body value '{}'", cut(header), cut(body)))
}

fn cut(text: &str) -> &str {
    let end = (0..=QUOTED_BYTES_MAX.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}
